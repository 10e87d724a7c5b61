"""What the wait for a batch can end with: plain JSON when encoded, as it travels from the triggerer to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured, Refused

MAX_RESULT_BYTES = 48 * 1024  # maximum size of a result as JSON: Airflow keeps it in its database


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    A task of a batch without a result, and the reason for a person.

    :param result_urls: the first files of a partial result that is not accepted, as far as there is room.
    """

    id: str
    reason: str
    result_urls: list[str] = []


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, tag="batch_result"):
    """
    The results of a batch when its wait ends. Never larger than :data:`MAX_RESULT_BYTES` as JSON.

    All lists are in the order of the given ids; ``failures`` and ``unfinished`` hold the first if there are too many.

    :param total: the number of different ids.
    :param failed: how many failed, or are unknown to the service.
    :param cost: what the completed ones and the partial results cost, by currency.
    :param detail: what ``tasks`` holds: full payloads, a table of the main fields, or nothing (``totals``).
    :param tasks: the completed tasks.
    :param completed_ids: the ids of the completed tasks, if there is room for these but not for ``tasks``.
    :param unfinished: ids that had not ended.
    :param partial: how many of the completed ones have a partial result.
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
    partial: int = 0

    @property
    def done(self) -> int:
        """How many have ended, well or badly."""
        return self.completed + self.failed

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, without empty lists of ids."""
        values = {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value or name not in _IDS}


_IDS = ("completed_ids", "unfinished")


class BatchTimedOut(msgspec.Struct, frozen=True, kw_only=True, tag="batch_timed_out"):
    """
    The deadline passed first.

    :param last_error: the error of the last failed request, for a person, if its task has not responded since.
    :param looked_ended: the first ids whose last responses had a result URL, or an unknown status like an end.
    """

    result: BatchResult
    last_error: str | None = None
    looked_ended: list[str] = []


class BatchAborted(msgspec.Struct, frozen=True, kw_only=True, tag="batch_aborted"):
    """No further request could be made, for the reason in ``why``."""

    why: Refused | Misconfigured | Crashed
    result: BatchResult


BatchOutcome = BatchResult | BatchTimedOut | BatchAborted | Misconfigured | BadId | Crashed


def decode_batch_outcome(encoded: Mapping[str, Any]) -> BatchOutcome:
    """Turn plain JSON values back into an outcome; raise ``ValueError`` if they are none, as of a newer version."""
    outcome: BatchOutcome = msgspec.convert(encoded, BatchOutcome)
    return outcome


def result_in(outcome: BatchOutcome) -> BatchResult | None:
    """Return the result that an outcome holds; ``None`` if no request was made."""
    match outcome:
        case BatchResult():
            return outcome
        case BatchTimedOut(result=result) | BatchAborted(result=result):
            return result
    return None
