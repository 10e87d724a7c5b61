"""The values that the tab and the page show, converted from XComs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, islice
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.costs import NO_CURRENCY
from airflow_provider_seeany.api.result_urls import urls_in
from airflow_provider_seeany.api.task_id import MAX_TASKS
from airflow_provider_seeany.xcoms.record import MAX_COPIES_SHOWN, MAX_TEXT_LENGTH, Copies, Progress, Record, web_url
from airflow_provider_seeany.xcoms.record_key import State as RecordState
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import (
    MAX_UNIT_LENGTH,
    Money,
    read_amount,
    read_counts,
    read_money,
    read_number,
    read_text,
)

State = Literal["waiting", RecordState]
Shown = State | Literal["created", "downloading", "retrying", "skipped"]
Order = Literal["newest", "oldest", "highest_cost", "lowest_cost"]

MAX_FILES = 100_000
MAX_FILES_LISTED = 1000  # of one result
MAX_NUMBERS = 5  # of an error
MAX_SIZE = 10**15  # bytes, or files, of a download
FINAL_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""The states of task instances that Airflow does not try again by itself."""

LAST_SECOND = 253_402_300_799  # of the calendar, in Unix seconds


def _bounded(maximum: int) -> Callable[[Any], Any]:
    return lambda value: value if value is None else min(max(value, 0), maximum)


def _numbers(given: Mapping[str, float]) -> dict[str, float]:
    numbers = ((name[:MAX_TEXT_LENGTH], read_number(number)) for name, number in islice(given.items(), MAX_NUMBERS))
    return {name: number for name, number in numbers if number is not None}


# Of what a wait pushes, the fields that are shown, which any DAG may have pushed.
_READERS: dict[str, Callable[[Any], Any]] = {
    "at": _bounded(LAST_SECOND),
    "conn_id": read_text,
    "seeany_task_id": read_text,
    "cost": read_money,
    "video_url": web_url,
    "thumbnail_url": web_url,
    "first_result": web_url,
    "results": _bounded(MAX_FILES),
    "duration": read_number,
    "resolution": read_text,
    "error_code": read_text,
    "error_message": read_text,
    "error_kind": read_text,
    "error_numbers": _numbers,
    "is_own_message": bool,
    "is_partial": bool,
    "percent": _bounded(100),
    "seconds_left": read_number,
    "began": _bounded(LAST_SECOND),
    "deadline": _bounded(LAST_SECOND),
    "next_poll_at": _bounded(LAST_SECOND),
}


@dataclass(frozen=True)
class Result:
    """
    A wait: the fields of its :class:`Record`, or of its :class:`Progress` if it has published any.

    :param copy_paths: where downloads of the same DAG run have stored its files; only in a list of results.
    :param is_task_failed: whether the Airflow task has failed although the result is there.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: Shown
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
    error_kind: str | None = None
    error_numbers: dict[str, float] = field(default_factory=dict)
    is_own_message: bool = False
    is_partial: bool = False
    is_task_failed: bool = False
    percent: float | None = None
    seconds_left: float | None = None
    began: int | None = None
    deadline: int | None = None
    next_poll_at: int | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    partial: int | None = None
    copy_paths: list[str] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str]:
        """The names of which a search finds a part."""
        return self.dag_id, self.run_id

    @classmethod
    def of(cls, pushed: Record | Progress | None, task_instance: TaskInstanceKey) -> Result:
        """Convert what a wait has pushed; ``None`` if that is nothing yet."""
        fields = {name: read(getattr(pushed, name)) for name, read in _READERS.items() if hasattr(pushed, name)}
        counts = read_counts(pushed.batch) if pushed else None
        return cls(
            **task_instance.columns(),
            state=_state(pushed),
            **fields,
            **(msgspec.structs.asdict(counts) if counts else {}),
        )

    def in_task(self, task_state: str | None) -> Result:
        """Return what has ended as what Airflow's task instance has made of it: it may try again, or have skipped."""
        if self.state == "completed":
            return replace(self, is_task_failed=task_state in ("failed", "up_for_retry"))
        if self.state not in ("failed", "timed_out"):
            return self
        if task_state == "skipped":
            return replace(self, state="skipped")
        return self if task_state in FINAL_STATES else replace(self, state="retrying")


