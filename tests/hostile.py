"""An HTTP server whose responses are scripted byte by byte, also in ways no server should respond."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

POLL_TIMEOUT = 10.0
"""
Maximum seconds to wait for something that must happen; nothing is ever asserted about how long it took.

Less than the 15 s after which aiohttp drops an idle connection by itself, or one left open would not be noticed.
"""

V1_TASK = "/v1/tasks/"
DEVELOPER_TASK = "/api/developer/task/status?task_uuid="

VIDEO = "vid_20260603_001"
PROCESSING = {
    "id": VIDEO,
    "object": "video_generation",
    "status": "processing",
    "progress": 65,
    "estimated_remaining": 42,
}
COMPLETED = {
    "id": VIDEO,
    "object": "video_generation",
    "status": "completed",
    "completed_at": 1748908920,
    "video_url": "https://cdn.seeany.com/video/vid_001/output.mp4",
    "thumbnail_url": "https://cdn.seeany.com/video/vid_001/thumb.jpg",
    "duration": 5,
    "resolution": "720p",
    "usage": {"cost": 0.70, "cost_unit": "CNY"},
}
FAILED = {
    "id": VIDEO,
    "object": "video_generation",
    "status": "failed",
    "error": {"code": "content_policy_violation", "message": "生成内容违反内容安全策略"},
}
"""The three bodies that the platform's page shows."""

PARTIAL_URLS = ["https://cdn.seeany.com/image/set_001/1.jpg", "https://cdn.seeany.com/image/set_001/3.jpg"]
PARTIAL = {
    "id": "x",
    "object": "image_set",
    "status": "partial_failed",
    "images": [{"url": url} for url in PARTIAL_URLS],
    "usage": {"cost": 0.4, "cost_unit": "CNY"},
    "error": {"code": "image_failed", "message": "4 张图片中有 2 张生成失败"},
}
"""A task of whose files some failed; the page does not show one."""
IMAGES = {
    "id": VIDEO,
    "status": "partial_failed",
    "progress": 100,
    "assets": [{"work_uuid": "w", "images": [{"url": "https://cdn.seeany.com/1.png", "width": 2048, "height": 2048}]}],
    "error_message": "1 张失败",
}
"""A task as the dialect of developers describes it, of which some files failed."""


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    @property
    def target(self) -> str:
        """The path and query, exactly as they were sent."""
        return self.line.split(" ")[1]

    @property
    def task_id(self) -> str:
        """The requested task's id as it was sent, in either dialect; empty for any other request."""
        return max(self.target.partition(path)[2] for path in (V1_TASK, DEVELOPER_TASK))

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in the order sent."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Caller:
    """
    One connection, as a scripted response sees it.

    :param request: the request to respond to.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        self.key = "".join(request.all("Authorization")).removeprefix("Bearer ")
        self.is_developer = DEVELOPER_TASK in request.target
        """Whether the request is in the dialect of developers."""
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send and wait until it has left."""
        self._writer.write(data)
        await self._writer.drain()

    async def hang_up(self) -> None:
        """Send no more, as a server does that closes the connection."""
        self._writer.write_eof()
        await self.gone()

    async def gone(self) -> None:
        """Wait until the caller has hung up."""
        while await self._reader.read(65_536):
            pass

    def reset(self) -> None:
        """Break the connection off, so that the caller sees a reset."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()


Responder = Callable[[Caller], Awaitable[None]]
"""A response: what the server does after it has read a request."""


Headers = tuple[tuple[str, str], ...]


def accepting(key: str, response: Responder, *, otherwise: Responder) -> Responder:
    """Respond in one way to requests with this key, and in another to all others."""

    async def respond(caller: Caller) -> None:
        await (response if caller.key == key else otherwise)(caller)

    return respond


def after(change: Callable[[], object], response: Responder) -> Responder:
    """Respond after a change: a test that makes it when it has seen the request may come after the next one."""

    async def respond(caller: Caller) -> None:
        change()
        await response(caller)

    return respond


def once(event: threading.Event, response: Responder) -> Responder:
    """Respond when something has happened, and not before."""

    async def respond(caller: Caller) -> None:
        while not event.is_set():
            await asyncio.sleep(0.01)
        await response(caller)

    return respond


class HostileServer:
    """
    Responds to each path by its script: one response after the other, the last one again and again.

    :param url: where it listens, without a path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.connections = 0
        """How many connections were ever made."""
        self.open = 0
        """How many connections are open now."""
        self._scripts: dict[str | None, list[Responder]] = {None: [reply(404, "no script")]}
        self._changed = threading.Condition()

    def script(self, *responses: Responder, task_id: str | None = None) -> None:
        """Set the responses to polls of a task, or to any request that has no script of its own."""
        self._scripts[task_id] = list(responses)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on this server holds."""
        with self._changed:
            assert self._changed.wait_for(condition, POLL_TIMEOUT), f"{self.open} open, requests: {self.requests}"

    async def serve(self) -> Coroutine[Any, Any, None]:
        """Start listening; what this returns stops it."""
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def stop() -> None:
            server.close()

        return stop()

    def _note(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self._changed.notify_all()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._note(connections=1, open=1)
        try:
            # What does not begin with a letter is no HTTP, but a TLS handshake.
            while (start := await reader.readexactly(1)).isalpha():
                head = start + await reader.readuntil(b"\r\n\r\n")
                request = _parse(head)
                if length := "".join(request.all("Content-Length")):
                    request = replace(request, body=await reader.readexactly(int(length)))
                await self._next_response(request)(Caller(reader, writer, request))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the caller, or the server, is gone
        finally:
            writer.close()
            self._note(open=-1)

    def _next_response(self, request: Request) -> Responder:
        script = self._scripts.get(request.task_id) or self._scripts[None]
        response = script.pop(0) if len(script) > 1 else script[0]
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        return response


def _parse(head: bytes) -> Request:
    line, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = (field.partition(":") for field in fields)
    return Request(line, tuple((name, value.strip()) for name, _, value in headers))


@contextmanager
def in_background(start: Callable[[], Awaitable[Coroutine[Any, Any, None]]]) -> Iterator[None]:
    """Run a server on an event loop of its own, so that blocking and asynchronous tests can use it alike."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        stop = asyncio.run_coroutine_threadsafe(_awaited(start), loop).result(POLL_TIMEOUT)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_stopped(stop), loop).result(POLL_TIMEOUT)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(POLL_TIMEOUT)
        loop.close()


