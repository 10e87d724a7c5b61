"""A SeeAny task as a typed value with the platform's own field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import pendulum

from airflow_provider_seeany.api import fields, quantities, status_words
from airflow_provider_seeany.api.result_urls import find_video_url, has_results, is_web_url, urls_in, web_url
from airflow_provider_seeany.api.returned import returned_payload
from airflow_provider_seeany.api.text import format_count, sanitize, were


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed task cost: a number that is not negative, and a currency, for example ``CNY``."""

    cost: int | float | None = None
    cost_unit: str | None = None


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed: a code, for example ``content_policy_violation``, and a message, usually in Chinese."""

    code: str | int | None = None
    message: str | None = None


class SeeAnyTask(msgspec.Struct, frozen=True, kw_only=True):
    """
    A task as the service describes it, with the field names of the documented ``GET /v1/tasks/{task_id}``.

    ``id`` and ``status`` are required. Each other field is parsed on its own: it is ``None`` if it is missing or cannot
    be parsed; ``usage`` and ``error`` are then empty. Fields that the service adds later are in ``payload`` and reach
    XCom untouched.

    :param status: the service's word; ``is_completed``, ``is_failed`` and ``is_running`` interpret it.
    :param object: what is made, for example ``video_generation``.
    :param progress: per cent done, 0 to 100, while processing.
    :param estimated_remaining: the service's estimate, in seconds, while processing.
    :param video_url: ``video_url`` or, if that is not a URL, the first result that may be a video; without an
        ``object``, only one that is a video by its key or file name. It may be no http(s) URL; see :func:`is_web_url`.
    :param duration: length of the video in seconds.
    :param resolution: for example ``720p``.
    :param completed_at: when the task finished, in UTC (Unix seconds in the payload).
    :param payload: the decoded JSON object of the task, changed only where Airflow could not store it.
    :param unparsed: the fields that are only in ``payload``, as their values cannot be parsed.
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
    payload: Mapping[str, Any] = {}
    unparsed: tuple[str, ...] = ()

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> SeeAnyTask:
        """
        Parse a decoded JSON object.

        :raises ValueError: if its ``id`` or ``status`` cannot be used; the text names the field.
        """
        documented = {key: payload[key] for key in _DOCUMENTED if payload.get(key) is not None}
        documented["payload"] = payload
        try:
            # Enough for nearly every response.
            task = msgspec.convert(documented, cls, dec_hook=_decode_time)
        except ValueError:
            return cls._parse_leniently(payload)
        return task if task._is_parsed_fully else cls._parse_leniently(payload)

    @classmethod
    def from_xcom(cls, value: Any) -> SeeAnyTask:
        """
        Parse the ``return_value`` of a wait, or one of the ``tasks`` of a batch; of a table's row it has the fields.

        :raises TypeError: if it is not one task: ``None``, a list, the result of a batch; the text says what it is.
        :raises ValueError: if its ``id`` or ``status`` cannot be used; the text names the field.
        """
        return cls.from_payload(returned_payload(value))

    @classmethod
    def _parse_leniently(cls, payload: Mapping[str, Any]) -> SeeAnyTask:
        """Parse each field on its own."""
        seeany_task_id, status = fields.identifier(payload.get("id")), payload.get("status")
        if seeany_task_id is None:
            raise ValueError(f"it has no usable `id`: {payload.get('id')!r}")
        if not isinstance(status, str) or not status_words.normalized(status):
            raise ValueError(f"it has no usable `status`: {status!r}")
        parsed = {name: fields.try_parse(parse, payload.get(name)) for name, parse in _PARSERS.items()}
        cost, cost_unit = fields.try_parse(quantities.cost, payload.get("usage")) or (None, None)
        code, message = fields.try_parse(fields.error, payload.get("error")) or (None, None)
        found = {**parsed, "usage": cost, "error": message if code is None else code}
        task = cls(
            id=seeany_task_id,
            status=status,
            usage=Usage(cost=cost, cost_unit=cost_unit),
            error=TaskError(code=code, message=message),
            payload=payload,
            unparsed=tuple(name for name in found if found[name] is None and _has_value(name, payload)),
            **parsed,
        )
        if task._needs_reason and not fields.is_reason(message):
            sibling_code, message = fields.try_parse(fields.sibling_error, payload) or (None, None)
            error = TaskError(code=code or (code if sibling_code is None else sibling_code), message=message)
            task = msgspec.structs.replace(task, error=error)
        if task.is_completed and task.may_be_video and not is_web_url(task.video_url):
            found_url = find_video_url(payload, is_video=task.is_video)
            return msgspec.structs.replace(task, video_url=found_url or task.video_url)
        return task

    @property
    def _is_parsed_fully(self) -> bool:
        """Whether lenient parsing could find nothing more."""
        if not self.id or self.id != self.id.strip() or not status_words.normalized(self.status):
            return False
        if self._needs_reason and not fields.is_reason(self.error.message):
            return False
        if self.is_completed:
            cost = self.usage.cost
            is_cost_clear = cost >= 0 if cost is not None else not self.payload.get("usage")
            return is_cost_clear and (is_web_url(self.video_url) or not self.may_be_video)
        return True

    @property
    def state(self) -> Literal["running", "completed", "failed"]:
        """
        The meaning of the status, without regard to case and surrounding white space; an unknown word means running.

        A partial failure is completed if there is any result.
        """
        meaning = status_words.meaning(self.status) or "running"
        if meaning == "partial":
            return "completed" if has_results(self.payload) else "failed"
        return meaning

    @property
    def is_completed(self) -> bool:
        """Whether the task is done and has its result."""
        return self.state == "completed"

    @property
    def is_partial(self) -> bool:
        """Whether the task is completed although some of its results failed; the others are there."""
        return status_words.meaning(self.status) == "partial" and self.is_completed

    def is_success(self, *, accept_partial: bool) -> bool:
        """Return whether a wait for the task succeeds, by whether it accepts a partial result."""
        return self.is_completed and (accept_partial or not self.is_partial)

    @property
    def is_failed(self) -> bool:
        """Whether the task has failed, finally."""
        return self.state == "failed"

    @property
    def is_running(self) -> bool:
        """Whether the task is neither completed nor failed, or has an unknown status word."""
        return self.state == "running"

    @property
    def has_known_status(self) -> bool:
        """Whether the status word is a known one."""
        return status_words.meaning(self.status) is not None

    @property
    def looks_ended(self) -> bool:
        """Whether an unknown status word reads as if the task had ended."""
        return status_words.looks_ended(self.status)

    @property
    def failure_reason(self) -> str:
        """Why a failed task, or a part of a partial one, failed, in the service's words."""
        default = (
            "without a reason" if status_words.normalized(self.status) == "failed" else f"its status is {self.status}"
        )
        reason = sanitize(self.error.message or default)
        reason = f"{reason} ({sanitize(str(self.error.code))})" if self.error.code else reason
        if not self.is_partial:
            return reason
        number = len(self.result_urls)
        return f"some of its files failed, {format_count(number)} {were(number)} made: {reason}"

    @property
    def _needs_reason(self) -> bool:
        return self.is_failed or self.is_partial

    @property
    def has_task_fields(self) -> bool:
        """Whether the payload has any field of a task beside ``id``, ``status`` and ``error``."""
        return any(not fields.is_empty(self.payload.get(name)) for name in _TASK_FIELDS)

    @property
    def contradiction(self) -> str | None:
        """What contradicts a status of completed, for a person; ``None`` without a contradiction."""
        if not self.is_completed:
            return None
        inner = self.payload.get("data")
        inner_status = inner.get("status") if isinstance(inner, Mapping) else None
        if isinstance(inner_status, str) and status_words.meaning(inner_status) in ("running", "failed"):
            return "the task in its data is not"
        # The results of other objects are undocumented; but "success" alone may be the status of the request, and an
        # empty list of files may not be filled yet.
        is_bare = status_words.normalized(self.status) == "success" and not self.has_task_fields
        needs_result = self.is_video or is_bare or "assets" in self.payload
        if needs_result and not self.video_url and not has_results(self.payload):
            return "the response has no video_url, nor any other result"
        return None

    @property
    def is_video(self) -> bool:
        """Whether the task makes a video."""
        return self.object is not None and status_words.normalized(self.object) == "video_generation"

    @property
    def may_be_video(self) -> bool:
        """Whether the task makes a video, or does not say what it makes."""
        return self.object is None or self.is_video

    @property
    def result_urls(self) -> tuple[str, ...]:
        """All result URLs of a completed task."""
        return urls_in(self.payload) if self.is_completed else ()

    def as_json(self) -> dict[str, Any]:
        """Return the payload, with ``completed_at`` as an ISO 8601 UTC string, and ``is_partial`` if it is."""
        changed: dict[str, Any] = {}
        if self.completed_at is not None:
            changed["completed_at"] = self.completed_at.to_iso8601_string()
        if self.is_partial:
            changed["is_partial"] = True
        return {**self.payload, **changed}

    def result_fields(self) -> dict[str, Any]:
        """
        Return the :data:`RESULT_FIELDS` as plain JSON values, without missing ones.

        URLs that are not http(s) are left out, too: consumers may open them, or show them as links.
        """
        values = (
            web_url(self.video_url),
            web_url(self.thumbnail_url),
            self.usage.cost,
            self.usage.cost_unit,
            self.duration,
            self.resolution,
            self.completed_at and self.completed_at.to_iso8601_string(),
            list(self.result_urls) or None,
            # Also if it is not, so that whoever reads it need not ask whether it is there.
            self.is_partial,
        )
        return {name: value for name, value in zip(RESULT_FIELDS, values, strict=True) if value is not None}


