"""Finds the result URLs in a payload, whatever its fields are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_seeany.api.fields import MAX_WORD

_VIDEO_FILES = (".mp4", ".mov", ".webm", ".m3u8", ".mkv", ".avi", ".m4v")
_PICTURE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")

# Words in a URL's keys.

_INPUTS = ("input", "reference", "prompt", "callback", "webhook")
"""Prefixes of words that repeat the request."""

_SOURCES = frozenset({"source", "sources"})
"""These repeat the request, too, except below an output: a video in several qualities."""

_NO_RESULTS = frozenset(
    {"ref", "refs", "request", "params", "parameters", "notify"}
    | {"error", "message", "status", "cancel", "poll", "polling", "self", "docs", "doc", "documentation", "help"}
)
"""Other words that exclude a result."""

_COVERS = ("thumb", "cover", "poster", "frame")
"""Prefixes of words for pictures that only accompany a video."""

_LINKS = frozenset({"url", "urls", "uri", "uris", "href", "link", "links", "download"})
_OUTPUTS = frozenset({"output", "outputs", "result", "results", "file", "files"})
_PICTURES = frozenset({"image", "images", "picture", "pictures", "photo", "photos"})


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


def urls_in(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return every http(s) URL of a payload that is a result, at any depth; each once.

    The endpoint also serves image sets, whose result fields the platform does not document, so results are recognised
    by their keys, such as ``url`` and ``*_urls``, or by their file names; if none is, all URLs count but thumbnails,
    covers, and those that repeat the request.
    """
    return tuple(dict.fromkeys(found.url for found in find_results(payload)))


def has_results(payload: Mapping[str, Any]) -> bool:
    """Tell whether a payload has a URL of a result."""
    return next(_urls(payload), None) is not None


def find_results(payload: Mapping[str, Any]) -> list[_Url]:
    """Return the URLs that are results by their keys or file names, or else all candidates."""
    found = list(_urls(payload))
    return [each for each in found if each.path.is_named or each.may_be_video] or found


def find_video_url(payload: Mapping[str, Any], *, is_video: bool = True) -> str | None:
    """
    Return the URL of the video in a payload without the documented field.

    :param is_video: whether there must be one, so that any result but a picture may be it.
    """
    found = find_results(payload)
    videos = [each.url for each in found if each.may_be_video]
    others = [each.url for each in found if is_video and not each.is_picture]
    return next(iter(videos + others), None)


class _Path(NamedTuple):
    """What the keys on the path to a value tell about it."""

    is_named: bool = False
    """Whether one of them names a link or an output."""
    is_of_output: bool = False
    is_of_video: bool = False
    is_of_picture: bool = False

    def below(self, key: str) -> _Path | None:
        """Return the path with one more key; ``None`` if no result can be there."""
        words = _words(key) if len(key) <= MAX_WORD else frozenset()
        if _is_no_result(words) or (words & _SOURCES and not (self.is_of_output and len(words) == 1)):
            return None
        is_of_video = self.is_of_video or any(word.startswith("video") for word in words)
        is_of_output = self.is_of_output or is_of_video or bool(words & _OUTPUTS)
        return _Path(
            is_named=self.is_named or bool(words & _LINKS) or bool(words & _OUTPUTS),
            is_of_output=is_of_output,
            is_of_video=is_of_video,
            is_of_picture=self.is_of_picture or bool(words & _PICTURES),
        )


class _Url(NamedTuple):
    url: str
    path: _Path

    @property
    def is_picture(self) -> bool:
        file = urlsplit(self.url).path.lower()
        if file.endswith(_PICTURE_FILES):
            return True
        return self.path.is_of_picture and not self.path.is_of_video and not file.endswith(_VIDEO_FILES)

    @property
    def may_be_video(self) -> bool:
        is_file = urlsplit(self.url).path.lower().endswith(_VIDEO_FILES)
        return is_file or (self.path.is_of_video and not self.is_picture)


@lru_cache(maxsize=1024)
def _words(key: str) -> frozenset[str]:
    """Return the words of a key, the same for ``image_urls``, ``image-urls`` and ``imageURLs``."""
    key = re.sub(r"URL(s?)(?![a-z])", r"_url\1_", key)
    return frozenset(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", " ", key).lower().split())


@lru_cache(maxsize=1024)
def _is_no_result(words: frozenset[str]) -> bool:
    return bool(words & _NO_RESULTS) or any(word.startswith(_INPUTS + _COVERS) or "thumb" in word for word in words)


def _urls(payload: Mapping[str, Any]) -> Iterator[_Url]:
    """Walk through the payload in its order, with a stack, as recursion fails in deep ones."""
    stack: list[tuple[_Path, object]] = [(_Path(), payload)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, str):
            if is_web_url(url := value.strip()):
                yield _Url(url, path)
        elif isinstance(value, Mapping):
            inner = [(below, item) for key, item in value.items() if (below := path.below(key)) is not None]
            stack.extend(reversed(inner))
        elif isinstance(value, list | tuple):
            stack.extend((path, item) for item in reversed(value))
