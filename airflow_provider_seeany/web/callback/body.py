"""What a ring says: the ids in its body. Their place is not documented, so a few likely ones are looked at."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_seeany.api import fields, lenient_json
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id

MAX_BYTES = 64 * 1024
"""Most bytes of a body that are read."""

_KEYS = ("id", "task_id", "task_uuid")


def seeany_ids(body: bytes) -> list[str]:
    """Return what may be the id of a SeeAny task, each once; nothing if the body is no JSON object."""
    try:
        said = lenient_json.decode(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(said, dict):
        return []
    return list(dict.fromkeys(_ids(said)))


def _ids(said: dict[str, object]) -> Iterator[str]:
    data = said.get("data")
    for holder in (said, data if isinstance(data, dict) else {}):
        for key in _KEYS:
            try:
                yield checked_task_id(fields.identifier(holder.get(key)))
            except BadTaskId:
                continue
