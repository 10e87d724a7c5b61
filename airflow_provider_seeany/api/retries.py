"""
The retry policy of a single call of a hook. A wait polls at its own intervals and is not retried here.

Errors other than a permanent one are retried after a random pause of up to 1, 2, 4 … seconds. ``Retry-After`` is
obeyed up to :data:`MAX_RETRY_AFTER`. After :data:`MAX_ATTEMPTS` or :data:`MAX_SECONDS` the last error is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from airflow_provider_seeany.api.errors import InvalidResponseError, ThrottledError, TransientError

Result = TypeVar("Result")

MAX_ATTEMPTS = 5  # maximum number of requests in one call

MAX_SECONDS = 60.0
"""No request starts later than this many seconds after the first. The last one may take its request timeout."""

MAX_PAUSE = 10.0  # maximum seconds between two requests, unless the service asks for more
MAX_RETRY_AFTER = 30.0  # maximum seconds for which ``Retry-After`` is obeyed


def call_with_retries(request: Callable[..., Result], *args: Any) -> Result:
    """Call a function that makes one request; retry it as the policy says."""
    return Retrying(**_policy())(request, *args)


async def acall_with_retries(request: Callable[..., Awaitable[Result]], *args: Any) -> Result:
    """Do as :func:`call_with_retries` does, with a coroutine function."""
    result: Result = await AsyncRetrying(**_policy())(request, *args)
    return result


def call_once_with_retries(request: Callable[..., Result], *args: Any) -> Result:
    """Do the same with a request that must not be carried out twice: repeat it only if it certainly was not."""
    return Retrying(**_policy() | {"retry": retry_if_exception(_may_be_repeated)})(request, *args)


def _may_be_repeated(error: BaseException) -> bool:
    return isinstance(error, ThrottledError | TransientError) and error.was_not_carried_out


def _policy() -> dict[str, Any]:
    return {
        "retry": retry_if_exception_type((ThrottledError, TransientError, InvalidResponseError)),
        "wait": _pause,
        "stop": stop_after_attempt(MAX_ATTEMPTS) | stop_before_delay(MAX_SECONDS),
        "reraise": True,
    }


def _pause(state: RetryCallState) -> float:
    seconds: float = wait_random_exponential(max=MAX_PAUSE)(state)
    assert state.outcome is not None
    error = state.outcome.exception()
    if isinstance(error, ThrottledError) and error.retry_after is not None:
        return max(seconds, min(error.retry_after, MAX_RETRY_AFTER))
    return seconds
