"""The latency that the documentation states for a batch's limit, on a small scale."""

from __future__ import annotations

from statistics import fmean

from benchmarks.batch import oracle, play
from benchmarks.policy import draw_tasks


def test_far_below_its_limit_a_batch_notices_ends_as_fast_as_single_waits() -> None:
    ends = [task.seconds for task in draw_tasks(200)]

    row = play(ends, rate=500, estimate="exact")

    assert row.requests < 7.5
    assert fmean(row.latencies) < 1.5


def test_at_its_limit_a_batch_never_stops_polling() -> None:
    ends = [task.seconds for task in draw_tasks(500)]

    row, bound = play(ends, rate=3, estimate="exact"), oracle(ends, rate=3)

    assert row.requests < 2.5
    assert fmean(row.latencies) < fmean(bound.latencies) + 500 / 3


def test_at_its_limit_a_batch_first_polls_tasks_whose_estimate_has_run_out() -> None:
    ends = [task.seconds for task in draw_tasks(500)]

    row, blind = play(ends, rate=5, estimate="exact"), play(ends, rate=5)

    assert fmean(row.latencies) < 0.5 * fmean(blind.latencies)
