"""
Runs 5000 waits for five minutes and measures what they leave behind: ``python -m benchmarks.soak``.

The waits first run for some seconds, since some objects are created once and kept: the memory after the long run is
compared with that after the short one, sockets and tasks with the state before both. Memory is measured in blocks that
Python's objects hold: a leak of one object per poll would be a third of a million blocks. The resident memory varies by
some MiB, since Python returns it only in part.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import OURS, Wait
from benchmarks.poll_cost import logging_as_in_a_triggerer, request_count, waiting
from benchmarks.process import Holdings
from benchmarks.spread import verdict
from benchmarks.stub import Stub, running_stub

WAITERS = 5000
INTERVAL = 5.0
SECONDS = 300.0
SHORT_RUN = 15.0
MAX_GROWTH = 5000
"""Maximum blocks left by the long run beyond those of the short one: one for each wait."""


@dataclass(frozen=True, slots=True)
class Soak:
    """What the process held before the waits, after the short run, at the end of the long run, and after it."""

    before: Holdings
    after_short: Holdings
    during: Holdings
    after: Holdings

    @property
    def leaves_nothing_open(self) -> bool:
        """Whether there are as many sockets and tasks as before."""
        return (self.after.sockets, self.after.tasks) == (self.before.sockets, self.before.tasks)

    @property
    def growth(self) -> int:
        """The blocks of memory left by the long run beyond those of the short one."""
        return self.after.blocks - self.after_short.blocks


async def soak(wait: Wait, *, waiters: int, interval: float, short_run: float, seconds: float) -> Soak:
    """Run the waits twice and measure."""
    async with waiting(wait, waiters=1, interval=interval, start_within=0.5):
        pass
    before = await _settled()
    async with waiting(wait, waiters=waiters, interval=interval, start_within=min(interval, short_run)):
        await asyncio.sleep(short_run)
    after_short = await _settled()
    async with waiting(wait, waiters=waiters, interval=interval, start_within=min(interval, short_run)):
        await asyncio.sleep(seconds)
        during = Holdings.now()
    return Soak(before, after_short, during, await _settled())


async def _settled() -> Holdings:
    # The loop closes a connection some iterations later.
    await asyncio.sleep(0.5)
    return Holdings.now()


def _lines(result: Soak, *, waiters: int, seconds: float, requests: int) -> Iterator[str]:
    yield f"{waiters} waits, one poll every {INTERVAL:g} s each, for {seconds:.0f} s: {requests} requests.\n"
    yield "| | sockets | tasks | blocks | MiB |"
    yield "|---|---|---|---|---|"
    for name, held in (
        ("before", result.before),
        (f"after {SHORT_RUN:.0f} s", result.after_short),
        ("during the waits", result.during),
        ("after the waits", result.after),
    ):
        yield f"| {name} | {held.sockets} | {held.tasks} | {held.blocks} | {held.mib:.1f} |"
    yield ""
    left = f"{result.after.sockets - result.before.sockets} sockets, {result.after.tasks - result.before.tasks} tasks"
    yield verdict("leaves no socket and no task", left, met=result.leaves_nothing_open)
    promise = "leaves no more memory than a short run"
    yield verdict(promise, f"{result.growth:+} blocks", met=result.growth <= MAX_GROWTH)


async def _run(stub: Stub, *, waiters: int, seconds: float) -> tuple[Soak, int]:
    result = await soak(
        OURS.prepare(stub.http), waiters=waiters, interval=INTERVAL, short_run=SHORT_RUN, seconds=seconds
    )
    return result, request_count(stub)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Run many waits and measure what they leave behind.")
    parser.add_argument("--waiters", type=int, default=WAITERS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    with logging_as_in_a_triggerer(), running_stub() as stub:
        result, requests = asyncio.run(_run(stub, waiters=options.waiters, seconds=options.seconds))
    print(*_lines(result, waiters=options.waiters, seconds=options.seconds, requests=requests), sep="\n")


if __name__ == "__main__":
    main()
