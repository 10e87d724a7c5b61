"""Finds ids of SeeAny tasks in the body of a callback, in the few fields in which they are likely to be."""

from __future__ import annotations

from airflow_provider_seeany.api import fields, lenient_json
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id

MAX_BYTES = 64 * 1024  # maximum size of a body

_KEYS = ("id", "task_id", "task_uuid")


def seeany_ids(body: bytes) -> list[str]:
    """Return what may be the id of a SeeAny task, each once; nothing if the body is no JSON object."""
    try:
        payload = lenient_json.decode(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(payload, dict):
        return []
    data = payload.get("data")
    ids: dict[str, None] = {}
    for part in (payload, data if isinstance(data, dict) else {}):
        for key in _KEYS:
            try:
                ids[checked_task_id(fields.identifier(part.get(key)))] = None
            except BadTaskId:
                continue
    return list(ids)
