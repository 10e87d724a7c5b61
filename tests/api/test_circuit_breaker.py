"""What a batch makes of a service that is down as a whole."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, TransientError
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.api.lines import Lines

DOWN = TransientError("SeeAny could not be reached")
PAGE = InvalidResponseError("the body is HTML")
RUNNING = SeeAnyTask.from_payload({"id": "x", "status": "processing"})


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def outage(log: Lines) -> CircuitBreaker:
    return CircuitBreaker(poll_interval=10, log=log)


def fails(
    outage: CircuitBreaker, at: float, *, tasks: int = FAILURE_THRESHOLD, trouble: ApiError = DOWN
) -> list[ApiError | None]:
    """Let the question about each of some tasks bring trouble."""
    return [outage.receive(place, trouble, at) for place in range(tasks)]


def test_few_tasks_failing_are_no_outage_however_often_they_fail(outage: CircuitBreaker, log: Lines) -> None:
    for minute in range(60):
        fails(outage, 60.0 * minute, tasks=FAILURE_THRESHOLD - 1)

    assert not outage.is_open
    assert log.warnings == []


def test_a_service_that_comes_and_goes_is_told_of_every_half_a_minute_at_most(
    outage: CircuitBreaker, log: Lines
) -> None:
    for second in range(0, 120, 2):
        fails(outage, second)
        outage.receive(0, RUNNING, second + 1)

    assert len(log.warnings) == len(log.infos) == 4


def test_it_is_told_for_how_long_nothing_was_answered(outage: CircuitBreaker, log: Lines) -> None:
    fails(outage, 100.0)
    for at in (110.0, 125.0, 147.5):
        outage.receive(0, DOWN, at)
    outage.receive(0, RUNNING, 160.0)

    assert log.infos == ["SeeAny responded again after 23 failures in 60 s"]


def test_a_second_outage_is_found_over_as_soon_as_the_first_one(outage: CircuitBreaker) -> None:
    at = 0.0
    for _ in range(10):
        fails(outage, at)
        at = outage.next_probe_at
    outage.receive(0, RUNNING, at)

    fails(outage, at + 1)

    assert outage.next_probe_at - (at + 1) == 10


def test_odd_responses_about_a_few_tasks_do_not_end_the_others(outage: CircuitBreaker) -> None:
    """Each of them was asked about too seldom to be given up, and the other tasks not at all."""
    for at in (0.0, 40.0, 80.0):
        assert fails(outage, at, tasks=FAILURE_THRESHOLD - 1, trouble=PAGE) == [None] * (FAILURE_THRESHOLD - 1)

    assert outage.receive(FAILURE_THRESHOLD, PAGE, 120.0) == PAGE
