"""A SeeAny task as a typed value with the platform's own field names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec
import pendulum

from airflow_provider_seeany.api import fields
from airflow_provider_seeany.api.result_urls import (
    MAX_WORD,
    find_results,
    find_video_url,
    is_web_url,
    urls_in,
    web_url,
)
from airflow_provider_seeany.api.text import sanitize

_STATES: Mapping[str, Literal["running", "completed", "failed", "partial"]] = {
    "processing": "running",
    **dict.fromkeys(("completed", "succeeded", "success"), "completed"),
    **dict.fromkeys(("failed", "error", "cancelled", "canceled", "expired", "rejected"), "failed"),
    "partial_failed": "partial",
}
"""What status words mean: those of the platform's page, and the ends that the live service is known to have."""

_LIKE_AN_END = re.compile(
    r"(?<!in)complet|success|succeed|(?<!un)finish|done|generated|published"
    r"|fail|error|cancel|abort|expire|reject|refuse|blocked|denied|killed|time_?d?_?out|stop|terminat|delet"
    r"|(?:^|_)(?:end|ended|ready)$|完成|成功|失败|取消|过期|拒绝|终止|结束"
)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a completed task cost.

    :param cost: a number that is not negative, in ``cost_unit``; an integer beyond 64 bits is a float.
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

    ``id`` and ``status`` decide what an answer is. Each other field is read on its own, as
    :mod:`~airflow_provider_seeany.api.fields` says: one that the answer lacks, gives as ``null``, or holds something in
    that cannot be understood, is ``None``; ``usage`` and ``error`` are always there, empty if need be. Fields that the
    service adds later are kept in ``answer`` and reach XCom untouched.

    :param id: the task's id, as the endpoint that created it returned it.
    :param status: the service's word. ``is_completed``, ``is_failed`` and ``is_running`` tell what it means.
    :param object: what is being made, for example ``video_generation``.
    :param progress: per cent done, 0 to 100, while processing.
    :param estimated_remaining: the service's estimate, in seconds, while processing.
    :param video_url: where the finished video lies: what ``video_url`` holds or, if that is no URL, the first result
        that may be a video. It may be no http(s) URL; see :func:`is_web_url`.
    :param thumbnail_url: where its thumbnail lies, likewise.
    :param duration: length of the video in seconds.
    :param resolution: for example ``720p``.
    :param completed_at: when the task finished, in UTC (Unix seconds in the answer).
    :param usage: what it cost.
    :param error: why it failed.
    :param answer: the whole answer, decoded from JSON, changed only where Airflow could not carry it otherwise.
    :param unclear: the fields whose values cannot be understood; only ``answer`` has these.
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
    unclear: tuple[str, ...] = ()

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> SeeAnyTask:
        """
        Read a decoded JSON answer.

        :param answer: the JSON object that the service sent.
        :raises ValueError: if its ``id`` or ``status`` cannot be used; the text names the field.
        """
        documented = {key: payload[key] for key in _DOCUMENTED if payload.get(key) is not None}
        documented["payload"] = payload
        try:
            # Nearly always that is all.
            task = msgspec.convert(documented, cls, dec_hook=_decode_time)
        except ValueError:
            return cls._read(payload)
        return task if task._is_read_whole else cls._read(payload)

    @classmethod
    def _read(cls, payload: Mapping[str, Any]) -> SeeAnyTask:
        """Read each field on its own."""
        seeany_task_id, status = fields.identity(payload.get("id")), payload.get("status")
        if seeany_task_id is None:
            raise ValueError(f"it has no usable `id`: {payload.get('id')!r}")
        if not isinstance(status, str) or not _word(status):
            raise ValueError(f"it has no usable `status`: {status!r}")
        read = {name: fields.decode_event(reader, payload.get(name)) for name, reader in _READERS.items()}
        cost, cost_unit = fields.decode_event(fields.cost, payload.get("usage")) or (None, None)
        code, message = fields.decode_event(fields.error, payload.get("error")) or (None, None)
        found = {**read, "usage": cost, "error": message if code is None else code}
        task = cls(
            id=seeany_task_id,
            status=status,
            usage=Usage(cost=cost, cost_unit=cost_unit),
            error=TaskError(code=code, message=message),
            payload=payload,
            unclear=tuple(name for name in found if found[name] is None and fields.says_something(name, payload)),
            **read,
        )
        if task.is_failed and not fields.is_reason(message):
            # Some tell it beside the error, or in its place.
            told = fields.decode_event(fields.error_beside, payload) or (None, None)
            error = TaskError(code=code or (code if told[0] is None else told[0]), message=told[1])
            return msgspec.structs.replace(task, error=error)
        if task.is_completed and task.is_video and not is_web_url(task.video_url):
            return msgspec.structs.replace(task, video_url=find_video_url(payload) or task.video_url)
        return task

    @property
    def _is_read_whole(self) -> bool:
        """Whether nothing is left that a more patient reading could find."""
        if not self.id or self.id != self.id.strip() or not _word(self.status):
            return False
        if self.is_failed:
            return fields.is_reason(self.error.message)
        if self.is_completed:
            cost = self.usage.cost
            is_cost_told = cost >= 0 if cost is not None else not self.payload.get("usage")
            return is_cost_told and (is_web_url(self.video_url) or not self.is_video)
        return True

    @property
    def state(self) -> Literal["running", "completed", "failed"]:
        """
        What the status means. Case and surrounding white space don't count, and any unknown word is still running.

        An end with some of several results is completed if there is any.
        """
        state = _STATES.get(self.status) or _STATES.get(_word(self.status), "running")
        if state == "partial":
            return "completed" if find_results(self.payload) else "failed"
        return state

    @property
    def is_completed(self) -> bool:
        """Whether the task is done and its result is there."""
        return self.state == "completed"

    @property
    def is_failed(self) -> bool:
        """Whether the task has failed for good."""
        return self.state == "failed"

    @property
    def is_running(self) -> bool:
        """Whether the task is neither completed nor failed, which an unknown status word also means."""
        return self.state == "running"

    @property
    def has_known_status(self) -> bool:
        """Whether it is known what the status word means."""
        return self.status in _STATES or _word(self.status) in _STATES

    @property
    def looks_ended(self) -> bool:
        """Whether an unknown status word reads as if the task had ended."""
        return not self.has_known_status and bool(_LIKE_AN_END.search(_word(self.status)))

    @property
    def early_result_url(self) -> str | None:
        """A result URL in the answer, whatever its status."""
        if self.is_video:
            return find_video_url(self.payload)
        return next((found.url for found in find_results(self.payload)), None)

    @property
    def failure_reason(self) -> str:
        """Why a failed task failed, in the service's words, for a person."""
        said = "without a reason" if _word(self.status) == "failed" else f"its status is {self.status}"
        reason = sanitize(self.error.message or said)
        return f"{reason} ({sanitize(str(self.error.code))})" if self.error.code else reason

    @property
    def lacks_its_result(self) -> bool:
        """
        Whether this says that it is completed and has no result.

        Of what is no video it is not known how results look; but "success" alone may be that of the request.
        """
        needs_one = self.is_video or (_word(self.status) == "success" and not self.tells_of_a_task)
        return self.is_completed and needs_one and not self.video_url and not find_results(self.payload)

    @property
    def tells_of_a_task(self) -> bool:
        """Whether the answer has any of the fields that an answer about a task has, beside ``id`` and ``status``."""
        return any(not fields.is_empty(self.payload.get(name)) for name in _OF_A_TASK)

    @property
    def contradicts_itself(self) -> bool:
        """Whether this says that it is completed, and the task in its ``data`` that it is not: then it is no task's."""
        inner = self.payload.get("data")
        if not self.is_completed or not isinstance(inner, Mapping) or not isinstance(inner.get("status"), str):
            return False
        state = _STATES.get(_word(inner["status"]))
        return state is not None and state not in ("completed", "partial")

    @property
    def is_video(self) -> bool:
        """Whether what is made is said to be a video."""
        return self.object is not None and _word(self.object) == "video_generation"

    @property
    def result_urls(self) -> tuple[str, ...]:
        """The :func:`urls_in` a completed answer."""
        return urls_in(self.payload) if self.is_completed else ()

    def as_json(self) -> dict[str, Any]:
        """Return the whole answer as plain JSON values, with ``completed_at`` as an ISO 8601 UTC string."""
        if self.completed_at is None:
            return dict(self.payload)
        return {**self.payload, "completed_at": self.completed_at.to_iso8601_string()}

    def result_fields(self) -> dict[str, Any]:
        """
        Return the :data:`RESULT_FIELDS` as plain JSON values; what the answer lacks is left out.

        So is a URL that is no http(s) one: what takes it downstream may open it, or show it as a link.
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
)
"""What a completed task is waited for, by the names that its XComs have."""

_DOCUMENTED = tuple(name for name in SeeAnyTask.__struct_fields__ if name not in ("payload", "unclear"))


_OF_A_TASK = tuple(name for name in _DOCUMENTED if name not in ("id", "status", "error"))


def _word(said: str) -> str:
    """Return a word of the service as it compares with others."""
    said = said.strip()
    return _short_word(said) if len(said) <= MAX_WORD else said


@lru_cache(maxsize=256)
def _short_word(said: str) -> str:
    return re.sub(r"[\s_-]+", "_", fields.plain(said))


def _moment(value: object) -> pendulum.DateTime | None:
    moment = fields.moment(value)
    return None if moment is None else pendulum.instance(moment)


def _decode_time(kind: type, value: object) -> object:
    if kind is not pendulum.DateTime:
        raise NotImplementedError(f"no reading of {kind}")
    moment = fields.decode_event(_moment, value)
    if moment is None:
        raise ValueError("`completed_at` is no time")
    return moment


_READERS: Mapping[str, Callable[[object], Any]] = {
    "object": fields.text,
    "progress": fields.per_cent,
    "estimated_remaining": fields.seconds,
    "video_url": fields.url,
    "thumbnail_url": fields.url,
    "duration": fields.seconds,
    "resolution": fields.resolution,
    "completed_at": _moment,
}
