"""Checks what is given as the id of a SeeAny task, or as a list of ids."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_seeany.api.text import truncate

if TYPE_CHECKING:
    pass


MAX_TASK_ID = 512
"""Longest task id, in characters, that is sent; real ones have about 20."""


class BadTaskId(ValueError):
    """Raised when a value cannot be the id of a SeeAny task; the text says what to look at."""


def is_template(value: object) -> bool:
    """Tell whether a value is a template that nobody has rendered."""
    return isinstance(value, str) and any(begin in value for begin in ("{{", "{%", "{#"))


def checked_task_id(value: object, *, name: str = "seeany_task_id") -> str:
    """
    Return the value if it can be the id of a SeeAny task.

    :param value: whatever was given.
    :param name: what the error calls it.
    :return: the id without white space around it; an integer is the id that its digits spell, as Airflow makes one of
        an id of digits where the DAG has ``render_template_as_native_obj``.
    :raises BadTaskId: if it is empty, ``None``, neither text nor integer, or a template that was never rendered.
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
    # HTTP clients resolve these two away even when percent-encoded, which would ask for another path.
    if value in (".", ".."):
        raise BadTaskId(f"{name} is {value!r}, which no URL can carry as a name. {hint}")
    try:
        storable = "\0" not in value and bool(value.encode())
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise BadTaskId(f"{name} is no text that can be sent and stored: {truncate(value)!r}. {hint}")
    return value


def as_task_id(value: object) -> object:
    """Return the id that a value spells, unchecked; the value itself if it spells none."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_TASK_ID:
        return str(value)
    return value.strip() if isinstance(value, str) else value


MAX_TASKS = 10_000
"""Most tasks of one batch."""


def checked_task_ids(value: object) -> list[str]:
    """
    Return the different ids of a list, in its order.

    :param value: a list, or text that holds one as JSON or as a Python literal, which is what templates render to.
    :raises BadTaskId: if it is no list, holds more than :data:`MAX_TASKS`, or something in it cannot be an id; the
        text names the place.
    """
    hint = "Look at the XCom of the upstream task that should have delivered the ids."
    if isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise BadTaskId(f"seeany_task_ids must be a list of ids, got {type(value).__name__}. {hint}")
    if len(value) > MAX_TASKS:
        raise BadTaskId(
            f"seeany_task_ids holds {len(value)} ids, more than the {MAX_TASKS} that one batch may have. Split it."
        )
    ids = (checked_task_id(item, name=f"seeany_task_ids[{place}]") for place, item in enumerate(value))
    return list(dict.fromkeys(ids))


def _list_in(text: str) -> object:
    """Read a list out of a rendered template."""
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
            f"seeany_task_ids is {truncate(text)!r}, which is no list of ids as JSON or as a Python literal."
        ) from None
