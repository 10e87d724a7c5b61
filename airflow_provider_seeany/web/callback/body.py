"""Finds ids of SeeAny tasks in the body of a callback."""

from __future__ import annotations

from airflow_provider_seeany.api import lenient_json
from airflow_provider_seeany.api.task_id import task_ids_in

MAX_BYTES = 64 * 1024  # maximum size of a body


def seeany_ids(body: bytes) -> list[str]:
    """Return what may be the id of a SeeAny task, each once; nothing if the body is no JSON object."""
    try:
        return task_ids_in(lenient_json.decode(body))
    except (ValueError, RecursionError):
        return []
