"""What the README says a batch's limit costs, in small."""

from __future__ import annotations

from statistics import fmean

from benchmarks.batch import oracle, played
from benchmarks.policy import draw_tasks


def test_far_from_its_limit_a_batch_notices_ends_as_fast_as_single_waits_do() -> None:
    ends = [task.seconds for task in draw_tasks(200)]

    row = played(ends, rate=500, with_estimate=True)

    assert row.questions < 7.5
    assert fmean(row.latencies) < 1.5


def test_at_its_limit_a_batch_never_stops_asking() -> None:
    ends = [task.seconds for task in draw_tasks(500)]

    row, bound = played(ends, rate=3, with_estimate=True), oracle(ends, rate=3)

    assert row.questions < 2.5
    assert fmean(row.latencies) < fmean(bound.latencies) + 500 / 3


def test_at_its_limit_a_batch_asks_first_where_the_estimate_says_that_the_end_has_come() -> None:
    ends = [task.seconds for task in draw_tasks(500)]

    row, blind = played(ends, rate=5, with_estimate=True), played(ends, rate=5, with_estimate=False)

    assert fmean(row.latencies) < 0.5 * fmean(blind.latencies)
