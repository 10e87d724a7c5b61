"""Checks the ids of SeeAny tasks, one or a list, and finds them in a payload."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from airflow_provider_seeany.api import fields
from airflow_provider_seeany.api.text import truncate

MAX_TASK_ID = 512  # maximum characters of a task id; real ones have about 20
MAX_TASKS = 10_000  # maximum tasks of one batch

ID_KEYS = ("id", "task_id", "task_uuid")
"""The fields in which a payload may name a task."""


class BadTaskId(ValueError):
    """A value that cannot be the id of a SeeAny task; the text says what to look at."""


def is_template(value: object) -> bool:
    """Tell whether a value is an unrendered template."""
    return isinstance(value, str) and any(begin in value for begin in ("{{", "{%", "{#"))


def checked_task_id(value: object, *, name: str = "seeany_task_id") -> str:
    """
    Return the value if it can be the id of a SeeAny task.

    :param name: its name in the error.
    :return: the id without surrounding white space, or an integer's digits: with ``render_template_as_native_obj``
        Airflow renders an id of digits to an integer.
    :raises BadTaskId: if it is empty, ``None``, neither text nor integer, or an unrendered template.
    """
    given, value = value, as_task_id(value)
    hint = "Look at the XCom of the upstream task that should have delivered the id."
    if value is None or value in ("", "None"):
        raise BadTaskId(f"{name} is {given!r}, so there is nothing to wait for. {hint}")
    if not isinstance(value, str):
        raise BadTaskId(
            f"{name} must be a string, got {type(value).__name__}. {hint} Let that task return the id alone, or "
            "pick it: {{ ti.xcom_pull('submit')['id'] }}. If it is text there, render_template_as_native_obj has "
            "changed its type."
        )
    if is_template(value):
        raise BadTaskId(f"{name} is still a template, {truncate(value)!r}: it was never rendered. {hint}")
    if len(value) > MAX_TASK_ID:
        raise BadTaskId(f"{name} has {len(value)} characters, more than the {MAX_TASK_ID} allowed. {hint}")
    # HTTP clients resolve these two even when percent-encoded, which would change the path.
    if value in (".", ".."):
        raise BadTaskId(f"{name} is {value!r}, which cannot be part of a URL. {hint}")
    try:
        storable = "\0" not in value and bool(value.encode())
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise BadTaskId(f"{name} cannot be sent and stored: {truncate(value)!r}. {hint}")
    return value


def as_task_id(value: object) -> object:
    """Return the unchecked id that a value stands for; any other value as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_TASK_ID:
        return str(value)
    return value.strip() if isinstance(value, str) else value


def checked_task_ids(value: object) -> list[str]:
    """
    Return the different ids of a list, in its order.

    :param value: a list, or its text as JSON or as a Python literal, to which templates render.
    :raises BadTaskId: if it is not a list, has more than :data:`MAX_TASKS` items, or an item cannot be an id; the text
        names its index.
    """
    hint = "Look at the XCom of the upstream task that should have delivered the ids."
    if isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise BadTaskId(f"seeany_task_ids must be a list of ids, got {type(value).__name__}. {hint}")
    if len(value) > MAX_TASKS:
        raise BadTaskId(
            f"seeany_task_ids has {len(value)} ids, more than the {MAX_TASKS} that one batch may have. Split it."
        )
    ids = (checked_task_id(item, name=f"seeany_task_ids[{index}]") for index, item in enumerate(value))
    return list(dict.fromkeys(ids))


def task_ids_in(payload: object) -> list[str]:
    """
    Return what may be the id of a SeeAny task in a decoded payload, each once, the outermost first.

    It may be under ``id``, ``task_id`` or ``task_uuid``, of the payload or of the objects ``data``, ``task`` and
    ``data.task`` in it.
    """
    ids: dict[str, None] = {}
    for part in payload_parts(payload):
        for key in ID_KEYS:
            try:
                ids[checked_task_id(fields.identifier(part.get(key)))] = None
            except BadTaskId:
                continue
    return list(ids)


def payload_parts(payload: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of a decoded payload in which its task may be, the outermost first."""
    if not isinstance(payload, Mapping):
        return
    data = payload.get("data")
    inner = data.get("task") if isinstance(data, Mapping) else None
    yield from (part for part in (payload, data, payload.get("task"), inner) if isinstance(part, Mapping))


def _list_in(text: str) -> object:
    """Parse a rendered template."""
    if "{{" in text or "{%" in text:
        raise BadTaskId(f"seeany_task_ids is still a template, {truncate(text)!r}: it was never rendered.")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadTaskId(
            f"seeany_task_ids is {truncate(text)!r}, which is not a list of ids as JSON or as a Python literal."
        ) from None
