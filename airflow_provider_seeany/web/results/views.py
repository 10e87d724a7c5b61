"""The values that the tab and the page show, converted from XComs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.web.results.batch import BatchRow
from airflow_provider_seeany.xcoms.record import (
    MAX_COPIES_SHOWN,
    MAX_FAILURES_SHOWN,
    MAX_TEXT_LENGTH,
    Copies,
    Progress,
    Record,
    web_url,
)
from airflow_provider_seeany.xcoms.record_key import State as RecordState
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import (
    Money,
    read_counts,
    read_money,
    read_number,
    read_text,
)

State = Literal["waiting", "retrying", "skipped", RecordState]
Shown = State | Literal["created", "downloading"]
Order = Literal["newest", "oldest", "highest_cost", "lowest_cost"]

MAX_FILES = 100_000
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
class DownloadFailure:
    """A file, or all files of a SeeAny task, that could not be stored."""

    id: str
    reason: str


@dataclass(frozen=True)
class Download:
    """The :class:`Copies` of a download."""

    files: int
    total: int | None
    size: int
    failed: int
    folder: str | None
    paths: list[str]
    failures: list[DownloadFailure]
    reason: str | None

    @classmethod
    def of(cls, copies: Copies) -> Download:
        """Convert what a download has pushed."""
        numbers = {name: _bounded(MAX_SIZE)(getattr(copies, name)) for name in ("files", "total", "size", "failed")}
        paths = [path[:MAX_TEXT_LENGTH] for path in copies.paths[:MAX_COPIES_SHOWN]]
        failures = [
            DownloadFailure(each.id[:MAX_TEXT_LENGTH], each.reason[:MAX_TEXT_LENGTH])
            for each in copies.failures[:MAX_FAILURES_SHOWN]
        ]
        return cls(
            **numbers,
            folder=read_text(copies.folder),
            paths=paths,
            failures=failures,
            reason=read_text(copies.reason),
        )


@dataclass(frozen=True)
class TaskView:
    """
    One task instance, which may be another provider's; with its result files, all tasks of a batch, or copies.

    :param has_first_files_only: whether the batch's result has one file of each task.
    """

    is_seeany: bool
    task_state: str | None = None
    result: Result | None = None
    result_urls: list[str] = field(default_factory=list)
    batch: list[BatchRow] = field(default_factory=list)
    has_first_files_only: bool = False
    download: Download | None = None