def _state(pushed: Record | Progress | None) -> Shown:
    if isinstance(pushed, Record):
        return pushed.state
    if pushed and pushed.copies:
        return "downloading"
    return "created" if pushed and pushed.is_created else "waiting"


@dataclass(frozen=True)
class Filters:
    """
    The results to return, from ``since`` to before ``until`` in Unix seconds.

    :param search: a whole SeeAny id, or a part of the name of a DAG or a run, in upper or lower case.
    """

    since: int
    until: int
    dag_id: str | None = None
    conn_id: str | None = None
    state: State | None = None
    search: str | None = None

    def finds(self, result: Result) -> bool:
        """Return whether the search finds a result."""
        wanted = (self.search or "").lower()
        return result.seeany_task_id == self.search or any(wanted in name.lower() for name in result.names)


@dataclass(frozen=True)
class Group:
    """The results of one day, DAG, connection and state."""

    day: date
    dag_id: str
    conn_id: str
    state: RecordState
    count: int
    cost: list[Money]


@dataclass(frozen=True)
class BatchRow:
    """One SeeAny task of a batch; ``url`` and ``results`` are those of its video, else of its result files."""

    id: str
    state: Literal["completed", "failed"]
    url: str | None = None
    thumbnail_url: str | None = None
    results: int = 0
    cost: Money | None = None
    reason: str | None = None
    is_partial: bool = False


@dataclass(frozen=True)
class Download:
    """The :class:`Copies` of a download."""

    files: int
    total: int | None
    size: int
    failed: int
    folder: str | None
    paths: list[str]

    @classmethod
    def of(cls, copies: Copies) -> Download:
        """Convert what a download has pushed."""
        numbers = {name: _bounded(MAX_SIZE)(getattr(copies, name)) for name in ("files", "total", "size", "failed")}
        paths = [path[:MAX_TEXT_LENGTH] for path in copies.paths[:MAX_COPIES_SHOWN]]
        return cls(**numbers, folder=read_text(copies.folder), paths=paths)


@dataclass(frozen=True)
class TaskView:
    """One task instance, which may be another provider's; with its result files, all tasks of a batch, or copies."""

    is_seeany: bool
    task_state: str | None = None
    result: Result | None = None
    result_urls: list[str] = field(default_factory=list)
    batch: list[BatchRow] = field(default_factory=list)
    download: Download | None = None


def result_urls(value: object) -> list[str]:
    """Return the URLs in the XCom of all result files."""
    urls = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [url for item in urls if (url := web_url(item))]


def batch_rows(result: object, record: Record) -> list[BatchRow]:
    """Return the tasks of a batch that have ended, from its result, else the failures from its record."""
    if not isinstance(result, Mapping):
        return [BatchRow(id=failure.id, state="failed", reason=failure.reason) for failure in record.failures]
    ids = result.get("completed_ids")
    rows = chain(
        (_completed(task) for task in _objects(result.get("tasks"))),
        (BatchRow(id=_text(each), state="completed") for each in (ids if isinstance(ids, list) else ())),
        (_failed(failure) for failure in _objects(result.get("failures"))),
    )
    return list(islice(rows, MAX_TASKS))


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return str(value)[:MAX_TEXT_LENGTH]


def _completed(task: Mapping[str, Any]) -> BatchRow:
    usage = task.get("usage")
    paid = usage if isinstance(usage, Mapping) else task
    amount = read_amount(paid.get("cost"))
    video_url = web_url(task.get("video_url"))
    # In whole payloads, and in the rows of the table, which have the first file only.
    files = () if video_url else urls_in(task)
    return BatchRow(
        id=_text(task.get("id")),
        state="completed",
        url=video_url or next(iter(files), None),
        thumbnail_url=web_url(task.get("thumbnail_url")),
        results=len(files),
        cost=Money(str(paid.get("cost_unit") or NO_CURRENCY)[:MAX_UNIT_LENGTH], amount) if amount is not None else None,
        is_partial=task.get("is_partial") is True,
    )


def _failed(failure: Mapping[str, Any]) -> BatchRow:
    files = result_urls(failure.get("result_urls"))
    return BatchRow(
        id=_text(failure.get("id")),
        state="failed",
        url=next(iter(files), None),
        results=len(files),
        reason=_text(failure.get("reason")),
        is_partial=bool(files),
    )
