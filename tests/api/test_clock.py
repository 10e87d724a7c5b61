"""The time of a wait, with a time of day that jumps."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.clock import ForwardClock

NOON = 1_748_908_800.0


class Times:
    """A time of day and a steady time, to set."""

    def __init__(self) -> None:
        self.wall = NOON
        self.steady = 17.0

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds

    def clock(self, began: float = float("-inf")) -> ForwardClock:
        """Return a clock that goes by these."""
        return ForwardClock(began, wall=lambda: self.wall, steady=lambda: self.steady)


def test_it_returns_the_time_of_day() -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(90)

    assert clock() == NOON + 90


def test_a_time_of_day_set_back_puts_no_deadline_off() -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(60)
    times.wall -= 5 * 3600
    times.pass_by(30)

    assert clock() == NOON + 90


def test_a_time_of_day_set_forward_is_followed_as_after_a_machine_was_suspended() -> None:
    times = Times()
    clock = times.clock()
    times.wall += 5 * 3600

    assert clock() == NOON + 5 * 3600


def test_a_wait_that_is_taken_up_again_is_never_before_its_begin() -> None:
    times = Times()
    times.wall -= 5 * 3600
    clock = times.clock(began=NOON)
    times.pass_by(10)

    assert clock() == NOON + 10


@given(st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(0, 1e4))))
def test_it_never_goes_back_and_never_stands_still(steps: list[tuple[float, float]]) -> None:
    times = Times()
    clock = times.clock()
    readings = [(times.steady, clock())]
    for jump, seconds in steps:
        times.wall += jump
        times.pass_by(seconds)
        readings.append((times.steady, clock()))

    assert all(after[1] - before[1] >= after[0] - before[0] - 1e-3 for before, after in pairwise(readings))
