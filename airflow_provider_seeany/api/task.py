"""A SeeAny task as a typed value with the platform's own field names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pendulum

from airflow_provider_seeany.api import fields
from airflow_provider_seeany.api.trouble import cleaned

_STATES: Mapping[str, Literal["running", "completed", "failed", "partial"]] = {
    "processing": "running",
    **dict.fromkeys(("completed", "succeeded", "success"), "completed"),
    **dict.fromkeys(("failed", "error", "cancelled", "canceled", "expired", "rejected"), "failed"),
    "partial_failed": "partial",
}
"""What status words mean: those of the platform's page, and the ends that the live service is known to have."""

_LIKE_AN_END = re.compile(
    r"complet|success|succeed|finish|done|fail|error|cancel|abort|expire|reject|refuse|time_?d?_?out|stop|terminat|delet"
    r"|(?:^|_)(?:end|ended|ready)$|完成|成功|失败|取消|过期|拒绝|终止|结束"
)

_VIDEO_FILES = (".mp4", ".mov", ".webm", ".m3u8", ".mkv", ".avi", ".m4v")
_LONGEST_WORD = 100
"""Longer texts are kept out of the cache; none of them is a status."""

_INPUTS = ("input", "source", "reference", "prompt", "first_frame", "callback", "webhook")
"""Parts of keys under which an answer repeats what was asked for."""

_PICTURE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")


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

    ``id`` and ``status`` decide what an answer is. Each other field is read on its own, as
    :mod:`~airflow_provider_seeany.api.fields` says: one that the answer lacks, gives as ``null``, or holds something in
    that cannot be understood, is ``None``; ``usage`` and ``error`` are always there, empty if need be. Fields that the
    service adds later are kept in ``answer`` and reach XCom untouched.

    :param id: the task's id, as the endpoint that created it returned it.
    :param status: the service's word. ``is_completed``, ``is_failed`` and ``is_running`` tell what it means.
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
    answer: Mapping[str, Any] = {}
    unclear: tuple[str, ...] = ()

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> SeeAnyTask:
        """
        Read a decoded JSON answer.

        :param answer: the JSON object that the service sent.
        :raises ValueError: if its ``id`` or ``status`` cannot be used; the text names the field.
        """
        documented = {key: answer[key] for key in _DOCUMENTED if answer.get(key) is not None}
        documented["answer"] = answer
        try:
            # Nearly always that is all.
            task = msgspec.convert(documented, cls, dec_hook=_decode_time)
        except ValueError:
            return cls._read(answer)
        return task if task._is_read_whole else cls._read(answer)

    @classmethod
    def _read(cls, answer: Mapping[str, Any]) -> SeeAnyTask:
        """Read each field on its own."""
        seeany_task_id, status = fields.identity(answer.get("id")), answer.get("status")
        if seeany_task_id is None:
            raise ValueError(f"it has no usable `id`: {answer.get('id')!r}")
        if not isinstance(status, str) or not _word(status):
            raise ValueError(f"it has no usable `status`: {status!r}")
        read = {name: reader(answer.get(name)) for name, reader in _READERS.items()}
        cost, cost_unit = fields.cost(answer.get("usage"))
        code, message = fields.error(answer.get("error"))
        found = {**read, "usage": cost, "error": message if code is None else code}
        task = cls(
            id=seeany_task_id,
            status=status,
            usage=Usage(cost=cost, cost_unit=cost_unit),
            error=TaskError(code=code, message=message),
            answer=answer,
            unclear=tuple(name for name in found if found[name] is None and fields.says_something(name, answer)),
            **read,
        )
        if task.is_failed and message is None:
            # Some tell it beside the error, or in its place.
            told = fields.error_beside(answer)
            error = TaskError(code=told[0] if code is None else code, message=told[1])
            return msgspec.structs.replace(task, error=error)
        if task.is_completed and task._is_video and not is_web_url(task.video_url):
            return msgspec.structs.replace(task, video_url=_video_url(answer) or task.video_url)
        return task

    @property
    def _is_read_whole(self) -> bool:
        """Whether nothing is left that a more patient reading could find."""
        if not self.id or self.id != self.id.strip() or not _word(self.status):
            return False
        if self.is_failed:
            return bool(self.error.message)
        if self.is_completed:
            is_cost_told = self.usage.cost is not None or not self.answer.get("usage")
            return is_cost_told and (is_web_url(self.video_url) or not self._is_video)
        return True

    @property
    def state(self) -> Literal["running", "completed", "failed"]:
        """
        What the status means. Case and surrounding white space don't count, and any unknown word is still running.

        An end with some of several results is completed if there is any.
        """
        state = _STATES.get(self.status) or _STATES.get(_word(self.status), "running")
        if state == "partial":
            return "completed" if _results(self.answer) else "failed"
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
        """A result URL in the answer, whatever its status; what the answer repeats of the request is none."""
        if self._is_video:
            return _video_url(self.answer)
        return next((found.url for found in _results(self.answer)), None)

    @property
    def failure_reason(self) -> str:
        """Why a failed task failed, in the service's words, for a person."""
        said = "without a reason" if _word(self.status) == "failed" else f"its status is {self.status}"
        reason = cleaned(self.error.message or said)
        return f"{reason} ({cleaned(str(self.error.code))})" if self.error.code else reason

    @property
    def lacks_its_video(self) -> bool:
        """Whether this is a completed video generation that names no video, nor any other result."""
        return self.is_completed and self._is_video and not self.video_url and not _results(self.answer)

    @property
    def _is_video(self) -> bool:
        return self.object is not None and _word(self.object) == "video_generation"

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
            self.completed_at and self.completed_at.to_iso8601_string(),
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