RESULT_FIELDS = (
    "video_url",
    "thumbnail_url",
    "cost",
    "cost_unit",
    "duration",
    "resolution",
    "completed_at",
    "result_urls",
    "is_partial",
)
"""The fields that sum up a completed task, by their names: those of the events of its assets."""

_DOCUMENTED = tuple(name for name in SeeAnyTask.__struct_fields__ if name not in ("payload", "unparsed"))
_TASK_FIELDS = tuple(name for name in _DOCUMENTED if name not in ("id", "status", "error"))


def _has_value(name: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether a field holds what should be parsed."""
    value = payload.get(name)
    if name == "usage" and isinstance(value, Mapping):
        return any(not fields.is_empty(value.get(key)) for key in quantities.COST_KEYS)
    # Some services write no time as zero.
    return not fields.is_empty(value) and not (name == "completed_at" and value == 0)


def _time(value: object) -> pendulum.DateTime | None:
    time = quantities.timestamp(value)
    return None if time is None else pendulum.instance(time)


def _decode_time(kind: type, value: object) -> object:
    if kind is not pendulum.DateTime:
        raise NotImplementedError(f"no parser for {kind}")
    time = fields.try_parse(_time, value)
    if time is None:
        raise ValueError("`completed_at` is not a time")
    return time


_PARSERS: Mapping[str, Callable[[object], Any]] = {
    "object": fields.text,
    "progress": quantities.percentage,
    "estimated_remaining": quantities.seconds,
    "video_url": fields.url,
    "thumbnail_url": fields.url,
    "duration": quantities.seconds,
    "resolution": quantities.resolution,
    "completed_at": _time,
}
