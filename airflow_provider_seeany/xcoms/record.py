"""
What a wait pushes for the UI: its progress and its claim while it waits, and one small record when it has ended.

- ``_seeany_20261124T203015Z:…``: the record, under a key with all that sums are made of (see ``record_key``)
- ``_seeany``: the progress and the claim while the wait is in the triggerer; after that, the key of the record, by
  which it is deleted before another one is pushed; of a download, which has no record, its progress and its copies

Nothing of this is pushed if ``do_xcom_push`` is off.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_seeany.api.batch_result import BatchResult, Failure
from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY, State, record_key

if TYPE_CHECKING:
    from airflow_provider_seeany.api.collector import ResultCollector
    from airflow_provider_seeany.exceptions import SeeAnyError
    from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

PARTIAL_RESULT_KEY = "batch_result"
"""The result of a batch that did not succeed, which has no ``return_value``. Pushed through the XCom backend."""

MAX_URL = 2000
MAX_TEXT_LENGTH = 1000
MAX_FAILURES_SHOWN = 20
MAX_FILES_SHOWN = 20
MAX_COPIES_SHOWN = 50
MAX_REASON_LENGTH = 400  # of one file of a download
MAX_FILES_LENGTH = 8000  # maximum characters of the URLs of files or copies together

_MAX_AGE = 10 * 366 * 24 * 3600.0
_MAX_CLOCK_DIFFERENCE = 3600.0


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many tasks of a batch have ended, and how many of the completed ones have a partial result."""

    total: int
    completed: int = 0
    failed: int = 0
    partial: int = 0

    @classmethod
    def of(cls, batch: BatchResult | ResultCollector) -> BatchCounts:
        """Return the counts of a batch."""
        return cls(total=batch.total, completed=batch.completed, failed=batch.failed, partial=batch.partial)


