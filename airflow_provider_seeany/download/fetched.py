"""A file that is being fetched: what its responses must be, its checksum, and where its bytes go."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import re
from collections.abc import Callable
from typing import Protocol

import aiohttp
from multidict import CIMultiDictProxy

from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    TransientError,
    error_type,
)
from airflow_provider_seeany.api.parse import read_retry_after
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.download.settings import format_bytes

_NO_FILE_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/json", "text/xml", "application/xml"})
_EXTENSIONS = {"image/jpeg": ".jpg", "video/quicktime": ".mov", "image/webp": ".webp", "image/avif": ".avif"}
_WEB_PAGE = re.compile(rb"[\s\xef\xbb\xbf]*<(?:!doctype html|html|head|body|script)\b", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Sink(Protocol):
    """Where the bytes of a file go. Blocking: it is called in a thread."""

    def write(self, data: bytes) -> None:
        """Append bytes."""

    def commit(self) -> None:
        """Let the file appear."""

    def discard(self) -> None:
        """Drop all that was written, and leave nothing behind."""


class Fetched:
    """
    A file that is being fetched, and what is known of it.

    :param open_sink: makes a sink, given the extension that the content type says.
    :param on_written: is called in the event loop whenever more is written.
    """

    def __init__(
        self,
        url: str,
        open_sink: Callable[[str], Sink],
        *,
        max_size: int,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self.sink: Sink | None = None
        self.size = 0
        self.content_type = ""
        self.total: int | None = None
        self._open_sink = open_sink
        self._max_size = max_size
        self._on_written = on_written
        self._sha256 = hashlib.sha256()
        self._validator: str | None = None

    @property
    def sha256(self) -> str:
        """The checksum of the bytes so far, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def can_be_resumed(self) -> bool:
        """Whether the server gave what tells that the rest, requested later, is of the same file."""
        return self._validator is not None

    def range_headers(self) -> dict[str, str]:
        """Return the headers that request what is missing."""
        if not self.size or self._validator is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    async def begin(self, raw: aiohttp.ClientResponse) -> None:
        """Accept the head of a response: go on where the bytes so far end, or begin anew."""
        if raw.status == 206:
            found = _CONTENT_RANGE.fullmatch(raw.headers.get("Content-Range", ""))
            if found and int(found[1]) == self.size and int(found[2]) == (self.total or int(found[2])):
                self.total = int(found[2])
                return
            await self.discard()
            raise TransientError("the server sent another range than the requested one")
        if raw.status == 416:
            await self.discard()
            raise TransientError("the server has no such range of the file", http_status=416)
        if raw.status != 200:
            raise _status_error(raw)
        await self.discard()
        self.content_type = raw.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.total = raw.content_length
        self._validator = _validator(raw.headers)
        if self.content_type in _NO_FILE_TYPES:
            raise InvalidResponseError(f"the response is no file, but {sanitize(self.content_type)}", http_status=200)
        if raw.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise InvalidResponseError("the response is compressed, although none was requested", http_status=200)
        if self.total is None and raw.headers.get("Transfer-Encoding", "").lower() != "chunked":
            raise InvalidResponseError("the response has no length, so that its end cannot be told", http_status=200)
        self._check_size(self.total or 0)

    async def write(self, data: bytes) -> None:
        """Hash and store bytes, in a thread."""
        if not self.size and _WEB_PAGE.match(data[:512]):
            raise InvalidResponseError("the response is no file, but a web page", http_status=200)
        self._check_size(self.size + len(data))
        await _in_thread(self._write, data)
        self._on_written()

    def _write(self, data: bytes) -> None:
        if self.sink is None:
            self.sink = self._open_sink(_EXTENSIONS.get(self.content_type) or _extension(self.content_type))
        self.sink.write(data)
        self._sha256.update(data)
        self.size += len(data)

    def _check_size(self, size: int) -> None:
        if size > self._max_size:
            known = f" ({format_bytes(self.total)})" if self.total else ""
            raise PermanentError(f"the file{known} is larger than max_file_size, {format_bytes(self._max_size)}")

    def check_end(self) -> None:
        """Check at the end of a response that it was all of the file."""
        if self.total is not None and self.size != self.total:
            raise TransientError(f"only {self.size} of {self.total} bytes came")
        if not self.size:
            raise InvalidResponseError("the response is empty", http_status=200)

    async def discard(self) -> None:
        """Drop the bytes so far."""
        sink, self.sink = self.sink, None
        self.size, self.total, self._sha256, self._validator = 0, None, hashlib.sha256(), None
        if sink is not None:
            await _in_thread(sink.discard)

    async def commit(self) -> None:
        """Let the complete file appear."""
        assert self.sink is not None
        await _in_thread(self.sink.commit)


def _status_error(raw: aiohttp.ClientResponse) -> ApiError:
    if raw.status < 400:
        return InvalidResponseError(f"unexpected HTTP {raw.status}", http_status=raw.status)
    retry_after = read_retry_after(raw.headers)
    kind = error_type(raw.status, retry_after=retry_after)
    return kind(f"HTTP {raw.status}", http_status=raw.status, retry_after=retry_after)


def _validator(headers: CIMultiDictProxy[str]) -> str | None:
    """Return what If-Range takes, unless the server does not send ranges."""
    if headers.get("Accept-Ranges", "").strip().lower() == "none":
        return None
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _extension(content_type: str) -> str:
    is_known = content_type.startswith(("video/", "image/", "audio/"))
    return (mimetypes.guess_extension(content_type) or "") if is_known else ""


async def _in_thread(call: Callable[..., None], *args: object) -> None:
    """Call what blocks. If that is cancelled, it ends first: nothing may write to what is discarded."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *args))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
