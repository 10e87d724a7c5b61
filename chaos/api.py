"""The simulator as a faulty API: its mode changes with time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from aiohttp import web
from aiohttp.typedefs import Handler

from airflow_provider_seeany.simulator.server import TASKS, create_app
from local_airflow.settings import HOST, free_port

SLOW_SECONDS = 20.0
"""Seconds per response while the API is slow."""

MAX_INVALID_RESPONSES = 3
"""Maximum invalid responses in a row for one task; a wait fails after five."""


class Mode(Enum):
    """How the API behaves for a while."""

    HEALTHY = "is healthy"
    GARBAGE = "returns 500, 429 or garbage at random"
    DOWN = "is down"
    SLOW = f"takes {SLOW_SECONDS:.0f} s per response"


@dataclass(frozen=True)
class Phase:
    """A mode and its time, in seconds after the start."""

    mode: Mode
    begins: float
    ends: float


class FaultyApi:
    """
    A simulated SeeAny in a thread of this process.

    :param phases: when it is faulty; between them it is healthy.
    :param seeany_task_ids: the tasks. All of them start together with the phases.
    :param seed: the seed of the random faults.
    """

    def __init__(self, phases: Sequence[Phase], *, seeany_task_ids: Iterable[str], seed: int) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.requests: Counter[str] = Counter()
        """By task."""
        self.faults: Counter[str] = Counter()
        """Injected faults, by name."""
        self.began: float | None = None
        """The start of tasks and phases, in Unix seconds."""
        self._phases = tuple(phases)
        self._ids = tuple(seeany_task_ids)
        self._chance = random.Random(seed)
        self._invalid: Counter[str] = Counter()
        self._app = create_app(faults=[self._middleware])
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1)
        self._site: web.TCPSite | None = None

    def begin(self) -> None:
        """Start the tasks and the phases."""
        self.began = time.time()
        self._app[TASKS].started.update(dict.fromkeys(self._ids, self.began))
        asyncio.run_coroutine_threadsafe(self._toggle(), self._loop)

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultyApi]:
        """Serve while the context lasts."""
        thread = threading.Thread(target=self._loop.run_forever, name="faulty-api")
        thread.start()
        try:
            with self._reserved_port():
                asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
                yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def mode(self) -> Mode:
        """Return the current mode."""
        now = time.time() - self.began if self.began is not None else 0.0
        return next((phase.mode for phase in self._phases if phase.begins <= now < phase.ends), Mode.HEALTHY)

    @contextlib.contextmanager
    def _reserved_port(self) -> Iterator[None]:
        """Keep other programs from the port while the API is down; nobody listens there then."""
        with socket.socket() as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((HOST, self.port))
            yield

    async def _toggle(self) -> None:
        """Close the port while the API is down, so that connections are refused."""
        assert self.began is not None
        for phase in self._phases:
            if phase.mode is Mode.DOWN:
                await asyncio.sleep(self.began + phase.begins - time.time())
                if self._site is not None:
                    await self._site.stop()
                await asyncio.sleep(self.began + phase.ends - time.time())
                await self._listen()

    async def _listen(self) -> None:
        if self._site is None:
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, HOST, self.port, reuse_port=True)
        await self._site.start()

    async def _stop(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task_id = request.match_info.get("task_id", "")
        if not request.path.startswith("/v1/"):
            return await handler(request)
        self.requests[task_id] += 1
        match self.mode():
            case Mode.HEALTHY:
                return await handler(request)
            case Mode.SLOW:
                self.faults["slow response"] += 1
                await asyncio.sleep(SLOW_SECONDS)
                return await handler(request)
            case Mode.DOWN:
                # For clients with an open connection; new ones are refused.
                self.faults["connection reset"] += 1
                return await _reset(request)
            case Mode.GARBAGE:
                return await self._garbage(task_id, request, handler)

    async def _garbage(self, task_id: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._chance.random() < _VALID_SHARE:
            self._invalid[task_id] = 0
            return await handler(request)
        fault = self._chance.choice(_FAULTS)
        while fault.is_invalid and self._invalid[task_id] >= MAX_INVALID_RESPONSES:
            fault = self._chance.choice(_FAULTS)
        self._invalid[task_id] = self._invalid[task_id] + 1 if fault.is_invalid else 0
        self.faults[fault.name] += 1
        return await fault.respond(request)


# Some valid responses have to get through, or the minute of garbage would equal a minute without an API.
_VALID_SHARE = 0.15


@dataclass(frozen=True)
class _Fault:
    name: str
    respond: Callable[[web.Request], Awaitable[web.StreamResponse]]
    is_invalid: bool = False


def _responding(
    status: int, text: str, content_type: str = "application/json", **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def respond(request: web.Request) -> web.StreamResponse:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=fields)

    return respond


async def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4000"})
    await response.prepare(request)
    await response.write(b'{"id": "' + b"v" * 1000)
    return await _reset(request)


_PAGE = "<!DOCTYPE html><html><body><h1>We are doing some maintenance</h1></body></html>"
_FAULTS = (
    _Fault("500", _responding(500, '{"error": {"code": "internal", "message": "something broke"}}')),
    _Fault("502 with a page", _responding(502, _PAGE, "text/html")),
    _Fault("503, Retry-After", _responding(503, "", Retry_After="3")),
    _Fault("429, Retry-After", _responding(429, '{"error": {"code": "rate_limited"}}', Retry_After="5")),
    _Fault("429", _responding(429, "slow down", "text/plain")),
    _Fault("connection reset", _reset),
    _Fault("truncated body", _truncated),
    _Fault("200 with a page", _responding(200, _PAGE, "text/html"), is_invalid=True),
    _Fault("200 with broken JSON", _responding(200, '{"id": "video", "status": '), is_invalid=True),
    _Fault("200 for another task", _responding(200, '{"id": "another", "status": "completed"}'), is_invalid=True),
    _Fault("200 with an empty body", _responding(200, ""), is_invalid=True),
)