class Copies(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    How many files a download has stored so far, and at its end where they are.

    :param total: number of files in all, as soon as that is known.
    :param size: their bytes, and those that were received of others.
    :param folder: where they are; only at the end, as are the paths of the first ones and the first failures.
    :param reason: why the download ended as a whole.
    """

    files: int
    total: int | None = None
    size: int = 0
    failed: int = 0
    folder: str | None = None
    paths: list[str] = []
    failures: list[Failure] = []
    reason: str | None = None

    @classmethod
    def of(cls, paths: Sequence[str], *, size: int, failures: Sequence[Failure], folder: str) -> Copies:
        """Return what is shown at the end."""
        shown = [sanitize(path, limit=MAX_TEXT_LENGTH) for path in paths[:MAX_COPIES_SHOWN]]
        folder = sanitize(folder, limit=MAX_TEXT_LENGTH)
        return cls(
            files=len(paths),
            size=size,
            failed=len(failures),
            folder=folder,
            paths=_within_limit(shown),
            failures=[_shown(failure) for failure in failures[:MAX_FAILURES_SHOWN]],
        )


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The progress of a wait at a moment in Unix seconds; of a batch, the cost so far too, as in :class:`Record`.

    :param began: when the wait began; as its deadline and the next poll, in Unix seconds, as far as they are known.
    :param is_created: whether the SeeAny task was only created, and nothing waits for it here.
    :param copies: of a download, which is no wait and has nothing else of this but the percentage.
    """

    conn_id: str
    at: int
    seeany_task_id: str | None = None
    percent: int | float | None = None
    seconds_left: int | float | None = None
    began: int | None = None
    deadline: int | None = None
    next_poll_at: int | None = None
    batch: BatchCounts | None = None
    cost: dict[str, str] = {}
    is_created: bool = False
    copies: Copies | None = None

    @classmethod
    def of_wait(
        cls,
        conn_id: str,
        *,
        at: float,
        began: float,
        deadline: float | None,
        seeany_task_id: object | None = None,
        **seen: Any,
    ) -> Progress:
        """Return what is shown of a wait, with what was seen of its end; without an id that of a batch."""
        return cls(
            conn_id=conn_id,
            at=int(at),
            seeany_task_id=sanitize(str(seeany_task_id)) if seeany_task_id else None,
            began=int(began),
            deadline=None if deadline is None else int(deadline),
            **seen,
        )

    @classmethod
    def of_created(cls, seeany_task_id: str, *, conn_id: str) -> Progress:
        """Return what is shown of a task that was created."""
        return cls(conn_id=conn_id, at=int(time.time()), seeany_task_id=sanitize(seeany_task_id), is_created=True)

    @classmethod
    def of_copies(cls, copies: Copies, *, percent: float | None = None, conn_id: str) -> Progress:
        """Return what is shown of a download."""
        return cls(conn_id=conn_id, at=int(time.time()), percent=percent, copies=copies)

    def xcoms(self, _: TaskInstanceKey) -> dict[str, Any]:
        """Return the XCom to push, by key."""
        return {PROGRESS_KEY: msgspec.to_builtins(self)}


class Owner(msgspec.Struct, frozen=True):
    """One try of a task instance, for which Airflow makes a new id each time."""

    task_instance_id: str
    try_number: int

    @classmethod
    def of(cls, task_instance: Any) -> Owner:
        """Return the current try of one of Airflow's task instances."""
        return cls(str(task_instance.id), task_instance.try_number)

    def claiming(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is pushed under ``PROGRESS_KEY`` for this try to claim the task instance, with what is shown."""
        return {**shown, **msgspec.to_builtins(Claim(owner=self))}


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is pushed under :data:`~airflow_provider_seeany.xcoms.record_key.PROGRESS_KEY` besides the progress.

    :param owner: the try whose trigger may write XComs of the task instance.
    :param record: the key of the record.
    :param is_clearing: whether the owner is about to delete the XComs of an earlier try.
    """

    owner: Owner | None = None
    record: str | None = None
    is_clearing: bool = False

    @classmethod
    def read(cls, value: object) -> Claim:
        """Read the value of that XCom; an empty claim if it is anything else, as any DAG may push under any key."""
        try:
            claim = msgspec.convert(decode_json(value), cls)
        except msgspec.ValidationError:
            return cls()
        is_record_key = claim.record is None or FIRST_KEY <= claim.record < LAST_KEY
        return claim if is_record_key else msgspec.structs.replace(claim, record=None)


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a list of results shows of a wait that has ended. Never larger than some kilobytes.

    :param at: when the SeeAny task was completed, else when the wait ended, in Unix seconds.
    :param seeany_task_id: ``None`` for a batch.
    :param cost: decimal numbers as text, by currency.
    :param first_result: URL of the first result file, if there is no video.
    :param results: number of result files.
    :param error_message: the service's message; else what the provider's exception says, with ``is_own_message``.
    :param error_kind: the kind of the provider's exception, for which the UI has words; ``None`` for a failed task.
    :param error_numbers: what those words count.
    :param is_partial: whether other files of the task failed.
    :param result_urls: the first files of a partial failure: one that is not accepted pushes no other XComs.
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
    error_kind: str | None = None
    error_numbers: dict[str, int | float] = {}
    is_own_message: bool = False
    batch: BatchCounts | None = None
    failures: list[Failure] = []
    is_partial: bool = False
    result_urls: list[str] = []

    @classmethod
    def of_task(cls, task: SeeAnyTask, *, conn_id: str) -> Record:
        """Return the record of a task that has ended."""
        costs = Costs()
        costs.add(task)
        urls = task.result_urls
        return cls(
            state="failed" if task.is_failed else "completed",
            conn_id=conn_id,
            at=_ended_at(task.completed_at.timestamp() if task.completed_at else None),
            seeany_task_id=sanitize(task.id),
            cost=exact_amounts(costs.totals()),
            video_url=web_url(task.video_url),
            thumbnail_url=web_url(task.thumbnail_url),
            first_result=None if task.video_url else web_url(next(iter(urls), None)),
            results=len(urls),
            duration=task.duration,
            resolution=sanitize(task.resolution, limit=40) if task.resolution else None,
            error_code=_text(task.error.code),
            error_message=_text(task.error.message),
            is_partial=task.is_partial,
        )

    @classmethod
    def of_batch(cls, result: Mapping[str, Any], *, conn_id: str) -> Record:
        """Return the record of a batch that succeeded, from its result as JSON."""
        counts = BatchCounts(**{name: result[name] for name in BatchCounts.__struct_fields__})
        cost = exact_amounts(result["cost"])
        thumbnails = (web_url(task.get("thumbnail_url")) for task in result["tasks"])
        return cls(
            state="completed",
            conn_id=conn_id,
            at=_ended_at(None),
            cost=cost,
            thumbnail_url=next(filter(None, thumbnails), None),
            batch=counts,
        )

    @classmethod
    def of_error(
        cls, error: SeeAnyError, *, conn_id: str, seeany_task_id: str | None, batch: BatchResult | None = None
    ) -> Record:
        """Return the record of a wait that ended with an exception; ``batch`` is the result of a batch so far."""
        from airflow_provider_seeany import exceptions

        if isinstance(error, exceptions.SeeAnyTaskFailed):
            record = cls.of_task(error.task, conn_id=conn_id)
            urls = _first_urls(error.task.result_urls)
            return msgspec.structs.replace(record, state="failed", result_urls=urls)
        code = message = result_url = None
        own_message = str(error)
        match error:
            case exceptions.SeeAnyApiError():
                code, message = error.error_code or error.http_status, error.server_message
            case exceptions.SeeAnyTaskTimeout():
                result_url = web_url(error.result_url)
            case exceptions.SeeAnyBatchFailed():
                # Its other lines list the failures, which the record has one by one.
                own_message = own_message.partition("\n")[0]
        return cls(
            state="timed_out" if isinstance(error, exceptions.SeeAnyTaskTimeout) else "failed",
            conn_id=conn_id,
            at=_ended_at(None),
            seeany_task_id=sanitize(seeany_task_id) if seeany_task_id else None,
            cost=exact_amounts(batch.cost) if batch else {},
            batch=BatchCounts.of(batch) if batch else None,
            # Without the files of partial ones: those are in the XCom of the partial result.
            failures=[Failure(each.id, each.reason) for each in batch.failures[:MAX_FAILURES_SHOWN]] if batch else [],
            first_result=result_url,
            results=1 if result_url else 0,
            error_code=_text(code),
            error_message=_text(message or own_message),
            error_kind=error.kind,
            error_numbers=dict(error.numbers),
            is_own_message=not message,
        )

    def xcoms(self, task_instance: TaskInstanceKey) -> dict[str, Any]:
        """Return the XComs to push, by key; the key of the record first, so that a half push can be deleted."""
        key = record_key(
            self.at,
            seeany_task_id=self.seeany_task_id,
            state=self.state,
            conn_id=self.conn_id,
            cost=self.cost,
            task_instance=task_instance,
        )
        return {PROGRESS_KEY: {"record": key}, key: msgspec.to_builtins(self)}


def exact_amounts(totals: Mapping[str, float]) -> dict[str, str]:
    """Return amounts of money as decimal numbers: "0.7" for the service's 0.7, not the nearest binary fraction."""
    return {unit: str(Decimal(str(total))) for unit, total in totals.items()}


def _ended_at(completed_at: float | None) -> int:
    """Return when a wait ended, in whole seconds: when its task was completed, if that is known and plausible."""
    now = time.time()
    if completed_at is None or not now - _MAX_AGE <= completed_at <= now + _MAX_CLOCK_DIFFERENCE:
        return int(now)
    return int(completed_at)


def web_url(url: object) -> str | None:
    """Return a URL that may be shown as a link; ``None`` for anything else."""
    return url if isinstance(url, str) and len(url) <= MAX_URL and is_web_url(url) else None


def _shown(failure: Failure) -> Failure:
    return Failure(sanitize(failure.id), sanitize(failure.reason, limit=MAX_REASON_LENGTH))


def _first_urls(urls: Sequence[str]) -> list[str]:
    """Return the first URLs, as many as a record has room for."""
    return _within_limit([url for url in urls[:MAX_FILES_SHOWN] if web_url(url)])


def _within_limit(shown: list[str]) -> list[str]:
    while sum(map(len, shown)) > MAX_FILES_LENGTH:
        shown.pop()
    return shown


def _text(value: object) -> str | None:
    return sanitize(str(value), limit=MAX_TEXT_LENGTH) if value is not None else None