_DOCUMENTED = tuple(name for name in SeeAnyTask.__struct_fields__ if name not in ("answer", "unclear"))


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
    return tuple(dict.fromkeys(found.url for found in _urls(answer) if found.is_result))


def _word(said: str) -> str:
    """Return a word of the service as it compares with others."""
    return _short_word(said) if len(said) <= _LONGEST_WORD else said.strip()


@lru_cache(maxsize=256)
def _short_word(said: str) -> str:
    return re.sub(r"[\s_-]+", "_", fields.plain(said))


def _moment(value: object) -> pendulum.DateTime | None:
    moment = fields.moment(value)
    return None if moment is None else pendulum.instance(moment)


def _decode_time(kind: type, value: object) -> object:
    if kind is not pendulum.DateTime:
        raise NotImplementedError(f"no reading of {kind}")
    moment = _moment(value)
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


def _results(answer: Mapping[str, Any]) -> list[_Url]:
    return [found for found in _urls(answer) if not found.is_input and (found.is_result or found.may_be_video)]


def _video_url(answer: Mapping[str, Any]) -> str | None:
    """Find the video of a completed answer that does not name it as documented."""
    found = _results(answer)
    videos = [each.url for each in found if each.may_be_video]
    others = [each.url for each in found if not each.is_picture]
    return next(iter(videos + others), None)


class _Url(NamedTuple):
    url: str
    is_result: bool
    """Whether it stands under a key of a URL."""
    is_of_video: bool
    is_input: bool
    """Whether it is what was given to make the result of."""

    @property
    def is_picture(self) -> bool:
        return urlsplit(self.url).path.lower().endswith(_PICTURE_FILES)

    @property
    def may_be_video(self) -> bool:
        return urlsplit(self.url).path.lower().endswith(_VIDEO_FILES) or (self.is_of_video and not self.is_picture)

    def under(self, key: str) -> _Url:
        """Return it as it stands when it is found under this key."""
        is_url = key == "url" or key.endswith(("_url", "_urls"))
        key = key.lower()
        return self._replace(
            is_result=self.is_result or is_url,
            is_of_video=self.is_of_video or "video" in key,
            is_input=self.is_input or any(word in key for word in _INPUTS),
        )


def _urls(answer: Mapping[str, Any]) -> Iterator[_Url]:
    """Walk the answer in its own order, with a stack instead of recursion so that depth cannot hurt."""
    stack: list[tuple[_Url, object]] = [(_Url("", is_result=False, is_of_video=False, is_input=False), answer)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            if is_web_url(url := value.strip()):
                yield place._replace(url=url)
        elif isinstance(value, Mapping):
            inner = [(place.under(key), item) for key, item in value.items() if "thumb" not in key.lower()]
            stack.extend(reversed(inner))
        elif isinstance(value, list | tuple):
            stack.extend((place, item) for item in reversed(value))
