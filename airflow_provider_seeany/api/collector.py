"""Collects the results of a batch's tasks, within a size limit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.batch_result import MAX_RESULT_BYTES, BatchResult, Failure
from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.result_urls import web_url
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize

RESERVED_FOR_FAILURES = MAX_RESULT_BYTES // 4
"""Bytes of a result that completed tasks leave to failures, if there are so many."""

MAX_REASON = 200  # maximum characters of a failure's reason
MAX_FAILURE_URLS = 20  # maximum files of a failure that is partial


class _SizedRows:
    """JSON values by their index; all are dropped as soon as they are too large together."""

    def __init__(self) -> None:
        self._values: dict[int, dict[str, Any]] = {}
        self.size = 0

    def add(self, index: int, value: dict[str, Any]) -> None:
        self.size += json_size(value)
        if self.size > MAX_RESULT_BYTES:
            self._values.clear()
        else:
            self._values[index] = value

    def in_order(self) -> list[dict[str, Any]]:
        return [self._values[index] for index in sorted(self._values)]


class Room:
    """The bytes that are left of a result."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int, reserved: int = 0) -> bool:
        """Take so many bytes, if these and the reserved ones are left; return whether they were."""
        if size > self._left - reserved:
            return False
        self._left -= size
        return True


def json_size(value: object) -> int:
    """Return the bytes of a list item in Airflow's JSON."""
    return len(json.dumps(value)) + 2


class ResultCollector:
    """The results of a batch's tasks so far, kept no larger than :data:`MAX_RESULT_BYTES` needs."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._ended = bytearray(len(ids))
        self._payloads = _SizedRows()
        self._table = _SizedRows()
        self._failures: dict[int, Failure] = {}
        self._room_for_urls = Room(MAX_RESULT_BYTES)
        self._costs = Costs()
        self.completed = 0
        self.partial = 0

    @property
    def total(self) -> int:
        """The number of tasks."""
        return len(self._ids)

    @property
    def costs(self) -> dict[str, float]:
        """What the completed ones and the partial results cost, by currency."""
        return self._costs.totals()

    @property
    def failed(self) -> int:
        """How many have no result."""
        return len(self._failures)

    @property
    def done(self) -> int:
        """How many have ended, well or badly."""
        return self.completed + self.failed

    def add(self, index: int, task: SeeAnyTask) -> None:
        """Add a completed task."""
        self._ended[index] = True
        self.completed += 1
        self.partial += task.is_partial
        self._costs.add(task)
        self._payloads.add(index, task.as_json())
        self._table.add(index, task_row(task))

    def add_failed(self, index: int, task: SeeAnyTask) -> None:
        """Add a failed task, or one with a partial result that is not accepted: its files were made and paid for."""
        self.fail(index, task.failure_reason)
        if task.is_partial:
            self._costs.add(task)
            urls = list(task.result_urls[:MAX_FAILURE_URLS])
            if self._room_for_urls.take(json_size(urls)):
                self._failures[index] = msgspec.structs.replace(self._failures[index], result_urls=urls)

    def fail(self, index: int, reason: str) -> None:
        """Record that a task will have no result."""
        self._ended[index] = True
        self._failures[index] = Failure(self._ids[index], sanitize(reason, limit=MAX_REASON))

    def fail_the_rest(self, reason: str) -> None:
        """Record that no task which has not ended will have a result."""
        for index, has_ended in enumerate(self._ended):
            if not has_ended:
                self.fail(index, reason)

    def has_ended(self, index: int) -> bool:
        """Tell whether a task has ended, well or badly."""
        return bool(self._ended[index])

    def result(self) -> BatchResult:
        """
        Return the result, with as many details as fit.

        Completed tasks were paid for, so they come first; failures need attention, so some room is reserved for them.
        """
        head = BatchResult(
            total=len(self._ids),
            completed=self.completed,
            failed=self.failed,
            cost=self._costs.totals(),
            detail="totals",
            tasks=[],
            failures=[],
            partial=self.partial,
        )
        failures = [self._failures[index] for index in sorted(self._failures)]
        room = Room(MAX_RESULT_BYTES - json_size(msgspec.to_builtins(head)))
        reserved = min(sum(map(json_size, msgspec.to_builtins(failures))), RESERVED_FOR_FAILURES)
        detail: Literal["full", "table", "totals"] = "totals"
        tasks: list[dict[str, Any]] = []
        completed_ids: list[str] = []
        if room.take(self._payloads.size, reserved):
            detail, tasks = "full", self._payloads.in_order()
        elif room.take(self._table.size, reserved):
            detail, tasks = "table", self._table.in_order()
        else:
            ids = [self._ids[index] for index, ended in enumerate(self._ended) if ended and index not in self._failures]
            completed_ids = ids if room.take(sum(map(json_size, ids)), reserved) else []
        unfinished = (seeany_id for seeany_id, ended in zip(self._ids, self._ended, strict=True) if not ended)
        return msgspec.structs.replace(
            head,
            detail=detail,
            tasks=tasks,
            completed_ids=completed_ids,
            failures=_fitting(failures, room),
            unfinished=list(takewhile(lambda each: room.take(json_size(each)), unfinished)),
        )

    def __str__(self) -> str:
        text = f"{format_count(self.done)} of {format_count(len(self._ids))} done"
        if self.failed:
            text += f", {format_count(self.failed)} failed"
        if self.partial:
            text += f", {format_count(self.partial)} with a partial result"
        costs = str(self._costs)
        return f"{text}, {costs} so far" if costs else text


def _fitting(failures: list[Failure], room: Room) -> list[Failure]:
    """Return the first failures that there is room for, and then, if there is more, their files."""
    without_files = [msgspec.structs.replace(failure, result_urls=[]) for failure in failures]
    fitting = list(takewhile(lambda failure: room.take(json_size(msgspec.to_builtins(failure))), without_files))
    return [
        whole if whole.result_urls and room.take(json_size({"result_urls": whole.result_urls})) else bare
        for bare, whole in zip(fitting, failures, strict=False)
    ]


def task_row(task: SeeAnyTask) -> dict[str, Any]:
    """Return the row of a completed task in a table."""
    row = {
        "id": task.id,
        "video_url": web_url(task.video_url),
        "result_url": None if web_url(task.video_url) else next(iter(task.result_urls), None),
        "cost": task.usage.cost,
        "cost_unit": task.usage.cost_unit,
        "is_partial": task.is_partial or None,
    }
    return {name: value for name, value in row.items() if value is not None}
