"""Which task is polled next, where more are due than the limits allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_seeany.api.poll_queue import EXPLORE_EVERY, PollQueue


def queue_of(count: int, *, ends: Callable[[int], float | None], due: float = 10.0) -> PollQueue:
    """Return a queue whose tasks were polled once each, at time 0, and are due again."""
    queue = PollQueue(range(count), 0.0)
    for index in range(count):
        assert queue.take(0.0) == index
        queue.record(index, had_ended=False)
        queue.push(index, due=due, ends=ends(index))
    return queue


def test_no_task_is_polled_before_it_is_due() -> None:
    queue = queue_of(3, ends=lambda index: 0.0)

    assert queue.next_at == 10.0


def test_a_task_that_should_have_ended_is_polled_first() -> None:
    queue = queue_of(4, ends=lambda index: {1: 60.0, 3: 50.0}.get(index, 500.0))

    assert [queue.take(100.0) for _ in range(4)] == [3, 1, 0, 2]


def test_a_task_that_should_not_have_ended_is_polled_all_the_same_when_due() -> None:
    queue = queue_of(2, ends=lambda index: None if index else 500.0)

    assert [queue.take(10.0) for _ in range(2)] == [0, 1]
    assert not queue
    assert queue.next_at == float("inf")


def test_forecasts_that_do_not_come_true_lose_their_precedence() -> None:
    """Those with even indexes should have ended, and have not; the others have no forecast, and have ended."""
    queue = queue_of(400, ends=lambda index: None if index % 2 else 0.0)
    taken = []
    for _ in range(200):
        taken.append(index := queue.take(10.0))
        queue.record(index, had_ended=index % 2 == 1)

    assert sum(index % 2 for index in taken[:10]) <= 2
    # As if there were no forecasts: in the order in which they are due.
    assert sum(index % 2 for index in taken[100:]) >= 40


def test_forecasts_that_come_true_again_regain_their_precedence() -> None:
    queue = queue_of(1000, ends=lambda index: None if index % 2 else 0.0)
    for true in (False, True):
        taken = []
        for _ in range(300):
            taken.append(index := queue.take(10.0))
            queue.record(index, had_ended=true if index % 2 == 0 else not true)

    assert sum(index % 2 == 0 for index in taken[200:]) >= 100 - 2 * 100 // EXPLORE_EVERY


def test_a_task_that_is_in_both_queues_is_polled_once() -> None:
    queue = queue_of(5, ends=lambda index: 1.0)

    assert sorted(queue.take(50.0) for _ in range(5)) == [0, 1, 2, 3, 4]
    assert not queue


def test_a_request_comes_just_after_the_end_and_not_just_before() -> None:
    queue = queue_of(2, ends=lambda index: 60.0 if index == 1 else None)

    assert queue.take(60.2) == 0
    queue.record(0, had_ended=False)
    queue.push(0, due=60.3, ends=None)
    assert queue.take(60.6) == 1


@pytest.mark.parametrize("count", range(2, 25))
def test_a_task_that_should_have_ended_is_polled_first_however_many_polls_were_not_contested(count: int) -> None:
    queue = queue_of(count, ends=lambda index: 50.0 if index == count - 1 else None)

    assert queue.take(100.0) == count - 1


def test_forecasts_have_precedence_though_other_tasks_had_ended_at_the_first_poll() -> None:
    queue = PollQueue(range(40), 0.0)
    for index in range(40):
        queue.take(0.0)
        queue.record(index, had_ended=index % 2 == 0)
        if index % 2:
            queue.push(index, due=10.0 + index, ends=100.0 - index)

    assert [queue.take(200.0) for _ in range(5)] == [39, 37, 35, 33, 31]
