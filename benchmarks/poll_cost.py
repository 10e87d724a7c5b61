"""
Measures what a question costs: ``python -m benchmarks.poll_cost`` prints a table.

A hundred waits in one event loop, a quarter of a second between the questions of each, which leaves the loop idle
most of the time, as that of a triggerer is. The cost is all CPU time of this process, user and system, divided by the
questions that the server, another process, has counted. The ways of waiting take turns, and ratios are formed within
a turn. Everyone logs to a logger that drops the lines: in a triggerer those who log at each question pay more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.request import urlopen

from benchmarks.contestants import BARE, DBT_CLOUD, OURS, Contestant, Wait, contestants
from benchmarks.spread import Spread, verdict
from benchmarks.stub import Stub, running_stub

WAITERS = 100
INTERVAL = 0.25
WARM_UP = 1.0
SECONDS = 4.0
ROUNDS = 7

Rounds = Mapping[Contestant, Sequence[float]]
"""Microseconds of CPU per question, round by round."""


@asynccontextmanager
async def waiting(wait: Wait, *, waiters: int, interval: float, start_within: float) -> AsyncIterator[None]:
    """
    Keep waits going, and raise if one of them ends.

    :param start_within: seconds over which their starts are spread.
    """
    tasks = []
    try:
        for number in range(waiters):
            tasks.append(asyncio.create_task(wait(number, interval)))
            await asyncio.sleep(start_within / waiters)
        yield
        ended = next((task for task in tasks if task.done()), None)
        if ended is not None:
            await ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def asked(stub: Stub) -> int:
    """Return how many questions the server has answered."""
    with urlopen(f"{stub.http}/count") as response:
        return int(json.load(response)["requests"])


async def cost(wait: Wait, stub: Stub, *, seconds: float) -> float:
    """Return the microseconds of CPU per question."""
    async with waiting(wait, waiters=WAITERS, interval=INTERVAL, start_within=INTERVAL):
        await asyncio.sleep(WARM_UP)
        before, cpu = asked(stub), time.process_time()
        await asyncio.sleep(seconds)
        cpu, questions = time.process_time() - cpu, asked(stub) - before
    return 1e6 * cpu / questions


def measured(
    stub: Stub, url: str, who: Sequence[Contestant], *, rounds: int = ROUNDS, seconds: float = SECONDS
) -> Rounds:
    """Measure everyone in turns."""
    waits = {contestant: contestant.prepare(url) for contestant in who}
    costs: dict[Contestant, list[float]] = {contestant: [] for contestant in who}
    for number in range(rounds):
        for contestant, wait in waits.items():
            costs[contestant].append(asyncio.run(cost(wait, stub, seconds=seconds)))
            print(f"round {number + 1}: {contestant.name} {costs[contestant][-1]:.0f} µs", file=sys.stderr)
    return costs


@contextmanager
def logging_as_in_a_triggerer(*, level: str = "INFO") -> Iterator[None]:
    """Write log lines as a triggerer's event loop does, JSON for its supervisor, which here reads none of them."""
    from airflow.sdk.log import configure_logging

    with open(os.devnull, "wb") as nowhere:
        configure_logging(json_output=True, log_level=level, output=nowhere, sending_to_supervisor=True)
        yield


def _table(plain: Rounds, tls: Rounds) -> list[str]:
    lines = [
        "| | HTTP: µs per question | times ours | TLS: µs per question | times ours |",
        "|---|---|---|---|---|",
    ]
    for contestant in plain:
        cells = []
        for rounds in (plain, tls):
            cells.append(Spread.of(rounds[contestant]).shown(digits=0))
            cells.append(Spread.of_ratios(rounds[contestant], rounds[OURS]).shown("×"))
        lines.append(f"| {contestant.name} | {' | '.join(cells)} |")
    return lines


def _verdicts(plain: Rounds, tls: Rounds) -> list[str]:
    lines = []
    for name, rounds in (("HTTP", plain), ("TLS", tls)):
        ratio = Spread.of_ratios(rounds[OURS], rounds[BARE])
        promise = f"within 1.3× of the bare loop over {name}"
        lines.append(verdict(promise, ratio.shown("×"), met=ratio.middle <= 1.3))
    for name, rounds, least in (("HTTP", plain, 5), ("TLS", tls, 8)):
        if DBT_CLOUD in rounds:
            ratio = Spread.of_ratios(rounds[DBT_CLOUD], rounds[OURS])
            promise = f"at least {least}× below DbtCloudRunJobTrigger over {name}"
            lines.append(verdict(promise, ratio.shown("×"), met=ratio.middle >= least))
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    be_quiet()
    who = contestants()
    with running_stub() as stub:
        plain, tls = (
            measured(stub, url, who, rounds=options.rounds, seconds=options.seconds) for url in (stub.http, stub.https)
        )
    print(f"{WAITERS} waits, {INTERVAL} s between the questions of each, {options.rounds} rounds.\n")
    print(*_table(plain, tls), "", *_verdicts(plain, tls), sep="\n")


if __name__ == "__main__":
    main()
