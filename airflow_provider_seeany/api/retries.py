"""
The one policy for asking again within a single call of a hook. A wait has a pace of its own and is not retried here.

Passing trouble is asked about again after a random pause of up to 1, 2, 4 … seconds, ``Retry-After`` obeyed up to
:data:`MAX_RETRY_AFTER`; after :data:`MAX_ATTEMPTS`, or :data:`MAX_SECONDS`, what was answered last is
returned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from airflow_provider_seeany.api.errors import Kind, Trouble

MAX_ATTEMPTS = 5
"""Most questions of one call, the first one included."""

MAX_SECONDS = 60.0
"""No question is asked later than this many seconds after the first. The last one may take its request timeout."""

MAX_PAUSE = 10.0
"""Most seconds between two questions, unless the service asks for more."""

MAX_RETRY_AFTER = 30.0
"""Most seconds that a ``Retry-After`` is obeyed for."""


def call_with_retries(ask: Callable[[], Any]) -> Any:
    """
    Ask until there is an answer, or trouble that will not pass, or no patience left; return what came last.

    :param ask: asks once; what it returns is trouble if it is a :class:`~airflow_provider_seeany.api.errors.Trouble`.
    """
    return Retrying(**_policy())(ask)


async def acall_with_retries(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask as :func:`call_with_retries` does, without blocking the event loop."""

    async def asked() -> Any:
        return await ask()

    return await AsyncRetrying(**_policy())(asked)


def _policy() -> dict[str, Any]:
    return {
        "retry": retry_if_result(lambda reply: isinstance(reply, Trouble) and reply.kind is not Kind.PERMANENT),
        "wait": _pause,
        "stop": stop_after_attempt(MAX_ATTEMPTS) | stop_before_delay(MAX_SECONDS),
        "retry_error_callback": _last_reply,
    }


def _pause(state: RetryCallState) -> float:
    seconds: float = wait_random_exponential(max=MAX_PAUSE)(state)
    reply: Trouble = _last_reply(state)
    if reply.kind is Kind.THROTTLED and reply.retry_after is not None:
        return max(seconds, min(reply.retry_after, MAX_RETRY_AFTER))
    return seconds


def _last_reply(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
