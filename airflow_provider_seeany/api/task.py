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
    r"(?<!in)complet|success|succeed|(?<!un)finish|done|generated|published"
    r"|fail|error|cancel|abort|expire|reject|refuse|blocked|denied|killed|time_?d?_?out|stop|terminat|delet"
    r"|(?:^|_)(?:end|ended|ready)$|完成|成功|失败|取消|过期|拒绝|终止|结束"
)

_VIDEO_FILES = (".mp4", ".mov", ".webm", ".m3u8", ".mkv", ".avi", ".m4v")
_LONGEST_WORD = 100
"""Longer texts are kept out of the cache; none of them is a status."""

_INPUTS = ("input", "reference", "prompt", "callback", "webhook")
"""Beginnings of words in keys under which an answer repeats what was asked for."""

_SOURCES = frozenset({"source", "sources"})
"""What was asked for, too, unless a result has sources: a video in several qualities."""

_NO_RESULTS = frozenset(
    {"ref", "refs", "request", "params", "parameters", "notify"}
    | {"error", "message", "status", "cancel", "poll", "polling", "self", "docs", "doc", "documentation", "help"}
)
"""Other words in keys under which no result stands."""

_COVERS = ("thumb", "cover", "poster", "frame")
"""Beginnings of words in keys of pictures that only come with a video."""

_PLACES = frozenset({"url", "urls", "uri", "uris", "href", "link", "links", "download"})
_OUTPUTS = frozenset({"output", "outputs", "result", "results", "file", "files"})
_PICTURES = frozenset({"image", "images", "picture", "pictures", "photo", "photos"})
"""Words in keys under which a result may stand."""

_PICTURE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")


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
        read = {name: fields.understood(reader, answer.get(name)) for name, reader in _READERS.items()}
        cost, cost_unit = fields.understood(fields.cost, answer.get("usage")) or (None, None)
        code, message = fields.understood(fields.error, answer.get("error")) or (None, None)
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
        if task.is_failed and not fields.is_reason(message):
            # Some tell it beside the error, or in its place.
            told = fields.understood(fields.error_beside, answer) or (None, None)
            error = TaskError(code=code or (code if told[0] is None else told[0]), message=told[1])
            return msgspec.structs.replace(task, error=error)
        if task.is_completed and task.is_video and not is_web_url(task.video_url):
            return msgspec.structs.replace(task, video_url=_video_url(answer) or task.video_url)
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
            is_cost_told = cost >= 0 if cost is not None else not self.answer.get("usage")
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
        """A result URL in the answer, whatever its status."""
        if self.is_video:
            return _video_url(self.answer)
        return next((found.url for found in _results(self.answer)), None)

    @property
    def failure_reason(self) -> str:
        """Why a failed task failed, in the service's words, for a person."""
        said = "without a reason" if _word(self.status) == "failed" else f"its status is {self.status}"
        reason = cleaned(self.error.message or said)
        return f"{reason} ({cleaned(str(self.error.code))})" if self.error.code else reason

    @property
    def lacks_its_result(self) -> bool:
        """
        Whether this says that it is completed and has no result.

        Of what is no video it is not known how results look; but "success" alone may be that of the request.
        """
        needs_one = self.is_video or (_word(self.status) == "success" and not self.tells_of_a_task)
        return self.is_completed and needs_one and not self.video_url and not _results(self.answer)

    @property
    def tells_of_a_task(self) -> bool:
        """Whether the answer has any of the fields that an answer about a task has, beside ``id`` and ``status``."""
        return any(not fields.is_empty(self.answer.get(name)) for name in _OF_A_TASK)

    @property
    def contradicts_itself(self) -> bool:
        """Whether this says that it is completed, and the task in its ``data`` that it is not: then it is no task's."""
        inner = self.answer.get("data")
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
        return urls_in(self.answer) if self.is_completed else ()

    def as_json(self) -> dict[str, Any]:
        """Return the whole answer as plain JSON values, with ``completed_at`` as an ISO 8601 UTC string."""
        if self.completed_at is None:
            return dict(self.answer)
        return {**self.answer, "completed_at": self.completed_at.to_iso8601_string()}

    def highlights(self) -> dict[str, Any]:
        """
        Return the :data:`HIGHLIGHTS` as plain JSON values; what the answer lacks is left out.

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


_OF_A_TASK = tuple(name for name in _DOCUMENTED if name not in ("id", "status", "error"))


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
    Return every http(s) URL of an answer that is a result, at any depth; each once.

    The endpoint also serves image sets, whose result fields the platform does not document, so results are known by
    their keys, such as ``url`` and ``*_urls``, or by their file names; if none is, by what is left without thumbnails,
    covers, and what the answer repeats of the request.
    """
    return tuple(dict.fromkeys(found.url for found in _results(answer)))