async def _awaited(start: Callable[[], Awaitable[Coroutine[Any, Any, None]]]) -> Coroutine[Any, Any, None]:
    return await start()


async def _stopped(stop: Coroutine[Any, Any, None]) -> None:
    await stop
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


# Responses that keep to HTTP, whatever they hold.


def http(status: int, body: bytes, *headers: tuple[str, str]) -> bytes:
    """Return the bytes of a well-formed response."""
    fields = [("Content-Length", str(len(body))), *headers]
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def reply(status: int, body: object = b"", *headers: tuple[str, str]) -> Responder:
    """Respond with a status and a body: bytes as they are, text in UTF-8, anything else as JSON."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode()
        headers = (("Content-Type", "application/json"), *headers)
    response = http(status, body, *headers)

    async def respond(caller: Caller) -> None:
        await caller.send(response)

    return respond


def in_envelope(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a task as the dialect of developers writes it."""
    return {"code": 0, "msg": "success", "data": {"task_uuid" if key == "id" else key: payload[key] for key in payload}}


def about(payload: dict[str, Any]) -> Responder:
    """Respond with a task, in the dialect of the request."""

    async def respond(caller: Caller) -> None:
        await reply(200, in_envelope(payload) if caller.is_developer else payload)(caller)

    return respond


def task(**fields: object) -> Responder:
    """Respond with a running task called ``x`` that has these fields besides, in the dialect of the request."""
    return about({"id": "x", "status": "processing", **fields})


def page(status: int, html: str = "<html><body>Bad gateway</body></html>") -> Responder:
    """Respond with a web page, as proxies do."""
    return reply(status, html, ("Content-Type", "text/html; charset=utf-8"))


def compressed(body: bytes, encoding: str = "gzip") -> Responder:
    """Respond with a gzipped body, although the request accepts none."""
    return reply(200, gzip.compress(body), ("Content-Encoding", encoding))


def nested(depth: int, **fields: object) -> bytes:
    """Return the JSON of a task called ``x`` with arrays inside arrays, so many deep."""
    start = json.dumps({"id": "x", "status": "processing", **fields}).removesuffix("}")
    return f'{start}, "nest": {"[" * depth}{"]" * depth}}}'.encode()


# Responses that do not.


def raw(data: bytes) -> Responder:
    """Send these bytes, whatever they mean, and close."""

    async def respond(caller: Caller) -> None:
        await caller.send(data)
        await caller.hang_up()

    return respond


def truncated(body: object = PROCESSING) -> Responder:
    """Promise more bytes than come."""
    sent = json.dumps(body).encode()
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(sent) + 100) + sent)


async def reset(caller: Caller) -> None:
    """Reset the connection without a byte."""
    caller.reset()


async def close(caller: Caller) -> None:
    """Close the connection without a byte."""
    await caller.hang_up()


async def never_respond(caller: Caller) -> None:
    """Send nothing until the caller hangs up."""
    await caller.gone()


def trickle(start: bytes, slowly: bytes, taken: list[bytes]) -> Responder:
    """
    Send one byte after the other, each well within any time limit, and note those that were taken.

    All of it together lasts four seconds, so that a caller with half a second hangs up long before the end.
    """

    async def respond(caller: Caller) -> None:
        await caller.send(start)
        for number in range(len(slowly)):
            await asyncio.sleep(4 / len(slowly))
            await caller.send(slowly[number : number + 1])
        taken.append(slowly)

    return respond


def flood(head: bytes, megabytes: int, sent: list[int]) -> Responder:
    """Send more and more, noting how many megabytes the caller has taken."""

    async def respond(caller: Caller) -> None:
        await caller.send(head)
        for number in range(megabytes):
            await caller.send(b"x" * 1_048_576)
            sent.append(number)

    return respond
