"""Reads what the request that created a task returned: the task's id, and how long it is expected to take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from airflow_provider_seeany.api import fields, lenient_json, quantities
from airflow_provider_seeany.api.task_id import ID_KEYS, BadTaskId, checked_task_id, payload_parts

_NO_ID = re.compile(r"""[\s<>\[\]{}"']""")
"""What a text has that is returned by mistake: a web page, a message, or JSON other than an object."""


class CreatedTask(msgspec.Struct, frozen=True):
    """
    A task that was created.

    :param wait_time: the service's estimate, in seconds from its creation.
    """

    seeany_task_id: str
    wait_time: float | None = None


def read_created(returned: object) -> CreatedTask:
    """
    Read an id, or a response as decoded JSON or its text, in which the id may be wherever a payload names its task.

    :raises BadTaskId: if there is no id.
    """
    if isinstance(returned, str) and returned.lstrip().startswith("{"):
        try:
            returned = lenient_json.decode(returned.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            raise BadTaskId("a text in braces that is no JSON") from None
    # The innermost first: what is around a task, such as an event or a request, may have an id of its own.
    parts = [*payload_parts(returned)][::-1]
    if isinstance(returned, str) and _NO_ID.search(returned.strip()):
        raise BadTaskId("a text that cannot be an id, such as a web page or a message")
    if not parts:
        return CreatedTask(_checked(returned))
    # The most special name first: beside a `task_uuid`, the `id` may be a number of the service's own database.
    for key in reversed(ID_KEYS):
        for part in parts:
            try:
                return CreatedTask(_checked(fields.identifier(part.get(key))), _wait_time(parts))
            except BadTaskId:
                continue
    raise BadTaskId(f"an object without an id under any of the names {', '.join(ID_KEYS)}")


def _checked(value: object) -> str:
    try:
        return checked_task_id(value)
    except BadTaskId:
        raise BadTaskId(f"a {type(value).__name__} that cannot be an id") from None


def _wait_time(parts: Sequence[Mapping[str, object]]) -> float | None:
    times = (fields.try_parse(quantities.seconds, part.get("wait_time")) for part in parts)
    return next((float(time) for time in times if time is not None and time >= 0), None)
