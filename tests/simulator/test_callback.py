"""The simulator calls back when a task has ended, and repeats a callback that was rejected."""

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


class Receiver:
    """Receives callbacks, and rejects the first `rejects` of them."""

    client: aiohttp.ClientSession
    simulator: str
    url: str

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.rejects = 0
        self.received = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        if len(self.bodies) <= self.rejects:
            return web.Response(status=503)
        self.received.set()
        return web.Response(status=202)

    def poll(self, task_id: str) -> Any:
        return self.client.get(f"{self.simulator}/v1/tasks/{task_id}")

    async def data(self, task_id: str) -> dict[str, Any]:
        url = f"{self.simulator}/api/developer/task/status"
        async with self.client.get(url, params={"task_uuid": task_id}) as response:
            data: dict[str, Any] = (await response.json())["data"]
            return data


@pytest_asyncio.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(callback, "DELAYS", (0, 0.01, 0.01))
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/callback", receiver.receive)
    headers = {"Authorization": "Bearer sk-demo"}
    async with (
        serve(app) as at,
        serve(create_app(callback_url=f"{at}/callback")) as simulator,
        aiohttp.ClientSession(headers=headers) as client,
    ):
        receiver.client, receiver.simulator, receiver.url = client, simulator, f"{at}/callback"
        yield receiver


@pytest.mark.parametrize(("task_id", "status"), [("video-0.1s", "completed"), ("fails-0.1s", "failed")])
async def test_it_calls_back_once_when_the_task_has_ended(receiver: Receiver, task_id: str, status: str) -> None:
    for _ in range(2):
        async with receiver.poll(task_id) as response:
            assert (await response.json())["status"] == "processing"

    await asyncio.wait_for(receiver.received.wait(), 10)
    async with receiver.poll(task_id) as response:
        assert receiver.bodies == [{"event": f"task.{status}", "data": await response.json()}]


async def test_it_repeats_a_rejected_callback(receiver: Receiver) -> None:
    receiver.rejects = 2
    async with receiver.poll("video-0s"):
        pass

    await asyncio.wait_for(receiver.received.wait(), 10)
    assert len(receiver.bodies) == 3


async def test_it_calls_back_in_the_dialect_in_which_a_task_was_first_requested(receiver: Receiver) -> None:
    await receiver.data("partial-0.1s")

    await asyncio.wait_for(receiver.received.wait(), 10)
    task = await receiver.data("partial-0.1s")
    assert task["status"] == "partial_failed"
    assert receiver.bodies == [{"code": 0, "msg": "success", "data": {"task": task}}]


async def test_it_calls_back_for_a_created_task_that_nobody_requested(receiver: Receiver) -> None:
    body = {"prompt": "fails-0.1s"}
    async with receiver.client.post(f"{receiver.simulator}/api/ai/smarttask", json=body) as response:
        task_id = (await response.json())["data"]["task_uuid"]

    await asyncio.wait_for(receiver.received.wait(), 10)
    assert receiver.bodies == [{"code": 0, "msg": "success", "data": {"task": await receiver.data(task_id)}}]


async def test_it_calls_the_url_that_a_task_was_created_with(receiver: Receiver) -> None:
    async with (
        serve(create_app()) as simulator,
        receiver.client.post(
            f"{simulator}/api/ai/smarttask",
            json={"prompt": "video-0s", "callback_url": receiver.url},
        ) as response,
    ):
        task_id = (await response.json())["data"]["task_uuid"]
        await asyncio.wait_for(receiver.received.wait(), 10)

    assert [body["data"]["task"]["task_uuid"] for body in receiver.bodies] == [task_id]
