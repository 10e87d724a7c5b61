"""What a wait can end with: plain JSON when encoded, as it travels from the triggerer to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_seeany.api.errors import Trouble


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The task has ended, well or badly. ``answer`` is the service's own."""

    payload: dict[str, Any]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Asking again cannot succeed."""

    trouble: Trouble


class TimedOut(msgspec.Struct, frozen=True, tag="timed_out"):
    """
    The deadline passed first.

    :param last_snapshot: what was last seen of the task, for a person.
    :param last_trouble: why the last question brought no answer, for a person.
    :param result_url: a result URL that the last answer had, if it is not too long.
    :param had_result: whether the last answer had one at all.
    :param looks_ended: whether its status is an unknown word that reads as if the task had ended.
    """

    last_snapshot: str | None = None
    last_trouble: str | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False


class Misconfigured(msgspec.Struct, frozen=True, tag="misconfigured"):
    """The wait could not ask at all. ``text`` says what to change."""

    text: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The wait broke off for a reason nobody thought of. ``text`` names it."""

    text: str


class BadId(msgspec.Struct, frozen=True, tag="bad_id"):
    """What was given cannot be a task's id. ``text`` says what to look at."""

    text: str


class Unrendered(msgspec.Struct, frozen=True, tag="unrendered"):
    """
    Nothing was asked: the trigger was given its templates as they are written in the DAG. A worker goes on.

    :param began: when the wait began, in Unix seconds.
    """

    began: float


Outcome = Finished | Refused | TimedOut | Misconfigured | BadId | Crashed
"""What a wait can end with. Plain JSON when encoded, as it travels from the triggerer to a worker."""


def encode_outcome(outcome: Outcome | Unrendered) -> dict[str, Any]:
    """Turn an outcome into plain JSON values."""
    encoded: dict[str, Any] = msgspec.to_builtins(outcome)
    return encoded


def decode_outcome(encoded: Mapping[str, Any]) -> Outcome:
    """
    Turn plain JSON values back into an outcome.

    :raises ValueError: if they are none, for example because a newer version wrote them.
    """
    outcome: Outcome = msgspec.convert(encoded, Outcome)
    return outcome
