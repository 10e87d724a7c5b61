"""
The one policy for asking again within a single call of a hook. A wait has a pace of its own and is not retried here.

Passing trouble is asked about again after a random pause of up to 1, 2, 4 … seconds, ``Retry-After`` obeyed up to
:data:`LONGEST_RETRY_AFTER_OF_A_CALL`; after :data:`MOST_QUESTIONS`, or :data:`MOST_SECONDS`, what was answered last is
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

from airflow_provider_seeany.api.trouble import Kind, Trouble

MOST_QUESTIONS = 5
"""Most questions of one call, the first one included."""

MOST_SECONDS = 60.0
"""No question is asked later than this many seconds after the first. The last one may take its request timeout."""

LONGEST_PAUSE = 10.0
"""Most seconds between two questions, unless the service asks for more."""

LONGEST_RETRY_AFTER_OF_A_CALL = 30.0
"""Most seconds that a ``Retry-After`` is obeyed for."""


def ask_patiently(ask: Callable[[], Any]) -> Any:
    """
    Ask until there is an answer, or trouble that will not pass, or no patience left; return what came last.

    :param ask: asks once; what it returns is trouble if it is a :class:`~airflow_provider_seeany.api.trouble.Trouble`.
    """
    return Retrying(**_policy())(ask)


async def ask_patiently_async(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask as :func:`ask_patiently` does, without blocking the event loop."""

    async def asked() -> Any:
        return await ask()

    return await AsyncRetrying(**_policy())(asked)


def _policy() -> dict[str, Any]:
    return {
        "retry": retry_if_result(lambda reply: isinstance(reply, Trouble) and reply.kind is not Kind.PERMANENT),
        "wait": _pause,
        "stop": stop_after_attempt(MOST_QUESTIONS) | stop_before_delay(MOST_SECONDS),
        "retry_error_callback": _last_reply,
    }


def _pause(state: RetryCallState) -> float:
    seconds: float = wait_random_exponential(max=LONGEST_PAUSE)(state)
    reply: Trouble = _last_reply(state)
    if reply.kind is Kind.THROTTLED and reply.retry_after is not None:
        return max(seconds, min(reply.retry_after, LONGEST_RETRY_AFTER_OF_A_CALL))
    return seconds


def _last_reply(state: RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
