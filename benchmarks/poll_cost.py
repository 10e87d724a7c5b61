"""
Measures the CPU time of a poll: ``python -m benchmarks.poll_cost`` prints a table.

A hundred waits in one event loop, at two rates. Busy: each polls again a millisecond after its response, so the loop
never sleeps. Idle: each polls four times a second, so the loop sleeps most of the time, like a triggerer's, and waking
up adds the same to every cost. The cost is the CPU time of this process, user and system, divided by the requests that
the server, another process, has counted. The contestants take turns, and ratios are computed within a round.

Log lines are written as a triggerer's event loop writes them, without a reader; the supervisor's cost for triggers that
log each poll would come on top.
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
INTERVALS = {"busy": 0.001, "idle": 0.25}
WARM_UP = 0.6
SECONDS = 1.2
ROUNDS = 5

MIN_TIMES_DBT_CLOUD = {"HTTP": 5, "TLS": 8}

Rounds = Mapping[Contestant, Sequence[float]]
"""Microseconds of CPU per poll, by round."""


@asynccontextmanager
async def waiting(wait: Wait, *, waiters: int, interval: float, start_within: float) -> AsyncIterator[None]:
    """Run waits that start within ``start_within`` seconds, and raise if one of them ends."""
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


def request_count(stub: Stub) -> int:
    """Return how many requests the server has received."""
    with urlopen(f"{stub.http}/count") as response:
        return int(json.load(response)["requests"])


async def cost(wait: Wait, stub: Stub, *, interval: float, seconds: float) -> float:
    """Return the microseconds of CPU per poll."""
    async with waiting(wait, waiters=WAITERS, interval=interval, start_within=0.25):
        await asyncio.sleep(WARM_UP)
        before, cpu = request_count(stub), time.process_time()
        await asyncio.sleep(seconds)
        cpu, requests = time.process_time() - cpu, request_count(stub) - before
    return 1e6 * cpu / requests


def measured(
    stub: Stub,
    url: str,
    who: Sequence[Contestant],
    *,
    interval: float,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> Rounds:
    """Measure the contestants in turns."""
    waits = {contestant: contestant.prepare(url) for contestant in who}
    costs: dict[Contestant, list[float]] = {contestant: [] for contestant in who}
    for number in range(rounds):
        for contestant, wait in waits.items():
            costs[contestant].append(asyncio.run(cost(wait, stub, interval=interval, seconds=seconds)))
            print(f"round {number + 1}: {contestant.name} {costs[contestant][-1]:.0f} µs", file=sys.stderr)
    return costs


@contextmanager
def logging_as_in_a_triggerer() -> Iterator[None]:
    """Write log lines as a triggerer's event loop does: as JSON for its supervisor, which is missing here."""
    from airflow.sdk.log import configure_logging

    with open(os.devnull, "wb") as nowhere:
        configure_logging(json_output=True, output=nowhere, sending_to_supervisor=True)
        warnings.simplefilter("ignore")
        yield


def _table(results: Mapping[tuple[str, str], Rounds]) -> Iterator[str]:
    yield f"| | {' | '.join(f'{transport}, {load}: µs | times ours' for transport, load in results)} |"
    yield f"|---|{'---|---|' * len(results)}"
    for contestant in next(iter(results.values())):
        cells = []
        for rounds in results.values():
            cells.append(Spread.of(rounds[contestant]).shown(digits=0))
            cells.append(Spread.of_ratios(rounds[contestant], rounds[OURS]).shown("×"))
        yield f"| {contestant.name} | {' | '.join(cells)} |"


def _verdicts(results: Mapping[tuple[str, str], Rounds]) -> Iterator[str]:
    for (transport, load), rounds in results.items():
        ratio = Spread.of_ratios(rounds[OURS], rounds[BARE])
        yield verdict(f"within 1.3× of the bare loop ({transport}, {load})", ratio.shown("×"), met=ratio.median <= 1.3)
    for (transport, load), rounds in results.items():
        if DBT_CLOUD in rounds:
            minimum = MIN_TIMES_DBT_CLOUD[transport]
            ratio, bound = (Spread.of_ratios(rounds[DBT_CLOUD], rounds[each]) for each in (OURS, BARE))
            promise = f"at least {minimum}× below DbtCloudRunJobTrigger ({transport}, {load})"
            shown = f"{ratio.shown('×')}, where the bare loop is {bound.shown('×')} below"
            yield verdict(promise, shown, met=ratio.median >= minimum)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of a poll.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds of each measurement")
    options = parser.parse_args()
    results = {}
    with logging_as_in_a_triggerer(), running_stub() as stub:
        for transport, url in (("HTTP", stub.http), ("TLS", stub.https)):
            for load, interval in INTERVALS.items():
                results[transport, load] = measured(
                    stub, url, contestants(), interval=interval, rounds=options.rounds, seconds=options.seconds
                )
    print(f"{WAITERS} waits in one event loop, {options.rounds} rounds; median (minimum–maximum).\n")
    print(*_table(results), "", *_verdicts(results), sep="\n")


if __name__ == "__main__":
    main()
