"""Answers a ring: finds who waits, asks SeeAny once, and resumes the waits if the task has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache, partial
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from airflow_provider_seeany.api.trouble import KeepsState, Trouble, cleaned
from airflow_provider_seeany.api.wait import Finished, credible
from airflow_provider_seeany.callback.rate import RateLimit
from airflow_provider_seeany.callback.token import Ringer
from airflow_provider_seeany.callback.waiting import Waiting, ids_waited_for, note_ring, resume, waits_for
from airflow_provider_seeany.exceptions import SeeAnyError
from airflow_provider_seeany.hooks.seeany import SeeAnyHook, checked_id

log = logging.getLogger(__name__)

_questions = RateLimit(per_second=1, burst=10)
"""About each task: rings must not use up what SeeAny lets the connection's key ask. A service may ring for progress."""

PATIENCE = 10.0
"""Most seconds for SeeAny to answer; who calls back seldom waits longer for a response."""

MOST_THREADS = 4
"""Most database sessions at once, so that a storm of rings leaves some for everybody else."""

Result = TypeVar("Result")


class Happened(StrEnum):
    """What a ring brought about."""

    WOKEN = "woken"
    """The task has ended, and what waited for it goes on."""
    NOTED = "noted"
    """The wait has only just begun; it looks within seconds."""
    STILL_RUNNING = "still_running"
    """SeeAny says that the task has not ended."""
    NOBODY_WAITS = "nobody_waits"
    """No task instance waits for it (any more)."""


class Rung(msgspec.Struct, frozen=True):
    """
    What a ring brought about.

    :param happened: the furthest that it got with any wait.
    :param task_instances: how many it woke or left a note for.
    """

    happened: Happened
    task_instances: int = 0


class SeeAnyDidNotAnswer(Exception):
    """Raised when SeeAny could not be asked; the text is for the log."""


class AskedTooOften(KeepsState, Exception):
    """
    Raised when so many rings have led to a question about a running task that this one may not.

    :param wait: seconds after which one may again.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(f"asked about this task too often; again in {wait:.1f} s")
        self.wait = wait


async def answer_ring(ringer: Ringer, seeany_ids: Sequence[str]) -> Rung:
    """
    Do what a ring asks for, without blocking the event loop.

    :param ringer: what its token says.
    :param seeany_ids: what may be the id of a SeeAny task, by its body.
    :raises SeeAnyDidNotAnswer: if SeeAny could not be asked. The ring should be repeated.
    :raises AskedTooOften: if rings had it asked too often already. The ring should be repeated.
    """
    if ringer.waiting is not None:
        seeany_ids = [*seeany_ids, *await _in_thread(partial(ids_waited_for, ringer.waiting))]
    waits = await _in_thread(partial(waits_for, ringer.seeany_conn_id, seeany_ids))
    early: list[Waiting] = []
    resumable: dict[str, list[Waiting]] = {}
    for waiting in waits:
        if waiting.is_resumable:
            resumable.setdefault(waiting.mark.seeany_task_id, []).append(waiting)
        else:
            early.append(waiting)
    noted = sum([await _in_thread(partial(note_ring, waiting)) for waiting in early])
    woken = 0
    is_running = False
    for seeany_task_id, waiting_for_it in resumable.items():
        outcome = await _asked(ringer.seeany_conn_id, seeany_task_id)
        if outcome is None:
            is_running = True
            continue
        # Fewer than were found, if the poll or another ring was quicker.
        ended = sum([await _in_thread(partial(resume, waiting, outcome)) for waiting in waiting_for_it])
        log.info("SeeAny rang: task %s has ended, which woke %d task instances", cleaned(seeany_task_id), ended)
        woken += ended
    if woken:
        return Rung(Happened.WOKEN, woken)
    if noted:
        return Rung(Happened.NOTED, noted)
    return Rung(Happened.STILL_RUNNING if is_running else Happened.NOBODY_WAITS)


async def _asked(seeany_conn_id: str, seeany_task_id: str) -> Finished | None:
    """Ask SeeAny once; return the task's end, or ``None`` if it is still running."""
    if wait := _questions.wait((seeany_conn_id, seeany_task_id)):
        raise AskedTooOften(wait)
    try:
        async with asyncio.timeout(PATIENCE), SeeAnyHook(seeany_conn_id).async_client() as client:
            reply = credible(await client.look(checked_id(seeany_task_id)))
    except TimeoutError:
        raise SeeAnyDidNotAnswer(f"no answer within {PATIENCE:g} s") from None
    except SeeAnyError as error:
        raise SeeAnyDidNotAnswer(str(error)) from None
    if isinstance(reply, Trouble):
        # Whether that is an end is for the wait itself to say: it knows how often in a row that has happened.
        raise SeeAnyDidNotAnswer(str(reply))
    return None if reply.is_running else Finished(dict(reply.answer))


async def _in_thread(work: Callable[[], Result]) -> Result:
    return await anyio.to_thread.run_sync(work, limiter=_threads())


@cache
def _threads() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(MOST_THREADS)
