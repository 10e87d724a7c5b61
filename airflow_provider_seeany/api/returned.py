"""Reads what a wait has returned, as a downstream task gets it: a task's payload, or a row of a batch's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROW_FIELDS = frozenset({"id", "video_url", "result_url", "cost", "cost_unit", "is_partial"})


def is_batch_result(value: object) -> bool:
    """Tell whether a value is the result of a batch."""
    return isinstance(value, Mapping) and {"total", "detail", "tasks"} <= value.keys()


def returned_payload(value: object) -> Mapping[str, Any]:
    """
    Return the payload of the one task in a value; that of a row has its fields only.

    :raises TypeError: if there is not one; the text says what there is.
    """
    if value is None:
        raise TypeError("None is no SeeAny task: the wait was skipped or has failed, or it pushes nothing")
    if is_batch_result(value):
        raise TypeError("the result of a batch is not one SeeAny task: read each of its `tasks`")
    if not isinstance(value, Mapping):
        hint = "" if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else ": read each of its items"
        raise TypeError(f"a {type(value).__name__} is not one SeeAny task{hint}")
    return _payload_of_row(value) if _is_row(value) else value


def _is_row(value: Mapping[str, Any]) -> bool:
    # Without a URL it may be the response that created a task, which says nothing of its end.
    return value.keys() <= _ROW_FIELDS and ("video_url" in value or "result_url" in value)


def _payload_of_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name the fields of a row as a payload does. A table has completed tasks only."""
    payload = {name: row[name] for name in ("id", "video_url", "result_url") if name in row}
    usage = {name: row[name] for name in ("cost", "cost_unit") if name in row}
    return {**payload, "status": "partial_failed" if row.get("is_partial") else "completed", "usage": usage}