def _word(said: str) -> str:
    """Return a word of the service as it compares with others."""
    said = said.strip()
    return _short_word(said) if len(said) <= _LONGEST_WORD else said


@lru_cache(maxsize=256)
def _short_word(said: str) -> str:
    return re.sub(r"[\s_-]+", "_", fields.plain(said))


def _moment(value: object) -> pendulum.DateTime | None:
    moment = fields.moment(value)
    return None if moment is None else pendulum.instance(moment)


def _decode_time(kind: type, value: object) -> object:
    if kind is not pendulum.DateTime:
        raise NotImplementedError(f"no reading of {kind}")
    moment = fields.understood(_moment, value)
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
    found = list(_urls(answer))
    return [each for each in found if each.is_named or each.may_be_video] or found


def _video_url(answer: Mapping[str, Any]) -> str | None:
    """Find the video of a completed answer that does not name it as documented."""
    found = _results(answer)
    videos = [each.url for each in found if each.may_be_video]
    others = [each.url for each in found if not each.is_picture]
    return next(iter(videos + others), None)


class _Place(NamedTuple):
    """What the keys say, under which something stands."""

    is_named: bool = False
    """Whether one of them names a URL or a result."""
    is_of_output: bool = False
    is_of_video: bool = False
    is_of_picture: bool = False

    def under(self, key: str) -> _Place | None:
        """Return what they say together with one more; ``None`` if no result stands there."""
        words = _words(key) if len(key) <= _LONGEST_WORD else frozenset()
        if _is_no_result(words) or (words & _SOURCES and not (self.is_of_output and len(words) == 1)):
            return None
        is_of_video = self.is_of_video or any(word.startswith("video") for word in words)
        is_of_output = self.is_of_output or is_of_video or bool(words & _OUTPUTS)
        return _Place(
            is_named=self.is_named or bool(words & _PLACES) or bool(words & _OUTPUTS),
            is_of_output=is_of_output,
            is_of_video=is_of_video,
            is_of_picture=self.is_of_picture or bool(words & _PICTURES),
        )


class _Url(NamedTuple):
    url: str
    place: _Place

    @property
    def is_named(self) -> bool:
        return self.place.is_named

    @property
    def is_picture(self) -> bool:
        path = urlsplit(self.url).path.lower()
        if path.endswith(_PICTURE_FILES):
            return True
        return self.place.is_of_picture and not self.place.is_of_video and not path.endswith(_VIDEO_FILES)

    @property
    def may_be_video(self) -> bool:
        is_file = urlsplit(self.url).path.lower().endswith(_VIDEO_FILES)
        return is_file or (self.place.is_of_video and not self.is_picture)


@lru_cache(maxsize=1024)
def _words(key: str) -> frozenset[str]:
    """Return the words of a key: those of ``image_urls``, ``image-urls`` and ``imageURLs`` are the same."""
    key = re.sub(r"URL(s?)(?![a-z])", r"_url\1_", key)
    return frozenset(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", " ", key).lower().split())


@lru_cache(maxsize=1024)
def _is_no_result(words: frozenset[str]) -> bool:
    return bool(words & _NO_RESULTS) or any(word.startswith(_INPUTS + _COVERS) or "thumb" in word for word in words)


def _urls(answer: Mapping[str, Any]) -> Iterator[_Url]:
    """Walk the answer in its own order, with a stack instead of recursion so that depth cannot hurt."""
    stack: list[tuple[_Place, object]] = [(_Place(), answer)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            if is_web_url(url := value.strip()):
                yield _Url(url, place)
        elif isinstance(value, Mapping):
            inner = [(under, item) for key, item in value.items() if (under := place.under(key)) is not None]
            stack.extend(reversed(inner))
        elif isinstance(value, list | tuple):
            stack.extend((place, item) for item in reversed(value))
