"""
Answers a ring: finds who waits, asks SeeAny once, and resumes the waits if the task has ended.

Each SeeAny task and each wait is dealt with on its own and at the same time as the others: what fails for one does not
hide another. If anything could not be done, the ring should be repeated, even if something else was; a repeated ring
finds nobody where the first one woke somebody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.invalid_responses import validated
from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.exceptions import SeeAnyError
from airflow_provider_seeany.hooks.connection import read_settings
from airflow_provider_seeany.hooks.seeany import checked_id
from airflow_provider_seeany.triggers.task import NOTE_SECONDS
from airflow_provider_seeany.wait.deferral import FIRST_POLL_DELAY
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.callback.resume import (
    RegisteredWait,
    ids_waited_for,
    note_callback,
    resume,
    waits_for,
)
from airflow_provider_seeany.web.callback.threads import Threads

if TYPE_CHECKING:
    from airflow_provider_seeany.api.asynchronous import AsyncClient

log = logging.getLogger(__name__)

_questions = RateLimit(per_second=1, burst=10)
"""About each task: rings must not use up what SeeAny lets the connection's key ask. A service may ring for progress."""

POLL_TIMEOUT = 10.0
"""Maximum seconds for SeeAny to answer, with the look for the connection."""

TIME_LIMIT = 13.0
"""Maximum seconds for all of it; who calls back seldom waits longer for a response."""

RETRY_AFTER = 10
"""Seconds after which a ring that met trouble should be repeated."""

_database = Threads(4)
"""So few that a storm of rings leaves some of Airflow's database sessions for everybody else."""

_secrets = Threads(4)
"""A look for a connection may lead to a secrets backend far away."""


class CallbackStatus(StrEnum):
    """What a ring brought about, the furthest first."""

    WOKEN = "woken"
    """The task has ended, and what waited for it goes on."""
    NOTED = "noted"
    """The wait has only just begun; it looks within seconds."""
    STILL_RUNNING = "still_running"
    """SeeAny says that the task has not ended."""
    NOBODY_WAITS = "nobody_waits"
    """No task instance waits for it (any more)."""


class CallbackResult(msgspec.Struct, frozen=True):
    """
    What a ring brought about.

    :param happened: the furthest that it got with any wait.
    :param task_instances: how many it woke, or left a note for if it woke none.
    :param retry_after: seconds after which it should be repeated, as something could not be done; 0 if all was done.
    :param is_rate_limited: whether that is only because there were so many rings.
    """

    happened: CallbackStatus = CallbackStatus.NOBODY_WAITS
    task_instances: int = 0
    retry_after: float = 0.0
    is_rate_limited: bool = False

    @classmethod
    def of_all(cls, parts: Iterable[CallbackResult]) -> CallbackResult:
        """Return what these brought about together."""
        parts = [*parts, cls()]
        furthest = min((part.happened for part in parts), key=list(CallbackStatus).index)
        unfinished = [part for part in parts if part.retry_after]
        return cls(
            happened=furthest,
            task_instances=sum(part.task_instances for part in parts if part.happened is furthest),
            retry_after=max((part.retry_after for part in unfinished), default=0.0),
            is_rate_limited=bool(unfinished) and all(part.is_rate_limited for part in unfinished),
        )


class _SeeAnyDidNotAnswer(Exception):
    """Raised when SeeAny could not be asked; the text is for the log."""


async def handle_callback(ringer: TokenClaims, seeany_ids: Sequence[str]) -> CallbackResult:
    """
    Do what a ring asks for, without blocking the event loop, in no more than :data:`TIME_LIMIT`. Nothing is raised.

    :param ringer: what its token says.
    :param seeany_ids: what may be the id of a SeeAny task, by its body.
    """
    deadline = asyncio.get_running_loop().time() + TIME_LIMIT
    try:
        async with asyncio.timeout_at(deadline):
            waits = await _found(ringer, seeany_ids)
    except Exception as error:
        return _failed(ringer.seeany_conn_id, error)
    resumable: dict[str, list[RegisteredWait]] = {}
    parts: list[Awaitable[CallbackResult]] = []
    for waiting in waits:
        if waiting.is_resumable:
            resumable.setdefault(waiting.mark.seeany_task_id, []).append(waiting)
        else:
            parts.append(_noted(waiting, deadline))
    parts += [_answered(waiting_for_it, deadline) for waiting_for_it in resumable.values()]
    return CallbackResult.of_all(await asyncio.gather(*parts))


async def _found(ringer: TokenClaims, seeany_ids: Sequence[str]) -> list[RegisteredWait]:
    if ringer.waiting is not None:
        seeany_ids = [*seeany_ids, *await _database.run(partial(ids_waited_for, ringer.waiting))]
    return await _database.run(partial(waits_for, ringer.seeany_conn_id, seeany_ids))


