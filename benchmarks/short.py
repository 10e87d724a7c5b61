"""
A short measurement for CI, of this provider and the bare loop alone: ``python -m benchmarks.short``, under 90 s.

It fails only on a gross loss, so that a busy machine does not fail it: its limits are three times the targets.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping

from benchmarks.contestants import BARE, OURS
from benchmarks.many_waits import MAX_KIB, MAX_LAG, lag, memory
from benchmarks.poll_cost import INTERVALS, logging_as_in_a_triggerer, measured
from benchmarks.soak import soak
from benchmarks.spread import Spread
from benchmarks.stub import Stub, running_stub

MAX_TIMES_BARE = 3.0
LEEWAY = 3.0
MAX_GROWTH = 5000


def _checks(stub: Stub) -> Iterator[tuple[str, float, float]]:
    """Yield each measurement: name, value and limit."""
    for transport, url in (("HTTP", stub.http), ("TLS", stub.https)):
        rounds = measured(stub, url, (OURS, BARE), interval=INTERVALS["busy"], rounds=3)
        ratio = Spread.of_ratios(rounds[OURS], rounds[BARE])
        yield f"CPU per poll, times the bare loop, {transport}", ratio.median, MAX_TIMES_BARE
    wait = OURS.prepare(stub.http)
    yield "KiB per wait", asyncio.run(memory(wait, waiters=1000)), LEEWAY * MAX_KIB
    yield "lag of the event loop in ms, p99", asyncio.run(lag(wait)), LEEWAY * MAX_LAG
    left = asyncio.run(soak(wait, waiters=1000, interval=1.0, short_run=5.0, seconds=10.0))
    yield "sockets left open", left.after.sockets - left.before.sockets, 0
    yield "tasks left", left.after.tasks - left.before.tasks, 0
    yield "blocks of memory that a second run left", left.growth, MAX_GROWTH


def above_limit(checks: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names of the values above their limit."""
    return [name for name, (figure, limit) in checks.items() if not figure <= limit]


def main() -> None:
    """Print the measurements; exit with an error if one is above its limit."""
    checks = {}
    with logging_as_in_a_triggerer(), running_stub() as stub:
        for name, figure, limit in _checks(stub):
            checks[name] = (figure, limit)
            print(f"{name}: {figure:.2f}, at most {limit:g}", flush=True)
    if above := above_limit(checks):
        sys.exit(f"Above the limit: {', '.join(above)}")


if __name__ == "__main__":
    main()
