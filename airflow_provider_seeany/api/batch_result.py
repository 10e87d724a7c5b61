"""What a batch ends with, and adding that up on the way: all that others have to know of batches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.task import SeeAnyTask, web_url
from airflow_provider_seeany.api.trouble import cleaned
from airflow_provider_seeany.api.wait import BadId, Crashed, Misconfigured, Refused

MOST_RESULT_BYTES = 48 * 1024
"""Largest result, as JSON, that is handed to Airflow, which keeps it in its database."""

KEPT_FOR_FAILURES = MOST_RESULT_BYTES // 4
"""Bytes of a result that details of completed tasks leave to failures, if there are so many."""

SHOWN_REASON = 200
"""Longest reason, in characters, that is kept of a failure."""

NO_CURRENCY = "?"
"""Where costs without a currency are added up."""

_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}


class Failure(msgspec.Struct, frozen=True):
    """
    A task of a batch that brought no result.

    :param id: the task's id.
    :param reason: why, for a person.
    """

    id: str
    reason: str


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, tag="batch_result"):
    """
    What a batch has brought when it ends, well or badly. Never larger than :data:`MOST_RESULT_BYTES` as JSON.

    :param total: how many different tasks were asked for.
    :param completed: how many were completed.
    :param failed: how many failed, or are not known to the service.
    :param cost: what the completed ones cost together, by currency.
    :param detail: what ``tasks`` holds: whole answers, a table of the main fields, or nothing.
    :param tasks: the completed tasks in the order asked.
    :param failures: those that failed, in the order asked; the first of them, should there be too many.
    :param completed_ids: the ids of the completed tasks, if there is no room for more of them, and for all of these.
    :param unfinished: ids that had not ended, in the order asked; the first of them, should there be too many.
    """

    total: int
    completed: int
    failed: int
    cost: dict[str, float]
    detail: Literal["answers", "table", "totals"]
    tasks: list[dict[str, Any]]
    failures: list[Failure]
    completed_ids: list[str] = []
    unfinished: list[str] = []

    @property
    def done(self) -> int:
        """How many have ended, well or badly."""
        return self.completed + self.failed

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, without the lists of ids that are empty."""
        values = {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value or name not in _IDS}


_IDS = ("completed_ids", "unfinished")


class BatchTimedOut(msgspec.Struct, frozen=True, kw_only=True, tag="batch_timed_out"):
    """
    The deadline passed first.

    :param result: what the batch has brought by then.
    :param looked_ended: the first of the ids whose last answers had a result URL, or a status that reads like an end.
    :param last_trouble: the last request that brought no answer, for a person.
    """

    result: BatchResult
    last_trouble: str | None = None
    looked_ended: list[str] = []


class BatchAborted(msgspec.Struct, frozen=True, kw_only=True, tag="batch_aborted"):
    """
    The batch could not go on.

    :param why: what ended it.
    :param result: what the batch has brought by then.
    """

    why: Refused | Misconfigured | Crashed
    result: BatchResult


BatchOutcome = BatchResult | BatchTimedOut | BatchAborted | Misconfigured | BadId | Crashed
"""What a batch can end with. Plain JSON when encoded, as it travels from the triggerer to a worker."""


def decode_batch_outcome(encoded: Mapping[str, Any]) -> BatchOutcome:
    """
    Turn plain JSON values back into an outcome.

    :raises ValueError: if they are none, for example because a newer version wrote them.
    """
    outcome: BatchOutcome = msgspec.convert(encoded, BatchOutcome)
    return outcome


def result_in(outcome: BatchOutcome) -> BatchResult | None:
    """Return what a batch has brought when it ended; ``None`` if it never got as far as asking."""
    match outcome:
        case BatchResult():
            return outcome
        case BatchTimedOut(result=result) | BatchAborted(result=result):
            return result
    return None


def numeral(number: int) -> str:
    """Write a count for a person: ``1 240``."""
    return f"{number:,}".replace(",", " ")


def were(number: int) -> str:
    """Return the verb after a count: ``1 was``, ``2 were``."""
    return "was" if number == 1 else "were"


class Costs:
    """Adds up what tasks cost, exactly, each currency for itself."""

    def __init__(self) -> None:
        self._totals: dict[str, Decimal] = {}

    def add(self, task: SeeAnyTask) -> None:
        """Add a task's cost, if its answer tells one."""
        if task.usage.cost is not None:
            unit = cleaned(task.usage.cost_unit or "", limit=20) or NO_CURRENCY
            # Through its text: the float 0.7 is not quite seven tenths, what the service wrote is.
            self._totals[unit] = self._totals.get(unit, Decimal()) + Decimal(str(task.usage.cost))

    def totals(self) -> dict[str, float]:
        """Return the sums by currency, as JSON numbers."""
        most = sys.float_info.max
        return {unit: max(min(float(total), most), -most) for unit, total in self._totals.items()}

    def __str__(self) -> str:
        return " + ".join(_amount(unit, total) for unit, total in self._totals.items())