async def _noted(waiting: RegisteredWait, deadline: float) -> CallbackResult:
    """Leave a note for a wait that may not be resumed yet; one that it may not have read is to be rung again for."""
    # Of a wait in its first worker that is known at least: its trigger looks no sooner.
    first_poll_at = waiting.resumable_at or time.time() + FIRST_POLL_DELAY[0]
    try:
        async with asyncio.timeout_at(deadline):
            is_there = await _database.run(partial(note_callback, waiting))
    except Exception as error:
        return _failed(waiting.mark.seeany_conn_id, error)
    if not is_there:
        return CallbackResult()
    if time.time() > first_poll_at + NOTE_SECONDS:
        log.warning("SeeAny rang, but Airflow's database took so long that the wait may not have noticed")
        return CallbackResult(retry_after=RETRY_AFTER)
    return CallbackResult(CallbackStatus.NOTED, 1)


async def _answered(waits: Sequence[RegisteredWait], deadline: float) -> CallbackResult:
    """Ask about the SeeAny task that all of these wait for, and resume them if it has ended."""
    mark = waits[0].mark
    if wait := _questions.wait((mark.seeany_conn_id, mark.seeany_task_id)):
        return CallbackResult(retry_after=wait, is_rate_limited=True)
    try:
        async with asyncio.timeout_at(deadline):
            outcome = await _asked(mark.seeany_conn_id, mark.seeany_task_id)
    except Exception as error:
        return _failed(mark.seeany_conn_id, error)
    if outcome is None:
        return CallbackResult(CallbackStatus.STILL_RUNNING)
    resumed = CallbackResult.of_all(await asyncio.gather(*(_resumed(waiting, outcome, deadline) for waiting in waits)))
    # Fewer than were found, if the poll or another ring was quicker.
    log.info(
        "SeeAny rang: task %s has ended, which woke %d task instances",
        sanitize(mark.seeany_task_id),
        resumed.task_instances,
    )
    return resumed


async def _resumed(waiting: RegisteredWait, outcome: Finished, deadline: float) -> CallbackResult:
    try:
        async with asyncio.timeout_at(deadline):
            is_resumed = await _database.run(partial(resume, waiting, outcome))
    except Exception as error:
        return _failed(waiting.mark.seeany_conn_id, error)
    return CallbackResult(CallbackStatus.WOKEN, 1) if is_resumed else CallbackResult()


async def _asked(seeany_conn_id: str, seeany_task_id: str) -> Finished | None:
    """Ask SeeAny once; return the task's end, or ``None`` if it is still running."""
    try:
        async with asyncio.timeout(POLL_TIMEOUT):
            async with await _secrets.run(partial(_client, seeany_conn_id)) as client:
                task = validated(await client.get_task(checked_id(seeany_task_id)))
    except TimeoutError:
        raise _SeeAnyDidNotAnswer(f"no answer within {POLL_TIMEOUT:g} s") from None
    except (ApiError, SeeAnyError) as error:
        # Whether that is an end is for the wait itself to say: it knows how often in a row that has happened.
        raise _SeeAnyDidNotAnswer(str(error)) from None
    return None if task.is_running else Finished(dict(task.payload))


def _client(seeany_conn_id: str) -> AbstractAsyncContextManager[AsyncClient]:
    """
    Read the connection and return what lends its client. It blocks; so does loading the client's module.

    The hook's asynchronous look for a connection would not do: Airflow runs it in the one thread that it has for all
    such work in a process, so a single look that hangs would be the last one. Nor would the hook's blocking client, a
    cached property: before Python 3.12 only one thread at a time makes any hook's.
    """
    from airflow_provider_seeany.api.asynchronous import shared_client

    return shared_client(read_settings(seeany_conn_id))


def _failed(seeany_conn_id: str, error: Exception) -> CallbackResult:
    """Say in the log why something could not be done, and ask for another ring."""
    match error:
        case _SeeAnyDidNotAnswer():
            log.warning("SeeAny rang, but could not be asked through connection %r: %s", seeany_conn_id, error)
        case SQLAlchemyError():
            # Its text quotes what was looked for.
            log.error("SeeAny rang, but Airflow's database could not be used: %s", type(error).__name__)
        case TimeoutError():
            log.error("SeeAny rang, but Airflow's database did not answer within %g s", TIME_LIMIT)
        case _:
            log.error("SeeAny rang, but that failed: %s: %s", type(error).__name__, sanitize(str(error)))
    return CallbackResult(retry_after=RETRY_AFTER)
