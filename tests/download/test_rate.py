"""The promise that a connection is given up if it is too slow, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from airflow_provider_seeany.download import rate
from airflow_provider_seeany.download.rate import TooSlow, no_slower_than

RATE = 100  # minimum bytes per second


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test turns."""
    made = Clock()
    monkeypatch.setattr(rate, "monotonic", made)
    return made


def passed_on(clock: Clock, pieces: list[tuple[float, int]], *, seconds_to_store: float = 0) -> tuple[int, bool]:
    """Send pieces, each after so many seconds; return how many were passed on, and whether to the end."""

    async def arriving() -> AsyncIterator[bytes]:
        for seconds, size in pieces:
            clock.now += seconds
            yield b"x" * size

    async def run() -> tuple[int, bool]:
        number = 0
        try:
            async for _ in no_slower_than(RATE, arriving()):
                number += 1
                clock.now += seconds_to_store
        except TooSlow:
            return number, False
        return number, True

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("pieces", "passed", "to_the_end"),
    [
        pytest.param([(29, 1)] * 9, 2, False, id="a byte now and then"),
        pytest.param([(1, 99)] * 60, 30, False, id="a little too slow"),
        pytest.param([(1, 100)] * 60, 60, True, id="just fast enough"),
        pytest.param([(29, 1), (1, 3000)] * 3, 6, True, id="stalls in between"),
        pytest.param([(1, 9000)] * 30 + [(1, 1)] * 60, 60, False, id="fast at first"),
        pytest.param([(29, 1)], 1, True, id="a small file"),
        pytest.param([(1, 99)] * 30, 30, True, id="too slow, but at its end"),
    ],
)
def test_the_rate_of_a_window_counts(
    clock: Clock, pieces: list[tuple[float, int]], passed: int, to_the_end: bool
) -> None:
    assert passed_on(clock, pieces) == (passed, to_the_end)


def test_a_slow_storage_makes_no_slow_connection(clock: Clock) -> None:
    assert passed_on(clock, [(1, 100)] * 60, seconds_to_store=1000) == (60, True)
