"""
Measures many concurrent waits: ``python -m benchmarks.many_waits`` prints a table.

Memory is what 2000 waits add to a process that has waited once, divided by 2000, measured some seconds after each has
polled. The lag is how late a sleep of 10 ms ends while 500 waits poll every 5 s (99th percentile); the first row,
without any wait, is that of the machine. Each measurement has a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import quantiles

from benchmarks.contestants import OURS, Wait, contestants
from benchmarks.poll_cost import logging_as_in_a_triggerer, waiting
from benchmarks.process import Holdings, late_by
from benchmarks.spread import Spread, verdict
from benchmarks.stub import running_stub

MEMORY_WAITERS = 2000
LAG_WAITERS = 500
LAG_INTERVAL = 5.0
LAG_SECONDS = 5.0
ROUNDS = 5
MAX_KIB = 15.0
MAX_LAG = 15.0
NO_WAITS = "no waits"


async def memory(wait: Wait, *, waiters: int = MEMORY_WAITERS) -> float:
    """Return the KiB per wait."""
    async with waiting(wait, waiters=1, interval=1.0, start_within=0.5):
        await asyncio.sleep(0.5)
    before = Holdings.now().mib
    async with waiting(wait, waiters=waiters, interval=10.0, start_within=4.0):
        await asyncio.sleep(2)
        return 1024 * (Holdings.now().mib - before) / waiters


async def lag(wait: Wait | None, *, waiters: int = LAG_WAITERS, seconds: float = LAG_SECONDS) -> float:
    """Return the lag of the loop in milliseconds, at the 99th percentile."""

    async def sample() -> float:
        late: list[float] = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            late.append(await late_by(0.01))
        return 1000 * quantiles(late, n=100)[-1]

    if wait is None:
        return await sample()
    async with waiting(wait, waiters=waiters, interval=LAG_INTERVAL, start_within=LAG_INTERVAL):
        await asyncio.sleep(1)
        return await sample()


def _measure_one(name: str, url: str) -> None:
    with logging_as_in_a_triggerer():
        if name == NO_WAITS:
            figures = {"lag": asyncio.run(lag(None))}
        else:
            wait = next(each for each in contestants() if each.name == name).prepare(url)
            figures = {"kib": asyncio.run(memory(wait)), "lag": asyncio.run(lag(wait))}
    print(json.dumps(figures))


def _measured(names: Sequence[str], rounds: int) -> Mapping[str, list[dict[str, float]]]:
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with running_stub() as stub:
        for number in range(rounds):
            for name in names:
                command = [sys.executable, "-m", "benchmarks.many_waits", "--one", name, "--url", stub.http]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                figures[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {number + 1}: {name} {figures[name][-1]}", file=sys.stderr)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure many concurrent waits.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _measure_one(options.one, options.url)
        return
    names = [NO_WAITS, *(each.name for each in contestants())]
    figures = _measured(names, options.rounds)
    print(f"{options.rounds} rounds; median (minimum–maximum).\n")
    print(f"| | KiB per wait, {MEMORY_WAITERS} waits | lag in ms (p99), {LAG_WAITERS} waits every {LAG_INTERVAL:g} s |")
    print("|---|---|---|")
    for name in names:
        kib = Spread.of([each["kib"] for each in figures[name]]).shown(digits=1) if name != NO_WAITS else "–"
        print(f"| {name} | {kib} | {Spread.of([each['lag'] for each in figures[name]]).shown(digits=1)} |")
    kib_of_ours, lag_of_ours = (Spread.of([each[what] for each in figures[OURS.name]]) for what in ("kib", "lag"))
    print()
    print(verdict(f"at most {MAX_KIB:g} KiB per wait", kib_of_ours.shown(digits=1), met=kib_of_ours.median <= MAX_KIB))
    promise = f"lag below {MAX_LAG:g} ms (p99)"
    print(verdict(promise, lag_of_ours.shown(digits=1), met=lag_of_ours.median < MAX_LAG))


if __name__ == "__main__":
    main()
