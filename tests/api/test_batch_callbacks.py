"""A batch whose tasks SeeAny calls back about: few requests, soon after each end, and nothing lost with a callback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median

import pytest

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import BatchTimedOut
from airflow_provider_seeany.api.errors import TransientError
from airflow_provider_seeany.api.missed_callbacks import GRACE
from airflow_provider_seeany.api.task import SeeAnyTask
from benchmarks.batch import play, settings_at
from benchmarks.policy import draw_tasks
from tests.api.played_batch import Played, batch_of

INTERVAL = settings_at(50).callback_poll_interval
ENDS = [task.seconds for task in draw_tasks(1000)]


def expecting(count: int, **more: float) -> Batch:
    return batch_of([str(number) for number in range(count)], expect_callback=True, **more)


def running(seeany_task_id: str) -> SeeAnyTask:
    return SeeAnyTask(id=seeany_task_id, status="processing", estimated_remaining=5)


def asked(batch: Batch, now: float) -> list[str]:
    """Return all tasks that are polled at a time, and that are still running."""
    ids = []
    while isinstance(step := batch.next_request(now), str):
        ids.append(step)
        batch.receive(step, running(step), now)
        now += 0.02
    return ids


def after_the_first_sample(batch: Batch) -> Batch:
    asked(batch, 0.0)
    return batch


def test_a_thousand_tasks_take_one_request_each_and_little_more() -> None:
    row = play(ENDS, rate=50, callbacks=True)

    assert row.requests <= 1.1
    assert median(row.latencies) < 2


@pytest.mark.parametrize("count", [3, 1000])
def test_callbacks_that_never_come_cost_an_interval(count: int) -> None:
    row = play(ENDS[:count], rate=50, callbacks=True, lost=lambda index: True)

    assert max(row.latencies) <= INTERVAL + GRACE + count / 50 + 1
    assert row.requests <= 2 + max(ENDS[:count]) / INTERVAL


def test_tasks_that_ended_before_the_wait_are_found_soon() -> None:
    row = play([*([0.0] * 500), *ENDS[:500]], rate=50, callbacks=True, lost=lambda index: index < 500)

    assert fmean(row.latencies[:500]) < GRACE + 1000 / 50


def test_one_callback_that_gets_lost_delays_the_end_of_the_batch_by_no_more_than_an_interval() -> None:
    row = play(ENDS, rate=50, callbacks=True, lost=lambda index: index == 7)

    assert row.over < max(ENDS) + INTERVAL + 5


def test_a_callback_about_one_task_makes_it_the_next_one_before_all_that_are_due() -> None:
    batch = after_the_first_sample(expecting(1000))
    batch.called_back([17], 50.0)
    assert asked(batch, 50.0) == ["17"]


def test_a_callback_comes_before_all_that_are_due() -> None:
    batch = expecting(1000)
    first = batch.next_request(0.0)
    assert isinstance(first, str)
    batch.receive(first, SeeAnyTask(id=first, status="completed"), 0.1)
    asked(batch, 0.2)
    # No callback has come about the one that has ended, so all the others are due.
    now = GRACE + 1
    assert isinstance(batch.next_request(now), str)

    last = next(number for number in reversed(range(1000)) if not batch.results.has_ended(number))
    batch.called_back([last], now)

    assert batch.next_request(now + 0.02) == str(last)


def test_a_task_that_still_runs_after_its_callback_is_left_until_the_next_one() -> None:
    batch = after_the_first_sample(expecting(1000))
    for now in (20.0, 50.0):
        batch.called_back([5], now)
        assert asked(batch, now) == ["5"]
        assert asked(batch, now + 20) == []


def test_a_callback_during_a_poll_causes_another_one() -> None:
    batch = after_the_first_sample(expecting(1000))
    batch.called_back([5], 50.0)
    assert batch.next_request(50.0) == "5"
    batch.called_back([5], 50.5)
    batch.receive("5", running("5"), 51.0)

    assert asked(batch, 51.0) == ["5"]


def test_a_poll_that_fails_after_a_callback_is_repeated() -> None:
    batch = after_the_first_sample(expecting(1000))
    batch.called_back([5], 50.0)
    assert batch.next_request(50.0) == "5"
    batch.receive("5", TransientError("down"), 51.0)

    assert asked(batch, 62.0) == ["5"]


def test_all_that_have_not_ended_are_polled_at_the_deadline() -> None:
    played = Played(expecting(100, deadline=60.0), lambda seeany_task_id, now: running(seeany_task_id))

    assert isinstance(played.outcome, BatchTimedOut)
    assert Counter(seeany_task_id for now, seeany_task_id in played.requests if now >= 60) == Counter(
        str(number) for number in range(100)
    )


@pytest.mark.parametrize("known", [[], [0], range(100)])
def test_no_task_is_polled_again_after_its_end(known: Sequence[int]) -> None:
    batch = expecting(100)
    batch.called_back(known, 0.0)
    played = Played(batch, lambda seeany_task_id, now: SeeAnyTask(id=seeany_task_id, status="completed"))

    assert len(played.requests) == 100
