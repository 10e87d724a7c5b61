"""A SeeAny task as a typed value with the platform's own field names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pendulum

from airflow_provider_seeany.api.trouble import cleaned

DOCUMENTED_STATUSES = frozenset({"processing", "completed", "failed"})
"""The status words of the platform's page; any other word counts as still running."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a completed task cost.

    :param cost: the JSON number as the service gave it, in ``cost_unit``.
    :param cost_unit: the currency, for example ``CNY``.
    """

    cost: int | float | None = None
    cost_unit: str | None = None


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """
    Why a task failed.

    :param code: the service's error code, for example ``content_policy_violation``.
    :param message: the service's own words, usually Chinese.
    """

    code: str | int | None = None
    message: str | None = None


class SeeAnyTask(msgspec.Struct, frozen=True, kw_only=True):
    """
    One answer of ``GET /v1/tasks/{task_id}``; the fields are those of the platform's page on querying a task.

    A field that the answer lacks, or gives as ``null``, is ``None``; ``usage`` and ``error`` are always there,
    empty if need be. Fields that the service adds later are kept in ``answer`` and reach XCom untouched.

    :param id: the task's id, as the endpoint that created it returned it.
    :param status: ``processing``, ``completed`` or ``failed``; any other word counts as still running.
    :param object: what is being made, for example ``video_generation``.
    :param progress: per cent done, 0 to 100, while processing.
    :param estimated_remaining: the service's estimate, in seconds, while processing.
    :param video_url: where the finished video lies, as the service gave it; see :func:`is_web_url`.
    :param thumbnail_url: where its thumbnail lies, likewise.
    :param duration: length of the video in seconds.
    :param resolution: for example ``720p``.
    :param completed_at: when the task finished, in UTC (Unix seconds in the answer).
    :param usage: what it cost.
    :param error: why it failed.
    :param answer: the whole answer as it came, decoded from JSON.
    """

    id: str
    status: str
    object: str | None = None
    progress: int | float | None = None
    estimated_remaining: int | float | None = None
    video_url: str | None = None
    thumbnail_url: str | None = None
    duration: int | float | None = None
    resolution: str | None = None
    completed_at: pendulum.DateTime | None = None
    usage: Usage = Usage()
    error: TaskError = TaskError()
    answer: Mapping[str, Any] = {}

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> SeeAnyTask:
        """
        Read a decoded JSON answer.

        :param answer: the JSON object that the service sent.
        :raises ValueError: if a field has a type that the platform's page rules out; the text names the field.
        """
        documented = {key: answer[key] for key in _DOCUMENTED if answer.get(key) is not None}
        documented["answer"] = answer
        task = msgspec.convert(documented, cls, dec_hook=_decode_time)
        if not task.status:
            raise ValueError("`status` is empty")
        return task

    @property
    def is_completed(self) -> bool:
        """Whether the task is done and its result is there."""
        return self.status == "completed"

    @property
    def is_failed(self) -> bool:
        """Whether the task has failed for good."""
        return self.status == "failed"

    @property
    def is_running(self) -> bool:
        """Whether the task is neither completed nor failed, which an undocumented status word also means."""
        return not (self.is_completed or self.is_failed)

    @property
    def failure_reason(self) -> str:
        """Why a failed task failed, in the service's words, for a person."""
        reason = cleaned(self.error.message or "without a reason")
        return f"{reason} ({cleaned(str(self.error.code))})" if self.error.code else reason

    @property
    def lacks_its_video(self) -> bool:
        """Whether this is a completed video generation that names no video."""
        return self.is_completed and self.object == "video_generation" and not self.video_url

    @property
    def result_urls(self) -> tuple[str, ...]:
        """The :func:`urls_in` a completed answer."""
        return urls_in(self.answer) if self.is_completed else ()

    def as_json(self) -> dict[str, Any]:
        """Return the whole answer as plain JSON values, with ``completed_at`` as an ISO 8601 UTC string."""
        if self.completed_at is None:
            return dict(self.answer)
        return {**self.answer, "completed_at": self.completed_at.to_iso8601_string()}

    def highlights(self) -> dict[str, Any]:
        """
        Return the :data:`HIGHLIGHTS` as plain JSON values; what the answer lacks is left out.

        So is an URL that is no http(s) one: what takes it downstream may open it, or show it as a link.
        """
        values = (
            web_url(self.video_url),
            web_url(self.thumbnail_url),
            self.usage.cost,
            self.usage.cost_unit,
            self.duration,
            self.resolution,
            self.as_json().get("completed_at"),
            list(self.result_urls) or None,
        )
        return {name: value for name, value in zip(HIGHLIGHTS, values, strict=True) if value is not None}


HIGHLIGHTS = (
    "video_url",
    "thumbnail_url",
    "cost",
    "cost_unit",
    "duration",
    "resolution",
    "completed_at",
    "result_urls",
)
"""What a completed task is waited for, by the names that its XComs have."""

_DOCUMENTED = tuple(name for name in SeeAnyTask.__struct_fields__ if name != "answer")


def web_url(url: str | None) -> str | None:
    """Return the URL if it is an absolute http(s) one."""
    return url if is_web_url(url) else None


def is_web_url(url: object) -> bool:
    """Tell whether a value is an absolute http(s) URL that may be shown as a link."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def urls_in(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return every http(s) URL of an answer under a key ``url``, ``*_url`` or ``*_urls``, at any depth.

    Thumbnails are left out; an URL that stands in several places is listed once. The endpoint also serves
    image sets, whose result fields the platform does not document, so they are found by their keys.
    """
    return tuple(dict.fromkeys(_urls(answer)))


def _decode_time(kind: type, value: object) -> object:
    """Read ``completed_at``: Unix seconds from the service, ISO 8601 from an answer that has been in an XCom."""
    if kind is not pendulum.DateTime:
        raise NotImplementedError(f"no reading of {kind}")
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("it has no time zone")
            return pendulum.instance(moment).in_timezone(pendulum.UTC)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected Unix seconds, got `{type(value).__name__}`")
        return pendulum.instance(datetime.fromtimestamp(value, tz=UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"`completed_at` is no time: {error}") from error


def _urls(answer: Mapping[str, Any]) -> Iterator[str]:
    """Walk the answer in its own order, with a stack instead of recursion so that depth cannot hurt."""
    stack: list[tuple[bool, object]] = [(False, answer)]
    while stack:
        under_url_key, value = stack.pop()
        if isinstance(value, str):
            if under_url_key and is_web_url(value):
                yield value
        elif isinstance(value, Mapping):
            inner = [
                (under_url_key or key == "url" or key.endswith(("_url", "_urls")), item)
                for key, item in value.items()
                if "thumb" not in key.lower()
            ]
            stack.extend(reversed(inner))
        elif isinstance(value, list | tuple):
            stack.extend((under_url_key, item) for item in reversed(value))
