"""Retries within one call: after which errors, how many, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_seeany.api import retries
from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.retries import (
    MAX_ATTEMPTS,
    MAX_RETRY_AFTER,
    acall_with_retries,
    call_once_with_retries,
    call_with_retries,
)

Request = Callable[[Callable[[], Any]], Any]

MAX_PAUSE = retries.MAX_PAUSE
"""As it is outside of tests."""


class Time:
    """Passes only in calls of ``sleep``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note the sleep and let the time pass."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    """A time in which no test has to wait."""
    passing = Time()
    monkeypatch.setattr(retries, "MAX_PAUSE", MAX_PAUSE)
    monkeypatch.setattr(time, "monotonic", lambda: passing.now)
    monkeypatch.setattr(time, "sleep", passing.sleep)
    return passing


def replies(*those: object) -> Callable[[], Any]:
    """Return a request that returns or raises these, one after the other."""
    left = list(those)

    def request() -> object:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, ApiError):
            raise reply
        return reply

    return request


@pytest.mark.parametrize("kind", [TransientError, ThrottledError, InvalidResponseError])
def test_what_may_pass_is_retried(passing: Time, kind: type[ApiError]) -> None:
    assert call_with_retries(replies(kind("no"), kind("no"), "response")) == "response"
    assert len(passing.slept) == 2


def test_what_another_request_cannot_mend_is_not_retried(passing: Time) -> None:
    with pytest.raises(PermanentError):
        call_with_retries(replies(PermanentError("no"), "task"))
    assert passing.slept == []


@pytest.mark.parametrize("kind", [TransientError, ThrottledError, InvalidResponseError, PermanentError])
@pytest.mark.parametrize("was_not_carried_out", [True, False])
def test_what_must_not_be_carried_out_twice_is_repeated_only_if_it_was_not_and_may_pass(
    passing: Time, kind: type[ApiError], was_not_carried_out: bool
) -> None:
    request = replies(kind("no", was_not_carried_out=was_not_carried_out), "response")

    if was_not_carried_out and kind in (TransientError, ThrottledError):
        assert call_once_with_retries(request) == "response"
    else:
        with pytest.raises(kind):
            call_once_with_retries(request)
        assert passing.slept == []


def test_after_the_maximum_of_attempts_the_last_error_is_raised(passing: Time) -> None:
    requests = []
    last = TransientError("last")
    reply = replies(*[TransientError("no")] * (MAX_ATTEMPTS - 1), last)

    with pytest.raises(TransientError) as error:
        call_with_retries(lambda: requests.append(1) or reply())
    assert error.value is last
    assert len(requests) == MAX_ATTEMPTS


def test_any_other_exception_is_not_retried(passing: Time) -> None:
    requests = []

    def request() -> None:
        requests.append(1)
        raise ValueError("no endpoint")

    with pytest.raises(ValueError, match="no endpoint"):
        call_with_retries(request)
    assert len(requests) == 1


def test_pauses_grow_within_their_bounds_and_have_full_jitter(passing: Time) -> None:
    for _ in range(300):
        with pytest.raises(TransientError):
            call_with_retries(replies(TransientError("no")))

    for number in range(MAX_ATTEMPTS - 1):
        pauses = passing.slept[number :: MAX_ATTEMPTS - 1]
        maximum = min(2**number, MAX_PAUSE)
        assert 0 <= min(pauses) < 0.1 * maximum
        assert 0.9 * maximum < max(pauses) <= maximum


def test_a_retry_after_is_obeyed(passing: Time) -> None:
    call_with_retries(replies(ThrottledError("no", retry_after=20), "response"))

    assert passing.slept == [20]


def test_a_retry_after_of_zero_does_not_remove_the_pauses(passing: Time) -> None:
    """It would make all callers of a busy service come back together."""
    for _ in range(100):
        call_with_retries(replies(ThrottledError("no", retry_after=0), "response"))

    assert min(passing.slept) < 0.1 < 0.9 < max(passing.slept)


@pytest.mark.parametrize("kind", [TransientError, InvalidResponseError])
def test_a_retry_after_is_obeyed_only_of_a_service_that_is_too_busy(passing: Time, kind: type[ApiError]) -> None:
    call_with_retries(replies(kind("no", retry_after=20), "response"))

    assert passing.slept[0] <= 1


def test_an_absurd_retry_after_is_obeyed_up_to_a_bound(passing: Time) -> None:
    call_with_retries(replies(ThrottledError("no", retry_after=86_400), "response"))

    assert passing.slept == [MAX_RETRY_AFTER]


@pytest.mark.parametrize("retry_after", [None, 29.0, 1e9])
def test_no_request_is_sent_after_a_minute(passing: Time, retry_after: float | None) -> None:
    began, requested_at = passing.now, []
    reply = replies(ThrottledError("no", retry_after=retry_after))

    with pytest.raises(ThrottledError):
        call_with_retries(lambda: requested_at.append(passing.now) or reply())

    assert requested_at[-1] - began <= 60


def test_the_event_loop_continues_meanwhile() -> None:
    """The pauses are a hundredth of a second here."""
    reply = replies(*[TransientError("no")] * 3, "response")

    async def request() -> Any:
        return reply()

    async def both() -> tuple[Any, int]:
        iterations = 0
        requesting = asyncio.create_task(acall_with_retries(request))
        while not requesting.done():
            iterations += 1
            await asyncio.sleep(0)
        return requesting.result(), iterations

    result, iterations = asyncio.run(both())

    assert result == "response"
    assert iterations > 3
