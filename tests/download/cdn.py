"""A CDN of the tests' own: serves files with ranges, and fails in the ways that one does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.hostile import Caller, HostileServer, Request, Responder, reply


@dataclass
class File:
    """
    A file on the CDN.

    :param breaks: after how many bytes the connection is reset, for one request after the other; none afterwards.
    :param length: what Content-Length says, if not the truth.
    """

    content: bytes
    content_type: str | None = "video/mp4"
    etag: str | None = '"one"'
    last_modified: str | None = None
    has_ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    length: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Cdn(HostileServer):
    """Serves files by their paths; to other paths it responds by their scripts, or with 404."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, File] = {}
        self.scripts: dict[str, list[Responder]] = {}
        self.expected_query = ""
        """A signature that all requests for files need, else they get 403."""

    def add(self, path: str, content: bytes, **how: object) -> str:
        """Add a file and return its URL."""
        self.files[path] = File(content, **how)  # type: ignore[arg-type]
        return f"{self.url}{path}"

    def respond(self, path: str, *responses: Responder) -> str:
        """Script the responses to a path, the last one again and again, and return its URL."""
        self.scripts[path] = list(responses)
        return f"{self.url}{path}"

    def paths(self) -> Counter[str]:
        """Count the requests by path."""
        return Counter(request.target.partition("?")[0] for request in self.requests)

    def _next_response(self, request: Request) -> Responder:
        super()._next_response(request)
        path, _, query = request.target.partition("?")
        if path in self.scripts:
            script = self.scripts[path]
            return script.pop(0) if len(script) > 1 else script[0]
        if self.expected_query and query != self.expected_query:
            return reply(403, "<Error>AccessDenied</Error>", ("Content-Type", "application/xml"))
        if path not in self.files:
            return reply(404, "no such file")

        async def respond(caller: Caller) -> None:
            await _serve(self.files[path], request, caller)

        return respond


async def _serve(file: File, request: Request, caller: Caller) -> None:
    start = _start(file, request)
    body = file.content[start:]
    head = [f"HTTP/1.1 {206 if start else 200} Reason"]
    head += [f"{name}: {value}" for name, value in _headers(file, start, len(body))]
    await caller.send("\r\n".join(head).encode() + b"\r\n\r\n")
    limit = file.breaks.pop(0) if file.breaks else None
    for piece in _pieces(body if limit is None else body[:limit]):
        await caller.send(piece)
    if limit is not None or file.length is not None:
        await caller.hang_up()


def _start(file: File, request: Request) -> int:
    ranges = request.all("Range")
    if not ranges or not file.has_ranges or request.all("If-Range") != [file.etag or file.last_modified]:
        return 0
    found = re.fullmatch(r"bytes=(\d+)-", ranges[0])
    assert found
    return int(found[1])


def _headers(file: File, start: int, size: int) -> Iterator[tuple[str, str]]:
    yield "Content-Length", str(size if file.length is None else file.length)
    if file.content_type is not None:
        yield "Content-Type", file.content_type
    if file.etag is not None:
        yield "ETag", file.etag
    if file.last_modified is not None:
        yield "Last-Modified", file.last_modified
    if start:
        yield "Content-Range", f"bytes {start}-{start + size - 1}/{start + size}"
    yield from file.headers


def _pieces(body: bytes) -> Iterator[bytes]:
    for begin in range(0, len(body), 256 * 1024):
        yield body[begin : begin + 256 * 1024]
