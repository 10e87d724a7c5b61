"""What a batch ends with, and adding that up on the way: all that others have to know of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured, Refused

MAX_RESULT_BYTES = 48 * 1024
"""Largest result, as JSON, that is handed to Airflow, which keeps it in its database."""


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
    What a batch has brought when it ends, well or badly. Never larger than :data:`MAX_RESULT_BYTES` as JSON.

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
    detail: Literal["full", "table", "totals"]
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
