"""What the tab and the page show, and making it of what XComs hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_seeany.api.costs import NO_CURRENCY
from airflow_provider_seeany.api.result_urls import urls_in
from airflow_provider_seeany.api.task_id import MAX_TASKS
from airflow_provider_seeany.web.results.untrusted import (
    LAST_MOMENT,
    MAX_FILES,
    Money,
    amount_in,
    money_in,
    number_in,
    share_in,
    text_in,
    unit_in,
    web_url_in,
)
from airflow_provider_seeany.xcoms.record import BatchCounts, Progress, Record
from airflow_provider_seeany.xcoms.record_key import State as RecordState

if TYPE_CHECKING:
    pass


State = Literal["waiting", RecordState]


@dataclass(frozen=True)
class Result:
    """
    A wait as the UI shows it: what it brought, or how far it is.

    :param at: when it ended, or was last seen, in Unix seconds; ``None`` if nothing was seen yet.
    :param first_result: the first result file, if there is no video.
    :param results: how many result files there are.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: State
    at: int | None = None
    conn_id: str | None = None
    seeany_task_id: str | None = None
    cost: list[Money] = field(default_factory=list)
    video_url: str | None = None
    thumbnail_url: str | None = None
    first_result: str | None = None
    results: int = 0
    duration: float | None = None
    resolution: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    percent: float | None = None
    seconds_left: float | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None


@dataclass(frozen=True)
class Filters:
    """
    Which results are asked for.

    :param since: no older than this, in Unix seconds.
    :param until: older than this.
    """

    since: int
    until: int
    dag_id: str | None = None
    conn_id: str | None = None
    state: State | None = None


@dataclass(frozen=True)
class Cursor:
    """The last result of a page; the next page begins after it."""

    key: str
    dag_run_id: int
    task_id: str
    map_index: int


@dataclass(frozen=True)
class Page:
    """Some results, the newest first, and where the next page begins, if there is one."""

    results: list[Result]
    next: Cursor | None


@dataclass(frozen=True)
class Group:
    """Results alike in everything by which spend is added up."""

    day: date
    dag_id: str
    conn_id: str
    state: RecordState
    count: int
    cost: list[Money]


@dataclass(frozen=True)
class BatchRow:
    """
    One SeeAny task of a batch.

    :param url: the video, else the first result file.
    :param results: how many result files the batch's result names, if there is no video.
    """

    id: str
    state: Literal["completed", "failed"]
    url: str | None = None
    results: int = 0
    cost: Money | None = None
    reason: str | None = None


@dataclass(frozen=True)
class TaskView:
    """
    What there is to show of one task instance.

    :param is_seeany: whether it is a wait of this provider at all.
    :param result: what it brought, or how far it is; ``None`` if it kept no record.
    :param task_state: the state of the task instance.
    :param result_urls: all result files.
    :param batch: the tasks of a batch, as far as its result holds them.
    """

    is_seeany: bool
    task_state: str | None = None
    result: Result | None = None
    result_urls: list[str] = field(default_factory=list)
    batch: list[BatchRow] = field(default_factory=list)


def _of_record(record: Record, dag_id: str, run_id: str, task_id: str, map_index: int) -> Result:
    return Result(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        state=record.state,
        at=min(max(record.at, 0), LAST_MOMENT),
        conn_id=text_in(record.conn_id),
        seeany_task_id=text_in(record.seeany_task_id),
        cost=money_in(record.cost),
        video_url=web_url_in(record.video_url),
        thumbnail_url=web_url_in(record.thumbnail_url),
        first_result=web_url_in(record.first_result),
        results=min(max(record.results, 0), MAX_FILES),
        duration=number_in(record.duration),
        resolution=text_in(record.resolution),
        error_code=text_in(record.error_code),
        error_message=text_in(record.error_message),
        **_share(record.batch),
    )


def _of_progress(progress: Progress | None, dag_id: str, run_id: str, task_id: str, map_index: int) -> Result:
    place: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    if progress is None:
        return Result(**place, state="waiting")
    return Result(
        **place,
        state="waiting",
        at=min(max(progress.at, 0), LAST_MOMENT),
        conn_id=text_in(progress.conn_id),
        seeany_task_id=text_in(progress.seeany_task_id),
        cost=money_in(progress.cost),
        percent=None if progress.percent is None else min(max(progress.percent, 0), 100),
        seconds_left=number_in(progress.seconds_left),
        **_share(progress.batch),
    )


def _share(batch: BatchCounts | None) -> dict[str, Any]:
    share = share_in(batch)
    return {"total": share.total, "completed": share.completed, "failed": share.failed} if share else {}


def _urls(value: object) -> list[str]:
    found = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [url for item in found if (url := web_url_in(item))]


def _batch_rows(result: object, record: Record) -> list[BatchRow]:
    """Return the tasks of a batch that have ended: from its result, or, if it has none, the failures on record."""
    if not isinstance(result, Mapping):
        return [BatchRow(id=failure.id, state="failed", reason=failure.reason) for failure in record.failures]
    ids = result.get("completed_ids")
    rows = chain(
        (_completed(task) for task in _objects(result.get("tasks"))),
        (BatchRow(id=str(each), state="completed") for each in (ids if isinstance(ids, list) else ())),
        (
            BatchRow(id=str(each.get("id")), state="failed", reason=str(each.get("reason")))
            for each in _objects(result.get("failures"))
        ),
    )
    return list(islice(rows, MAX_TASKS))


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _completed(task: Mapping[str, Any]) -> BatchRow:
    usage = task.get("usage")
    paid = usage if isinstance(usage, Mapping) else task
    amount = amount_in(paid.get("cost"))
    video_url = web_url_in(task.get("video_url"))
    # Whole answers, and the lines of the table, which keep the first file only.
    files = () if video_url else urls_in(task)
    return BatchRow(
        id=str(task.get("id")),
        state="completed",
        url=video_url or next(iter(files), None),
        results=len(files),
        cost=Money(unit_in(paid.get("cost_unit") or NO_CURRENCY), amount) if amount is not None else None,
    )
