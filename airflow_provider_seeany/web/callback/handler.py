"""
Handles a callback: finds the registered waits and the asset that its URL names, polls SeeAny once for each task, and
resumes the waits and adds the asset's event if it has ended.

Tasks and waits are handled concurrently, and an error of one does not affect the others. If anything failed, SeeAny
should call back again, even if the rest succeeded: the waits that were resumed are no longer registered then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_seeany.api.errors import ApiError, PermanentError
from airflow_provider_seeany.api.invalid_responses import validated
from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.exceptions import SeeAnyError
from airflow_provider_seeany.hooks.connection import read_settings
from airflow_provider_seeany.hooks.seeany import checked_id
from airflow_provider_seeany.metrics import request_counter
from airflow_provider_seeany.triggers.task import NOTE_SECONDS
from airflow_provider_seeany.wait.deferral import FIRST_POLL_DELAY
from airflow_provider_seeany.web.callback import batches
from airflow_provider_seeany.web.callback.asset_event import add_event, find_asset, is_too_old
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.callback.resume import RegisteredWait, find_waits, note_callback, resume
from airflow_provider_seeany.web.callback.threads import Threads

if TYPE_CHECKING:
    from airflow_provider_seeany.api.asynchronous import AsyncClient

log = logging.getLogger(__name__)

Step = TypeVar("Step")

# By task: callbacks, which may be about progress, must not use up the rate limit of the connection's key.
_polls = RateLimit(per_second=1, burst=10)

# By task, too: callbacks about tasks of batches, each of which makes a trigger poll.
_batch_notes = RateLimit(per_second=1, burst=10)

# By connection: polls for tasks that no wait is registered for, whose ids anyone with a URL may choose.
_polls_for_assets = RateLimit()

POLL_TIMEOUT = 10.0  # maximum seconds for reading the connection and polling SeeAny
TIME_LIMIT = 13.0  # maximum seconds for a callback; the caller is unlikely to wait longer for a response

RETRY_AFTER = 10
"""Seconds after which SeeAny should call back again after an error."""

# So few that a flood of callbacks leaves database sessions for the rest of the api-server.
_database = Threads(4)

# For reading connections, as a secrets backend may hang.
_secrets = Threads(4)


class CallbackStatus(StrEnum):
    """What a callback achieved; the first of these that applies to any of its waits."""

    RESUMED = "resumed"
    NOTED = "noted"  # the wait is a batch, or has only just begun; its trigger polls within seconds
    STILL_RUNNING = "still_running"  # the SeeAny task has not ended
    NO_WAIT = "no_wait"  # no task instance waits for it (any more)


class AssetStatus(StrEnum):
    """What a callback did for the asset that its URL names; the first of these that applies to any of its ids."""

    EVENT = "event"
    DUPLICATE = "duplicate"  # there is an event of this SeeAny task
    FAILED = "failed"  # the SeeAny task has failed
    TOO_OLD = "too_old"  # it was completed so long ago that the callback is a replay
    STILL_RUNNING = "still_running"
    NO_TASK = "no_task"  # SeeAny does not know it
    NO_ASSET = "no_asset"  # no DAG uses this asset


class CallbackResult(msgspec.Struct, frozen=True):
    """
    What a callback achieved.

    :param task_instances: number of task instances with this status: resumed, or noted.
    :param asset: what it did for the asset, if its URL names one.
    :param retry_after: seconds after which SeeAny should call back again because of an error or a rate limit, else 0.
    """

    status: CallbackStatus = CallbackStatus.NO_WAIT
    task_instances: int = 0
    retry_after: float = 0.0
    is_rate_limited: bool = False
    asset: AssetStatus | None = None

    @classmethod
    def of_all(cls, results: Iterable[CallbackResult]) -> CallbackResult:
        """Combine the results for several waits."""
        results = [*results, cls()]
        status = min((result.status for result in results), key=list(CallbackStatus).index)
        unfinished = [result for result in results if result.retry_after]
        return cls(
            status=status,
            task_instances=sum(result.task_instances for result in results if result.status is status),
            retry_after=max((result.retry_after for result in unfinished), default=0.0),
            is_rate_limited=bool(unfinished) and all(result.is_rate_limited for result in unfinished),
            asset=min((result.asset for result in results if result.asset), key=list(AssetStatus).index, default=None),
        )


class _UpstreamError(Exception):
    """Raised when SeeAny could not be polled; the text is for the log."""


class _Named(msgspec.Struct):
    """What a callback names: the waits for it, whether the asset may get an event of it, and the task once it ended."""

    waits: list[RegisteredWait] = []
    is_for_asset: bool = False
    ended: SeeAnyTask | None = None


async def handle_callback(claims: TokenClaims, seeany_ids: Sequence[str]) -> CallbackResult:
    """Handle a callback whose body has these ids, within :data:`TIME_LIMIT`. Nothing is raised."""
    conn_id, deadline = claims.seeany_conn_id, asyncio.get_running_loop().time() + TIME_LIMIT
    waits = await _attempt(_database.run(partial(find_waits, claims, seeany_ids)), conn_id, deadline)
    if isinstance(waits, CallbackResult):
        return waits
    tasks: dict[str, _Named] = {}
    steps: list[Awaitable[CallbackResult]] = []
    for wait in waits:
        if wait.is_resumable:
            tasks.setdefault(wait.registration.seeany_task_id, _Named()).waits.append(wait)
        else:
            steps.append(_attempt(_note(wait), conn_id, deadline))
    steps += [_attempt(_note_batches(conn_id, each), conn_id, deadline) for each in seeany_ids]
    results: list[CallbackResult] = []
    # The first is likely to be the one that polls use: that of a wait, or else the innermost and last of the body.
    ids = list(dict.fromkeys([*(wait.registration.seeany_task_id for wait in waits), *reversed(seeany_ids)]))
    asset_id: int | None = None
    if claims.asset is not None:
        found = await _attempt(_find_asset(claims.asset, ids), conn_id, deadline)
        if isinstance(found, CallbackResult):
            results.append(found)
        else:
            asset_id = found
            for each in ids:
                tasks.setdefault(each, _Named()).is_for_asset = True
    steps += [_poll_and_finish(conn_id, each, named, deadline) for each, named in tasks.items()]
    results += await asyncio.gather(*steps)
    if asset_id is not None:
        ended = [task for each in ids if (task := tasks[each].ended) is not None]
        results.append(await _attempt(_add_event(asset_id, ids, ended), conn_id, deadline))
    result = CallbackResult.of_all(results)
    if result.asset is AssetStatus.NO_TASK:
        log.warning("SeeAny called back through connection %r, but knows no task that the callback names", conn_id)
        return msgspec.structs.replace(result, retry_after=RETRY_AFTER)  # it may not be visible yet
    return result


async def _find_asset(asset: str, seeany_ids: Collection[str]) -> int | CallbackResult:
    """Return the id of the asset if it may get an event of what a callback names."""
    found = await _database.run(partial(find_asset, asset, seeany_ids))
    if found is None:
        log.warning("SeeAny called back for asset %r, which no DAG uses", asset)
        return CallbackResult(asset=AssetStatus.NO_ASSET)
    return CallbackResult(asset=AssetStatus.DUPLICATE) if found.has_event else found.asset_id


async def _attempt(step: Awaitable[Step], seeany_conn_id: str, deadline: float) -> Step | CallbackResult:
    """Return what a step returns; if it fails, log why and return that SeeAny should call back again."""
    try:
        async with asyncio.timeout_at(deadline):
            return await step
    except _UpstreamError as error:
        log.warning("SeeAny called back, but could not be polled through connection %r: %s", seeany_conn_id, error)
    except SQLAlchemyError as error:
        # Its text quotes the parameters of the statement.
        log.error("SeeAny called back, but Airflow's database could not be used: %s", type(error).__name__)
    except TimeoutError:
        log.error("SeeAny called back, but Airflow's database did not respond within %g s", TIME_LIMIT)
    except Exception as error:
        log.error("SeeAny called back, but that failed: %s: %s", type(error).__name__, sanitize(str(error)))
    return CallbackResult(retry_after=RETRY_AFTER)


async def _note(wait: RegisteredWait) -> CallbackResult:
    """Note the callback for a wait that cannot be resumed yet; its trigger may have looked for a note too early."""
    # A trigger that its first worker has not created yet polls no sooner than this.
    first_poll_at = wait.resumable_at or time.time() + FIRST_POLL_DELAY[0]
    if not await _database.run(partial(note_callback, wait)):
        return CallbackResult()
    if time.time() > first_poll_at + NOTE_SECONDS:
        log.warning("SeeAny called back, but Airflow's database was so slow that the wait may have missed it")
        return CallbackResult(retry_after=RETRY_AFTER)
    return CallbackResult(CallbackStatus.NOTED, 1)


async def _note_batches(conn_id: str, seeany_task_id: str) -> CallbackResult:
    """Note the callback for the batches with a SeeAny task; their triggers poll it."""
    waiting = await _database.run(partial(batches.find_batches, conn_id, seeany_task_id))
    if waiting and (retry_after := _batch_notes.acquire((conn_id, seeany_task_id))):
        return CallbackResult(retry_after=retry_after, is_rate_limited=True)
    noted = [await _database.run(partial(batches.note_callback, batch, seeany_task_id)) for batch in waiting]
    return CallbackResult(CallbackStatus.NOTED, sum(noted)) if any(noted) else CallbackResult()


async def _poll_and_finish(conn_id: str, seeany_task_id: str, named: _Named, deadline: float) -> CallbackResult:
    """Poll a SeeAny task; if it has ended, resume the waits for it."""
    retry_after = _polls.acquire((conn_id, seeany_task_id))
    if not named.waits:
        retry_after = max(retry_after, _polls_for_assets.acquire(conn_id))
    if retry_after:
        return CallbackResult(retry_after=retry_after, is_rate_limited=True)
    outcome = await _attempt(_poll(conn_id, seeany_task_id, is_certain=bool(named.waits)), conn_id, deadline)
    if isinstance(outcome, CallbackResult):
        return outcome
    if outcome is None:
        return CallbackResult(
            CallbackStatus.STILL_RUNNING if named.waits else CallbackStatus.NO_WAIT,
            asset=AssetStatus.STILL_RUNNING if named.is_for_asset else None,
        )
    named.ended = SeeAnyTask.from_payload(outcome.payload)
    steps = [_attempt(_resume(wait, outcome), conn_id, deadline) for wait in named.waits]
    result = CallbackResult.of_all(await asyncio.gather(*steps))
    if named.waits:
        # Fewer than were found, if a trigger or another callback was faster.
        resumed = result.task_instances
        log.info(
            "SeeAny called back: task %s has ended, which resumed %d task instances", sanitize(seeany_task_id), resumed
        )
    return result


async def _resume(wait: RegisteredWait, outcome: Finished) -> CallbackResult:
    is_resumed = await _database.run(partial(resume, wait, outcome))
    return CallbackResult(CallbackStatus.RESUMED, 1) if is_resumed else CallbackResult()


async def _add_event(asset_id: int, seeany_ids: Collection[str], ended: Iterable[SeeAnyTask]) -> CallbackResult:
    """
    Add one event, of the first that may have one: a callback is about one SeeAny task, under all the ids in it.

    A task that has failed has none: an event would start what needs its result.
    """
    result = CallbackResult()
    for task in ended:
        if not task.is_completed:
            log.warning("SeeAny called back: task %s failed, so the asset gets no event", sanitize(task.id))
            result = CallbackResult(asset=AssetStatus.FAILED)
        elif is_too_old(task):
            log.warning(
                "SeeAny called back: task %s was completed long ago, so the asset gets no event", sanitize(task.id)
            )
            result = CallbackResult(asset=AssetStatus.TOO_OLD)
        elif await _database.run(partial(add_event, asset_id, task, seeany_ids)):
            log.info("SeeAny called back: task %s is completed, which made an asset event", sanitize(task.id))
            return CallbackResult(asset=AssetStatus.EVENT)
        else:
            return CallbackResult(asset=AssetStatus.DUPLICATE)
    return result


async def _poll(seeany_conn_id: str, seeany_task_id: str, *, is_certain: bool) -> Finished | CallbackResult | None:
    """
    Poll SeeAny once; return the task's end, or ``None`` if it is still running.

    :param is_certain: whether that is the id of a task, as something waits for it.
    """
    try:
        async with asyncio.timeout(POLL_TIMEOUT):
            async with await _secrets.run(partial(_client, seeany_conn_id)) as client:
                with request_counter(seeany_conn_id, "callback"):
                    task = await client.get_task(checked_id(seeany_task_id))
                task = validated(task)
    except TimeoutError:
        raise _UpstreamError(f"no response within {POLL_TIMEOUT:g} s") from None
    except (ApiError, SeeAnyError) as error:
        if isinstance(error, PermanentError) and not error.refuses_key and not is_certain:
            return CallbackResult(asset=AssetStatus.NO_TASK)
        # The wait itself decides whether that ends it: it knows how often in a row that has happened.
        raise _UpstreamError(str(error)) from None
    return None if task.is_running else Finished(dict(task.payload))


def _client(seeany_conn_id: str) -> AbstractAsyncContextManager[AsyncClient]:
    """
    Read the connection and return its shared client. It blocks; so does importing the client's module.

    The hook's asynchronous way would not do: Airflow reads the connection in the only thread that a process has for
    such work, so one read that hangs would block it forever. Nor would the hook's blocking client, a cached property:
    before Python 3.12 only one thread at a time creates any hook's.
    """
    from airflow_provider_seeany.api.asynchronous import shared_client

    return shared_client(read_settings(seeany_conn_id))
