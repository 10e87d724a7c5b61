"""A simulator on a real socket, whose clock stands still until a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from airflow_provider_seeany.simulator.server import create_app, serve


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 1_748_908_900.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Simulator:
    """A running simulator and a client with a key."""

    url: str
    client: aiohttp.ClientSession
    app: web.Application
    clock: Clock = field(default_factory=Clock)

    async def task(self, task_id: str) -> dict[str, object]:
        """Poll a task that must be known."""
        async with self.client.get(f"{self.url}/v1/tasks/{task_id}") as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "application/json"
            body = await response.json()
            assert isinstance(body, dict)
            return body

    async def data(self, task_id: str) -> dict[str, Any]:
        """Poll a task that must be known, in the developer dialect, and return the envelope's data."""
        body = await self.envelope(task_id)
        assert set(body) == {"code", "msg", "data"}
        assert body["code"] == 0
        assert isinstance(body["data"], dict)
        return body["data"]

    async def data_after(self, seconds: float, task_id: str) -> dict[str, Any]:
        """Poll a task once to start it, and again that many seconds later, in the developer dialect."""
        await self.data(task_id)
        self.clock.now += seconds
        return await self.data(task_id)

    async def envelope(self, task_id: str) -> dict[str, Any]:
        """Poll a task in the developer dialect and return the envelope."""
        url = f"{self.url}/api/developer/task/status"
        async with self.client.get(url, params={"task_uuid": task_id}) as response:
            assert response.status == 200, await response.text()
            body: dict[str, Any] = await response.json()
            return body

    async def create(self, path: str = "smarttask", **body: object) -> dict[str, Any]:
        """Create a task and return the envelope."""
        async with self.client.post(f"{self.url}/api/ai/{path}", json=body) as response:
            assert response.status == 200
            envelope: dict[str, Any] = await response.json()
            return envelope

    async def task_after(self, seconds: float, task_id: str) -> dict[str, object]:
        """Poll a task once to start it, and again that many seconds later."""
        await self.task(task_id)
        self.clock.now += seconds
        return await self.task(task_id)


@pytest_asyncio.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Serve a new simulator to each test."""
    clock = Clock()
    app = create_app(clock)
    headers = {"Authorization": "Bearer sk-demo"}
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as client:
        yield Simulator(url, client, app, clock)
