"""
The one policy for asking again within a single call, of a hook; a wait has a pace of its own and is not retried here.

Passing trouble is asked about again after a random pause of up to 1, 2, 4 … seconds, ``Retry-After`` obeyed up to
:data:`LONGEST_RETRY_AFTER`; after :data:`MOST_QUESTIONS`, or :data:`MOST_SECONDS`, what was answered last is returned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from airflow_provider_seeany.api.trouble import Kind, Trouble
from airflow_provider_seeany.api.wait import UNUSABLE_IN_A_ROW

MOST_QUESTIONS = UNUSABLE_IN_A_ROW
"""Most questions of one call, the first one included."""

MOST_SECONDS = 60.0
"""No question is asked later than this many seconds after the first; the last one may take its request time-out."""

LONGEST_PAUSE = 10.0
"""Most seconds between two questions, unless the service asks for more."""

LONGEST_RETRY_AFTER = 30.0
"""Most seconds that a ``Retry-After`` is obeyed for."""

_jittered = wait_random_exponential(multiplier=1, max=LONGEST_PAUSE)


def ask_patiently(ask: Callable[[], Any], **more: Any) -> Any:
    """
    Ask until there is an answer, or trouble that will not pass, or no patience; return what came last.

    :param ask: asks once; what it returns is trouble if it is a :class:`~airflow_provider_seeany.api.trouble.Trouble`.
    :param more: parameters of :class:`tenacity.Retrying`, such as ``sleep``.
    """
    return Retrying(**_policy(), **more)(ask)


async def ask_patiently_async(ask: Callable[[], Awaitable[Any]], **more: Any) -> Any:
    """Ask as :func:`ask_patiently` does, without blocking the event loop."""
    return await AsyncRetrying(**_policy(), **more)(ask)


def _policy() -> dict[str, Any]:
    unusable_in_a_row = 0

    def is_worth_another(state: RetryCallState) -> bool:
        nonlocal unusable_in_a_row
        assert state.outcome is not None
        if state.outcome.failed:
            return False
        reply = state.outcome.result()
        unusable = isinstance(reply, Trouble) and reply.kind is Kind.UNUSABLE
        unusable_in_a_row = unusable_in_a_row + 1 if unusable else 0
        return isinstance(reply, Trouble) and reply.kind is not Kind.PERMANENT

    def last_reply(state: RetryCallState) -> Any:
        assert state.outcome is not None
        reply = state.outcome.result()
        if unusable_in_a_row >= UNUSABLE_IN_A_ROW:
            return msgspec.structs.replace(reply, is_repeated=True)
        return reply

    return {
        "retry": is_worth_another,
        "wait": _pause,
        "stop": stop_after_attempt(MOST_QUESTIONS) | stop_before_delay(MOST_SECONDS),
        "retry_error_callback": last_reply,
    }


def _pause(state: RetryCallState) -> float:
    assert state.outcome is not None
    seconds = float(_jittered(state))
    reply = state.outcome.result()
    if isinstance(reply, Trouble) and reply.kind is Kind.THROTTLED and reply.retry_after is not None:
        return max(seconds, min(reply.retry_after, LONGEST_RETRY_AFTER))
    return seconds
