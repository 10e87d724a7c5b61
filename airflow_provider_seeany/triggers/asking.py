"""What all triggers share: looking for the connection, lending its client, and reporting instead of raising."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_seeany.api.request import BadSettings, BadTaskId
from airflow_provider_seeany.api.trouble import Kind, Trouble, cleaned
from airflow_provider_seeany.api.wait import BadId, Crashed, Misconfigured, Pause
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyConnectionNotFound
from airflow_provider_seeany.hooks.seeany import SeeAnyHook

if TYPE_CHECKING:
    from airflow_provider_seeany.api.asynchronous import AsyncClient

End = TypeVar("End")

PATIENCE_WITH_CONNECTION = 300.0
"""Seconds for which a trigger goes on looking for its connection before it reports that there is none."""


class ErrorLog(Protocol):
    """The part of a logger that is needed here."""

    def exception(self, msg: str, /, *args: object) -> Any:
        """Log a line with the exception that is being handled."""


async def sleep_until(moment: float | None) -> None:
    """Sleep until a moment in Unix seconds; not at all if there is none, or it has passed."""
    if moment is not None:
        await asyncio.sleep(max(moment - time.time(), 0))


async def reported(wait: Awaitable[End], *, about: str, log: ErrorLog) -> End | Misconfigured | BadId | Crashed:
    """
    Return what a wait ends with, also if it ends with an exception, of which Airflow would make an unspecific one.

    :param wait: the wait.
    :param about: what is waited for, for the log.
    :param log: the log of the trigger.
    """
    try:
        return await wait
    except (SeeAnyConfigError, SeeAnyConnectionNotFound, BadSettings) as error:
        return Misconfigured(str(error))
    except BadTaskId as error:
        return BadId(str(error))
    except Exception as error:
        # Nobody knows what this is, so a worker says it, and the task's retries decide.
        log.exception("The wait for %s broke off", about)
        return Crashed(f"{type(error).__name__}: {cleaned(str(error))}")


async def asked_patiently(
    seeany_conn_id: str,
    ask: Callable[[AsyncClient], Awaitable[End]],
    not_found: Callable[[Trouble, int], End | Pause],
) -> End:
    """
    Return what asking through a connection ends with.

    :param seeany_conn_id: the connection.
    :param ask: asks until the end, with the client that it is lent.
    :param not_found: told each time that the connection was not found, and how often in a row, it says what to do.
    :raises SeeAnyConnectionNotFound: if it was not found for :data:`PATIENCE_WITH_CONNECTION`.
    """
    patience_ends = time.monotonic() + PATIENCE_WITH_CONNECTION
    in_a_row = 0
    while True:
        try:
            async with SeeAnyHook(seeany_conn_id).async_client() as client:
                return await ask(client)
        except SeeAnyConnectionNotFound as error:
            # Airflow says so, too, of a secrets backend or an api-server that is down for a moment.
            if time.monotonic() >= patience_ends:
                raise
            in_a_row += 1
            step = not_found(Trouble(kind=Kind.TRANSIENT, text=str(error)), in_a_row)
            if not isinstance(step, Pause):
                return step
            await asyncio.sleep(step.seconds)
