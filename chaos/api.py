"""The simulator as an API that is not always well: what it answers depends on the weather, and that on the time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from aiohttp import web
from aiohttp.typedefs import Handler

from airflow_provider_seeany.simulator.server import STARTED, create_app
from local_airflow.settings import HOST, free_port

SLOWEST = 20.0
"""Seconds that every answer takes when the API is slow."""

MIN_INVALID_RESPONSES = 3
"""Most answers in a row about one task that are none of SeeAny's; a wait takes five for the API's last word."""


class Weather(Enum):
    """What the API does for a while."""

    CALM = "answers"
    GARBAGE = "answers 500, 429 or garbage at random"
    DOWN = "is down"
    SLOW = f"takes {SLOWEST:.0f} s to answer"


@dataclass(frozen=True)
class Spell:
    """Weather that lasts, in seconds after the start."""

    weather: Weather
    begins: float
    ends: float


class FaultyApi:
    """
    A simulated SeeAny that runs in a thread of this process.

    :param spells: the weather to come; the API is calm between them.
    :param seeany_task_ids: the tasks there are. All of them start when the weather does.
    :param seed: what the garbage is drawn with.
    """

    def __init__(self, spells: Sequence[Spell], *, seeany_task_ids: Iterable[str], seed: int) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.requests: Counter[str] = Counter()
        """How many came for each task."""
        self.faults: Counter[str] = Counter()
        """How many of them met which fault."""
        self.began: float | None = None
        """When the weather began, in Unix seconds."""
        self._spells = tuple(spells)
        self._ids = tuple(seeany_task_ids)
        self._chance = random.Random(seed)
        self._unusable: Counter[str] = Counter()
        self._app = create_app(faults=[self._middleware])
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1)
        self._site: web.TCPSite | None = None

    def begin(self) -> None:
        """Start the tasks and let the weather come."""
        self.began = time.time()
        self._app[STARTED].update(dict.fromkeys(self._ids, self.began))
        asyncio.run_coroutine_threadsafe(self._close_and_open(), self._loop)

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultyApi]:
        """Serve for as long as a `with` statement lasts."""
        thread = threading.Thread(target=self._loop.run_forever, name="faulty-api")
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def weather(self) -> Weather:
        """Tell how it is now."""
        now = time.time() - self.began if self.began is not None else 0.0
        return next((spell.weather for spell in self._spells if spell.begins <= now < spell.ends), Weather.CALM)

    async def _close_and_open(self) -> None:
        """Listen to nobody while the API is down, so that connections are refused."""
        assert self.began is not None
        for spell in self._spells:
            if spell.weather is Weather.DOWN:
                await asyncio.sleep(self.began + spell.begins - time.time())
                if self._site is not None:
                    await self._site.stop()
                await asyncio.sleep(self.began + spell.ends - time.time())
                await self._listen()

    async def _listen(self) -> None:
        if self._site is None:
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, HOST, self.port)
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
        match self.weather():
            case Weather.CALM:
                return await handler(request)
            case Weather.SLOW:
                self.faults["an answer that came late"] += 1
                await asyncio.sleep(SLOWEST)
                return await handler(request)
            case Weather.DOWN:
                # Who kept a connection from before; the others are refused.
                self.faults["connection reset"] += 1
                return await _reset(request)
            case Weather.GARBAGE:
                return await self._garbage(task_id, request, handler)

    async def _garbage(self, task_id: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._chance.random() < _TRUE_ANSWERS:
            self._unusable[task_id] = 0
            return await handler(request)
        fault = self._chance.choice(_FAULTS)
        while fault.is_unusable and self._unusable[task_id] >= MIN_INVALID_RESPONSES:
            fault = self._chance.choice(_FAULTS)
        self._unusable[task_id] = self._unusable[task_id] + 1 if fault.is_unusable else 0
        self.faults[fault.name] += 1
        return await fault.answer(request)


# A share of the truth has to come through, or the minute of garbage would be one more minute without an API.
_TRUE_ANSWERS = 0.15


@dataclass(frozen=True)
class _Fault:
    name: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    is_unusable: bool = False


def _says(
    status: int, text: str, content_type: str = "application/json", **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=named)

    return answer


async def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4000"})
    await response.prepare(request)
    await response.write(b'{"id": "' + b"v" * 1000)
    return await _reset(request)


_PAGE = "<!DOCTYPE html><html><body><h1>We are doing some maintenance</h1></body></html>"
_FAULTS = (
    _Fault("500", _says(500, '{"error": {"code": "internal", "message": "something broke"}}')),
    _Fault("502 with a page", _says(502, _PAGE, "text/html")),
    _Fault("503, Retry-After", _says(503, "", Retry_After="3")),
    _Fault("429, Retry-After", _says(429, '{"error": {"code": "rate_limited"}}', Retry_After="5")),
    _Fault("429", _says(429, "slow down", "text/plain")),
    _Fault("connection reset", _reset),
    _Fault("body cut off", _cut_off),
    _Fault("200 with a page", _says(200, _PAGE, "text/html"), is_unusable=True),
    _Fault("200 with broken JSON", _says(200, '{"id": "video", "status": '), is_unusable=True),
    _Fault("200, another task's", _says(200, '{"id": "another", "status": "completed"}'), is_unusable=True),
    _Fault("200 with nothing", _says(200, ""), is_unusable=True),
)
