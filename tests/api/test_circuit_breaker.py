"""The circuit breaker of a batch: when it opens, what is logged, and when it closes."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, TransientError
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.recorded_log import RecordedLog

DOWN = TransientError("SeeAny could not be reached")
PAGE = InvalidResponseError("the body is HTML")
RUNNING = SeeAnyTask.from_payload({"id": "x", "status": "processing"})


@pytest.fixture
def breaker(log: RecordedLog) -> CircuitBreaker:
    return CircuitBreaker(poll_interval=10, log=log)


def fails(
    breaker: CircuitBreaker, at: float, *, tasks: int = FAILURE_THRESHOLD, error: ApiError = DOWN
) -> list[ApiError | None]:
    """Let the polls of some tasks fail."""
    return [breaker.receive(index, error, at) for index in range(tasks)]


def test_a_few_failing_tasks_do_not_open_it_however_often_they_fail(breaker: CircuitBreaker, log: RecordedLog) -> None:
    for minute in range(60):
        fails(breaker, 60.0 * minute, tasks=FAILURE_THRESHOLD - 1)

    assert not breaker.is_open
    assert log.warnings == []


def test_a_service_that_comes_and_goes_is_logged_every_half_a_minute_at_most(
    breaker: CircuitBreaker, log: RecordedLog
) -> None:
    for second in range(0, 120, 2):
        fails(breaker, second)
        breaker.receive(0, RUNNING, second + 1)

    assert len(log.warnings) == len(log.infos) == 4


def test_the_length_of_a_failure_is_logged_with_the_next_response(breaker: CircuitBreaker, log: RecordedLog) -> None:
    fails(breaker, 100.0)
    for at in (110.0, 125.0, 147.5):
        breaker.receive(0, DOWN, at)
    breaker.receive(0, RUNNING, 160.0)

    assert log.infos == ["SeeAny responded again after 23 failures in 60 s"]


def test_when_it_opens_a_second_time_it_probes_as_soon_as_the_first_time(breaker: CircuitBreaker) -> None:
    at = 0.0
    for _ in range(10):
        fails(breaker, at)
        at = breaker.next_probe_at
    breaker.receive(0, RUNNING, at)

    fails(breaker, at + 1)

    assert breaker.next_probe_at - (at + 1) == 10


def test_invalid_responses_about_a_few_tasks_do_not_end_the_others(breaker: CircuitBreaker) -> None:
    """None of them was polled often enough to be given up, and the other tasks not at all."""
    for at in (0.0, 40.0, 80.0):
        assert fails(breaker, at, tasks=FAILURE_THRESHOLD - 1, error=PAGE) == [None] * (FAILURE_THRESHOLD - 1)

    assert breaker.receive(FAILURE_THRESHOLD, PAGE, 120.0) == PAGE
