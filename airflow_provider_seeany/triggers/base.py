"""What all triggers share: looking for the connection, lending its client, and reporting instead of raising."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_seeany.api.errors import ApiError, BadSettings
from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured
from airflow_provider_seeany.api.task_id import BadTaskId
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.api.wait_log import log_abandoned
from airflow_provider_seeany.hooks.connection import runs_in_one_process
from airflow_provider_seeany.hooks.reauth import (
    CONNECTION_ERRORS,
    FIRST_CONNECTION_RETRY_SECONDS,
    ReauthenticatingClient,
    RetryBudget,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.triggers.xcoms import TriggererXComs, state_of

End = TypeVar("End")


class ErrorLog(Protocol):
    """The part of a logger that is needed here."""

    def exception(self, msg: str, /, *args: object) -> Any:
        """Log a line with the exception that is being handled."""


def began(deadline: float | None, timeout: float | None) -> float:
    """
    Return when a wait began, in Unix seconds; now, if that is not known.

    :param deadline: when it ends.
    :param timeout: the seconds that it was given.
    """
    return time.time() if deadline is None or timeout is None else deadline - timeout


def is_restart(began: float, now: float) -> bool:
    """
    Tell whether a trigger that should ask for the first time must have asked before, in another triggerer.

    :param began: when the wait began, in Unix seconds.
    :param now: Unix seconds.
    """
    return now > began + FIRST_CONNECTION_RETRY_SECONDS


async def sleep_until(moment: float | None, clock: Callable[[], float]) -> None:
    """Sleep until a moment in Unix seconds; not at all if there is none, or it has passed."""
    if moment is not None:
        await asyncio.sleep(max(moment - clock(), 0))


async def reported(wait: Awaitable[End], *, about: str, log: ErrorLog) -> End | Misconfigured | BadId | Crashed:
    """
    Return what a wait ends with, also if it ends with an exception, of which Airflow would make an unspecific one.

    :param wait: the wait.
    :param about: what is waited for, for the log.
    :param log: the log of the trigger.
    """
    try:
        return await wait
    except (*CONNECTION_ERRORS, BadSettings) as error:
        return Misconfigured(str(error))
    except BadTaskId as error:
        return BadId(str(error))
    except Exception as error:
        # Nobody knows what this is, so a worker says it, and the task's retries decide.
        log.exception("The wait for %s broke off", about)
        return Crashed(f"{type(error).__name__}: {sanitize(str(error))}")


async def poll_through_connection(
    seeany_conn_id: str,
    ask: Callable[[ReauthenticatingClient], Awaitable[End]],
    connection_failed: Callable[[ApiError, int], End | Pause],
    *,
    was_used: bool,
) -> End:
    """
    Return what asking through a connection ends with.

    :param seeany_conn_id: the connection.
    :param ask: asks until the end, with the client that it is lent.
    :param connection_failed: told each time that the connection was not found or cannot be used, and how often in a
        row, it says what to do.
    :param was_used: whether an earlier part of the wait has used the connection.
    :raises SeeAnyError: if that lasts longer than a wait has patience.
    """
    patience = RetryBudget(was_used=was_used)
    async with AsyncExitStack() as stack:
        while True:
            try:
                client = await stack.enter_async_context(SeeAnyHook(seeany_conn_id).async_client())
                break
            except CONNECTION_ERRORS as error:
                if runs_in_one_process():
                    raise  # Somebody sits before it, and nothing that is down for a moment is between.
                failure = patience.record_failure(error)
            step = connection_failed(failure, patience.in_a_row)
            if not isinstance(step, Pause):
                return step
            await asyncio.sleep(min(step.seconds, patience.left))
        return await ask(client)


TAKEN_ON = ("deferred", "scheduled", "queued", "running")
"""States of a task whose wait ended here because something goes on elsewhere."""


async def log_killed(trigger: BaseTrigger, *, about: str) -> None:
    """
    Say in the log that nobody waits any more, if that is so.

    Airflow ends a trigger also when another triggerer takes it over, or when something else than the trigger has
    resumed the task, or ended it with its result.

    :param trigger: the trigger that was ended.
    :param about: what it waited for, for a person.
    """
    state = await state_of(trigger.task_instance)
    is_delivered = state == "success" and await TriggererXComs(trigger.task_instance).has_result()
    if state in TAKEN_ON or is_delivered:
        trigger.log.info("The wait for %s ended in this triggerer; the Airflow task is %s", about, state)
    else:
        log_abandoned(about, trigger.log)


@contextmanager
def log_if_cancelled(trigger: BaseTrigger, *, about: str, may_be_rung_for: bool = False) -> Iterator[None]:
    """
    Say in the log of an Airflow before 3.3, which never calls ``on_kill``, what goes on if a trigger is cancelled.

    :param trigger: the trigger.
    :param about: what it waits for, for a person.
    :param may_be_rung_for: whether SeeAny's callback may have ended the wait. As that is what is expected, nobody is
        warned.
    """
    try:
        yield
    except asyncio.CancelledError:
        if not hasattr(BaseTrigger, "on_kill"):
            tell = trigger.log.info if may_be_rung_for else trigger.log.warning
            tell(
                "The wait for %s ended in this triggerer. %s it was a user who ended it: what SeeAny does is left "
                "alone, and may still finish and cost money",
                about,
                "SeeAny called back, unless" if may_be_rung_for else "If",
            )
        raise
