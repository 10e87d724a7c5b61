"""The simulator rings when a task has ended, and again if nobody took it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from airflow_provider_seeany.simulator import callback
from airflow_provider_seeany.simulator.server import create_app, serve


class Door:
    """Where it rings: takes bodies, and refuses the first ones if told so."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.refuses = 0
        self.received = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        if len(self.bodies) <= self.refuses:
            return web.Response(status=503)
        self.received.set()
        return web.Response(status=202)


@pytest_asyncio.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(callback, "PAUSES", (0, 0.01, 0.01))
    door = Door()
    app = web.Application()
    app.router.add_post("/ring", door.answer)
    headers = {"Authorization": "Bearer sk-demo"}
    async with (
        serve(app) as at,
        serve(create_app(callback_url=f"{at}/ring")) as simulator,
        aiohttp.ClientSession(headers=headers) as client,
    ):
        door.ask = lambda task_id: client.get(f"{simulator}/v1/tasks/{task_id}")  # type: ignore[attr-defined]
        yield door


@pytest.mark.parametrize(("task_id", "status"), [("video-0.1s", "completed"), ("fails-0.1s", "failed")])
async def test_it_rings_once_when_the_task_has_ended(door: Any, task_id: str, status: str) -> None:
    for _ in range(2):
        async with door.ask(task_id) as response:
            assert (await response.json())["status"] == "processing"

    await asyncio.wait_for(door.received.wait(), 10)
    async with door.ask(task_id) as response:
        assert door.bodies == [{"event": f"task.{status}", "data": await response.json()}]


async def test_it_rings_again_if_nobody_took_it(door: Any) -> None:
    door.refuses = 2
    async with door.ask("video-0s"):
        pass

    await asyncio.wait_for(door.received.wait(), 10)
    assert len(door.bodies) == 3
