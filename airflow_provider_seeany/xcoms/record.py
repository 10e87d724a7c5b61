"""
What a wait keeps for the UI in XComs of its own: how far it is while it waits, and one small record when it has ended.

They are found by their keys:

- ``_seeany_20261124T203015Z:…``: the record, under the moment at which the SeeAny task was completed or the wait
  ended, and what sums are made of; :mod:`~airflow_provider_seeany.xcoms.record_key` says why
- ``_seeany``: how far the wait is and whose it is, while it waits in the triggerer; after that, the key of the
  record, so that whoever pushes another one, and a later try without a worker, can delete it: a wait has one at most

None is pushed where ``do_xcom_push`` is off.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_seeany.api.batch_result import BatchResult, Failure
from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    State,
    record_key,
)

PARTIAL_RESULT_KEY = "batch_result"
"""
Where a batch that did not succeed, which has no ``return_value``, leaves what it has brought. It is the user's: it goes
through the XCom backend.
"""

MAX_URL = 2000
MAX_TEXT_LENGTH = 1000
MAX_FAILURES_SHOWN = 20

_FURTHEST_BACK = 10 * 366 * 24 * 3600.0
_FURTHEST_AHEAD = 3600.0


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    How many tasks of a batch have ended.

    :param total: how many were asked for.
    :param completed: how many were completed.
    :param failed: how many failed.
    """

    total: int
    completed: int = 0
    failed: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    How far a wait is.

    :param seeany_task_id: the task waited for; ``None`` for a batch.
    :param conn_id: the connection that is asked through.
    :param at: when that was seen, in Unix seconds.
    :param percent: per cent done.
    :param seconds_left: the service's estimate.
    :param batch: how far a batch is.
    :param cost: what the completed tasks of a batch cost so far, as in :class:`Record`.
    """

    conn_id: str
    at: int
    seeany_task_id: str | None = None
    percent: int | float | None = None
    seconds_left: int | float | None = None
    batch: BatchCounts | None = None
    cost: dict[str, str] = {}

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return _as_json(self)


class Owner(msgspec.Struct, frozen=True):
    """
    The try of an Airflow task that a wait is part of.

    :param task_instance_id: Airflow's id of the task instance, which is a new one for each try.
    :param try_number: which try that is, counted from 1.
    """

    task_instance_id: str
    try_number: int


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is under :data:`~airflow_provider_seeany.xcoms.record_key.PROGRESS_KEY` besides the progress.

    :param owner: who may write for the task instance from a triggerer; ``None`` if nobody claimed that.
    :param record: the key of the record; ``None`` if there is none yet.
    :param is_unclean: whether the owner is about to delete what an earlier try left.
    """

    owner: Owner | None = None
    record: str | None = None
    is_unclean: bool = False

    @classmethod
    def read(cls, value: object) -> Claim:
        """Read the value of that XCom; what is no claim is an empty one, as anybody may push under any key."""
        try:
            claim = msgspec.convert(value, cls)
        except msgspec.ValidationError:
            return cls()
        is_records_key = claim.record is None or FIRST_KEY <= claim.record < LAST_KEY
        return claim if is_records_key else msgspec.structs.replace(claim, record=None)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return _as_json(self)


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a wait ended with, as far as a list of results shows it. Never larger than some kilobytes.

    :param state: how it ended.
    :param conn_id: the connection that was asked through.
    :param at: when the SeeAny task was completed, else when the wait ended, in Unix seconds.
    :param seeany_task_id: the task waited for; ``None`` for a batch.
    :param cost: decimal numbers as text, by currency; each currency for itself, never added up.
    :param video_url: where the video lies.
    :param thumbnail_url: where its thumbnail lies.
    :param first_result: the first result, if there is no video.
    :param results: how many result files there are.
    :param duration: length of the video in seconds.
    :param resolution: for example ``720p``.
    :param error_code: the service's error code.
    :param error_message: why it failed, in the service's words if there are any.
    :param batch: how many tasks of a batch ended how.
    :param failures: the first tasks of a batch that failed, if the batch did not succeed.
    """

    state: State
    conn_id: str
    at: int
    seeany_task_id: str | None = None
    cost: dict[str, str] = {}
    video_url: str | None = None
    thumbnail_url: str | None = None
    first_result: str | None = None
    results: int = 0
    duration: int | float | None = None
    resolution: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    batch: BatchCounts | None = None
    failures: list[Failure] = []

    @classmethod
    def of_task(cls, task: SeeAnyTask, *, conn_id: str) -> Record:
        """Return the record of a task that has ended."""
        costs = Costs()
        costs.add(task)
        urls = task.result_urls
        return cls(
            state="failed" if task.is_failed else "completed",
            conn_id=conn_id,
            at=_moment(task.completed_at.timestamp() if task.completed_at else None),
            seeany_task_id=sanitize(task.id),
            cost=exact(costs.totals()),
            video_url=_web_url(task.video_url),
            thumbnail_url=_web_url(task.thumbnail_url),
            first_result=None if task.video_url else _web_url(next(iter(urls), None)),
            results=len(urls),
            duration=task.duration,
            resolution=sanitize(task.resolution, limit=40) if task.resolution else None,
            error_code=_text(task.error.code),
            error_message=_text(task.error.message),
        )

    @classmethod
    def of_batch(cls, result: Mapping[str, Any], *, conn_id: str) -> Record:
        """
        Return the record of a batch.

        :param result: the batch's result as JSON.
        :param conn_id: the connection.
        """
        return cls(
            state="completed",
            conn_id=conn_id,
            at=_moment(None),
            cost=exact(result["cost"]),
            batch=BatchCounts(total=result["total"], completed=result["completed"], failed=result["failed"]),
        )

    @classmethod
    def of_error(
        cls, error: BaseException, *, conn_id: str, seeany_task_id: str | None, batch: BatchResult | None = None
    ) -> Record:
        """
        Return the record of a wait that ended with an exception of this provider.

        :param error: the exception.
        :param conn_id: the connection.
        :param seeany_task_id: the task waited for; ``None`` for a batch.
        :param batch: what the batch has brought by then.
        """
        from airflow_provider_seeany import exceptions as ours

        if isinstance(error, ours.SeeAnyTaskFailed):
            return cls.of_task(error.task, conn_id=conn_id)
        code = message = result_url = None
        match error:
            case ours.SeeAnyApiError():
                code, message = error.error_code or error.http_status, error.server_message
            case ours.SeeAnyTaskTimeout():
                result_url = _web_url(error.result_url)
            case ours.SeeAnyBatchFailed():
                # Its other lines name the tasks that failed; those are on record one by one.
                message = str(error).partition("\n")[0]
        return cls(
            state="timed_out" if isinstance(error, ours.SeeAnyTaskTimeout) else "failed",
            conn_id=conn_id,
            at=_moment(None),
            seeany_task_id=sanitize(seeany_task_id) if seeany_task_id else None,
            cost=exact(batch.cost) if batch else {},
            batch=BatchCounts(total=batch.total, completed=batch.completed, failed=batch.failed) if batch else None,
            failures=batch.failures[:MAX_FAILURES_SHOWN] if batch else [],
            first_result=result_url,
            results=1 if result_url else 0,
            error_code=_text(code),
            error_message=_text(message or str(error)),
        )

    def xcoms(self, place: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the XComs to push, by key: first where the record is, so that half of this can be deleted again.

        :param place: what names the XComs of the task instance.
        """
        key = record_key(
            self.at,
            seeany_task_id=self.seeany_task_id,
            state=self.state,
            conn_id=self.conn_id,
            cost=self.cost,
            place=place,
        )
        return {PROGRESS_KEY: {"record": key}, key: _as_json(self)}


def exact(totals: Mapping[str, float]) -> dict[str, str]:
    """Write amounts of money as decimal numbers: what the service wrote as 0.7 is "0.7" and not a sum of halves."""
    return {unit: str(Decimal(str(total))) for unit, total in totals.items()}


def _moment(completed_at: float | None) -> int:
    """Return the moment of completion in whole seconds; now, if it is not known or cannot be true."""
    now = time.time()
    if completed_at is None or not now - _FURTHEST_BACK <= completed_at <= now + _FURTHEST_AHEAD:
        return int(now)
    return int(completed_at)


def _as_json(value: msgspec.Struct) -> dict[str, Any]:
    """Return plain JSON values, without what is ``None``."""
    builtins: dict[str, Any] = msgspec.to_builtins(value)
    return {name: item for name, item in builtins.items() if item is not None}


def _web_url(url: object) -> str | None:
    return url if isinstance(url, str) and len(url) <= MAX_URL and is_web_url(url) else None


def _text(value: object) -> str | None:
    return sanitize(str(value), limit=MAX_TEXT_LENGTH) if value is not None else None
