"""What a wait can end with: plain JSON when encoded, as it travels from the triggerer to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api import errors
from airflow_provider_seeany.api.errors import ApiError


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The task has ended, well or badly. ``payload`` is the service's own."""

    payload: dict[str, Any]


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="refused"):
    """Another request cannot succeed. The fields are those of the :class:`ApiError` that ended the wait."""

    error_type: Literal["PermanentError", "ThrottledError", "TransientError", "InvalidResponseError"]
    text: str
    http_status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    is_web_page: bool = False

    @classmethod
    def of(cls, error: ApiError) -> Refused:
        """Return the outcome for an error."""
        fields = {name: getattr(error, name) for name in cls.__struct_fields__ if name != "error_type"}
        return cls(error_type=type(error).__name__, **fields)  # type: ignore[arg-type]

    def error(self) -> ApiError:
        """Rebuild the error."""
        fields = msgspec.structs.asdict(self)
        error: ApiError = getattr(errors, fields.pop("error_type"))(**fields)
        return error


class TimedOut(msgspec.Struct, frozen=True, tag="timed_out"):
    """
    The deadline passed first.

    :param last_snapshot: for a person, like the error of the last request, if that failed. The other fields are those
        of the :class:`~airflow_provider_seeany.api.snapshot.Snapshot`.
    """

    last_snapshot: str | None = None
    last_error: str | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False


class Misconfigured(msgspec.Struct, frozen=True, tag="misconfigured"):
    """No request could be made. ``text`` says what to change."""

    text: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The wait ended with an unexpected exception. ``text`` names it."""

    text: str


class BadId(msgspec.Struct, frozen=True, tag="bad_id"):
    """The given value cannot be a task's id. ``text`` says what to look at."""

    text: str


class Unrendered(msgspec.Struct, frozen=True, tag="unrendered"):
    """No request was made: the trigger was given unrendered templates. A worker continues what ``began`` then."""

    began: float


Outcome = Finished | Refused | TimedOut | Misconfigured | BadId | Crashed


def decode_outcome(encoded: Mapping[str, Any]) -> Outcome:
    """Turn plain JSON values back into an outcome; raise ``ValueError`` if they are none, as of a newer version."""
    outcome: Outcome = msgspec.convert(encoded, Outcome)
    return outcome
