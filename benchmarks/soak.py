"""
Keeps 5000 waits going for five minutes and looks what is left of them: ``python -m benchmarks.soak``.

The waits are first kept going for some seconds: what the long run leaves is compared with what this short one left,
since some things are made once and kept. Sockets and tasks are compared with the state before both. Whether memory is
kept is told by the blocks that Python's objects hold: a leak of one object per question would be a third of a million
of them. The resident memory moves by some MiB besides, since Python gives back what it can, not what it could.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import OURS, Wait
from benchmarks.poll_cost import asked, logging_as_in_a_triggerer, waiting
from benchmarks.process import Holdings
from benchmarks.spread import verdict
from benchmarks.stub import Stub, running_stub

WAITERS = 5000
INTERVAL = 5.0
SECONDS = 300.0
SHORT_RUN = 15.0
MOST_GROWTH = 5000
"""Most blocks that the long run may leave and the short one did not: one for each wait."""


@dataclass(frozen=True, slots=True)
class Soak:
    """
    What was held at each moment.

    :param before: before any of the waits.
    :param after_short: after the short run.
    :param during: at the end of the long run, with all waits going.
    :param after: after the long run.
    """

    before: Holdings
    after_short: Holdings
    during: Holdings
    after: Holdings

    @property
    def leaves_nothing_open(self) -> bool:
        """Whether sockets and tasks are what they were."""
        return (self.after.sockets, self.after.tasks) == (self.before.sockets, self.before.tasks)

    @property
    def growth(self) -> int:
        """The blocks of memory that the long run left and the short one did not."""
        return self.after.blocks - self.after_short.blocks


async def soak(wait: Wait, *, waiters: int, interval: float, short_run: float, seconds: float) -> Soak:
    """Keep waits going, twice, and look."""
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
    # The loop closes a connection some turns after it was told to.
    await asyncio.sleep(0.5)
    return Holdings.now()


def _lines(result: Soak, *, waiters: int, seconds: float, questions: int) -> Iterator[str]:
    yield f"{waiters} waits, one question every {INTERVAL:g} s each, for {seconds:.0f} s: {questions} questions.\n"
    yield "| | sockets | tasks | blocks | MiB |"
    yield "|---|---|---|---|---|"
    for name, held in (
        ("before", result.before),
        (f"after {SHORT_RUN:.0f} s of it", result.after_short),
        ("while waiting", result.during),
        ("afterwards", result.after),
    ):
        yield f"| {name} | {held.sockets} | {held.tasks} | {held.blocks} | {held.mib:.1f} |"
    yield ""
    left = f"{result.after.sockets - result.before.sockets} sockets, {result.after.tasks - result.before.tasks} tasks"
    yield verdict("leaves no socket and no task", left, met=result.leaves_nothing_open)
    promise = "leaves the memory as a short run does"
    yield verdict(promise, f"{result.growth:+} blocks", met=result.growth <= MOST_GROWTH)


async def _run(stub: Stub, *, waiters: int, seconds: float) -> tuple[Soak, int]:
    result = await soak(
        OURS.prepare(stub.http), waiters=waiters, interval=INTERVAL, short_run=SHORT_RUN, seconds=seconds
    )
    return result, asked(stub)


def main() -> None:
    """Print what was held."""
    parser = argparse.ArgumentParser(description="Keep many waits going and look what is left of them.")
    parser.add_argument("--waiters", type=int, default=WAITERS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    with logging_as_in_a_triggerer(), running_stub() as stub:
        result, questions = asyncio.run(_run(stub, waiters=options.waiters, seconds=options.seconds))
    print(*_lines(result, waiters=options.waiters, seconds=options.seconds, questions=questions), sep="\n")


if __name__ == "__main__":
    main()