def _amount(unit: str, total: Decimal) -> str:
    exponent = total.normalize().as_tuple().exponent
    decimals = min(max(-exponent, 2), 6) if isinstance(exponent, int) else 2
    number = f"{total:,.{decimals}f}".replace(",", " ") if total.adjusted() < 18 else f"{total:.3e}"
    return f"{_SIGNS[unit]}{number}" if unit in _SIGNS else f"{number} {unit}"


class _Kept:
    """JSON values by their place, forgotten as soon as all of them together are too large to be handed on."""

    def __init__(self) -> None:
        self._values: dict[int, dict[str, Any]] = {}
        self.size = 0

    def keep(self, place: int, value: dict[str, Any]) -> None:
        self.size += _size(value)
        if self.size > MOST_RESULT_BYTES:
            self._values.clear()
        else:
            self._values[place] = value

    def in_order(self) -> list[dict[str, Any]]:
        return [self._values[place] for place in sorted(self._values)]


class _Room:
    """
    The bytes that are left of a result.

    :param size: how many there are.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def takes(self, size: int, kept_free: int = 0) -> bool:
        """Take so many bytes and tell so, if they and what is to be kept free are left."""
        if size > self._left - kept_free:
            return False
        self._left -= size
        return True


def _size(value: object) -> int:
    """Return the bytes that a value takes in a list, written as Airflow writes it."""
    return len(json.dumps(value)) + 2


class Results:
    """
    What the tasks of a batch brought so far, kept no larger than can be handed on.

    :param ids: the tasks, in the order asked.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._ended = bytearray(len(ids))
        self._answers = _Kept()
        self._table = _Kept()
        self._reasons: dict[int, str] = {}
        self._costs = Costs()
        self.completed = 0

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return len(self._ids)

    @property
    def costs(self) -> dict[str, float]:
        """What the completed ones cost together, by currency."""
        return self._costs.totals()

    @property
    def failed(self) -> int:
        """How many brought no result."""
        return len(self._reasons)

    @property
    def done(self) -> int:
        """How many have ended, well or badly."""
        return self.completed + self.failed

    def add(self, place: int, task: SeeAnyTask) -> None:
        """Take note of a completed task."""
        self._ended[place] = True
        self.completed += 1
        self._costs.add(task)
        self._answers.keep(place, task.as_json())
        self._table.keep(place, _row(task))

    def fail(self, place: int, reason: str) -> None:
        """Take note of a task that will bring no result."""
        self._ended[place] = True
        self._reasons[place] = cleaned(reason, limit=SHOWN_REASON)

    def fail_the_rest(self, reason: str) -> None:
        """Take note that all tasks that have not ended will bring no result."""
        for place, has_ended in enumerate(self._ended):
            if not has_ended:
                self.fail(place, reason)

    def has_ended(self, place: int) -> bool:
        """Tell whether a task has ended, well or badly."""
        return bool(self._ended[place])

    def result(self) -> BatchResult:
        """
        Return it all, with as many details as fit.

        What was completed was paid, so it comes first; but failures, of which somebody must know, keep some room.
        """
        head = BatchResult(
            total=len(self._ids),
            completed=self.completed,
            failed=self.failed,
            cost=self._costs.totals(),
            detail="totals",
            tasks=[],
            failures=[],
        )
        failures = [Failure(self._ids[place], self._reasons[place]) for place in sorted(self._reasons)]
        room = _Room(MOST_RESULT_BYTES - _size(msgspec.to_builtins(head)))
        kept_free = min(sum(map(_size, msgspec.to_builtins(failures))), KEPT_FOR_FAILURES)
        detail: Literal["answers", "table", "totals"] = "totals"
        tasks: list[dict[str, Any]] = []
        completed_ids: list[str] = []
        if room.takes(self._answers.size, kept_free):
            detail, tasks = "answers", self._answers.in_order()
        elif room.takes(self._table.size, kept_free):
            detail, tasks = "table", self._table.in_order()
        else:
            ids = [self._ids[place] for place, ended in enumerate(self._ended) if ended and place not in self._reasons]
            completed_ids = ids if room.takes(sum(map(_size, ids)), kept_free) else []
        return msgspec.structs.replace(
            head,
            detail=detail,
            tasks=tasks,
            completed_ids=completed_ids,
            failures=list(takewhile(lambda failure: room.takes(_size(msgspec.to_builtins(failure))), failures)),
            unfinished=list(takewhile(lambda each: room.takes(_size(each)), self._unfinished())),
        )

    def _unfinished(self) -> Iterator[str]:
        return (i for i, ended in zip(self._ids, self._ended, strict=True) if not ended)

    def __str__(self) -> str:
        text = f"{numeral(self.done)} of {numeral(len(self._ids))} done"
        if self.failed:
            text += f", {numeral(self.failed)} failed"
        costs = str(self._costs)
        return f"{text}, {costs} so far" if costs else text


def _row(task: SeeAnyTask) -> dict[str, Any]:
    """Return the line of a completed task in the table."""
    row = {
        "id": task.id,
        "video_url": web_url(task.video_url),
        "result_url": None if web_url(task.video_url) else next(iter(task.result_urls), None),
        "cost": task.usage.cost,
        "cost_unit": task.usage.cost_unit,
    }
    return {name: value for name, value in row.items() if value is not None}
