"""A task is created by a request, and its prompt says what becomes of it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from airflow_provider_seeany.simulator.server import TASKS, create_app, serve

from .conftest import Simulator

pytestmark = pytest.mark.asyncio

BODY = {"aiTypeId": 113, "aiType": "smartImg", "inputImgs": [], "imgNum": 2, "imgRatio": "1:1", "size": "2K"}


@pytest.mark.parametrize("path", ["smarttask", "batchsmarttask", "grouptask"])
async def test_a_created_task_runs_from_its_creation(simulator: Simulator, path: str) -> None:
    created = await simulator.create(path, prompt="一只红色的鞋 images-10s", **BODY)
    assert set(created["data"]) == {"task_uuid", "wait_time"}
    task_id = created["data"]["task_uuid"]
    assert task_id.startswith("wtask_")

    simulator.clock.now += 9.9
    assert (await simulator.data(task_id))["status"] == "running"
    simulator.clock.now += 0.1
    data = await simulator.data(task_id)
    assert data["status"] == "succeeded"
    assert len(data["assets"][0]["images"]) == 2


async def test_the_other_dialect_does_not_know_a_created_task(simulator: Simulator) -> None:
    task_id = (await simulator.create(prompt="images-0s"))["data"]["task_uuid"]

    async with simulator.client.get(f"{simulator.url}/v1/tasks/{task_id}") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "task_not_found")
    assert (await simulator.data(task_id))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("prompt", "status", "images"),
    [
        ("fails-10s", "failed", None),
        ("一只猫,fails-10s。", "failed", None),
        ("a shoe, partial_10s_6x, please", "partial_failed", 3),
        ("images-10s-6x-red", "succeeded", 6),
        ("video-10s", "succeeded", None),
        # Words that are no scenarios.
        ("images of a thing that never fails", "succeeded", 2),
        ("myfails-10s", "succeeded", 2),
    ],
)
async def test_the_prompt_says_what_becomes_of_it(
    simulator: Simulator, prompt: str, status: str, images: int | None
) -> None:
    task_id = (await simulator.create(prompt=prompt, **BODY))["data"]["task_uuid"]
    simulator.clock.now += 20

    data = await simulator.data(task_id)
    assert data["status"] == status
    assert sum(len(work.get("images", ())) for work in data["assets"]) == (images or 0)


@pytest.mark.parametrize("seconds", [10, 60, 600])
async def test_the_wait_time_is_near_the_truth_and_the_same_for_a_prompt(simulator: Simulator, seconds: int) -> None:
    prompts = [f"shoe {number}, images-{seconds}s" for number in range(10)]
    first, again = [
        [(await simulator.create(prompt=prompt))["data"]["wait_time"] for prompt in prompts] for _ in range(2)
    ]

    assert first == again
    assert all(0.7 * seconds <= each <= 1.3 * seconds for each in first)
    assert any(each < seconds for each in first)
    assert any(each > seconds for each in first)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON"),
        (b"[1]", "JSON"),
        (b"\xff", "JSON"),
        (b"{}", "prompt"),
        (b'{"prompt": " "}', "prompt"),
        (b'{"prompt": 1}', "prompt"),
        (b'{"prompt": "x", "imgNum": 0}', "imgNum"),
        (b'{"prompt": "x", "imgNum": "2"}', "imgNum"),
        (b'{"prompt": "x", "callback_url": "airflow.example"}', "callback_url"),
    ],
)
async def test_a_bad_body_creates_nothing(simulator: Simulator, body: bytes, text: str) -> None:
    async with simulator.client.post(f"{simulator.url}/api/ai/smarttask", data=body) as response:
        assert response.status == 200
        envelope = await response.json()

    assert (envelope["code"], envelope["data"]) == (1003, None)
    assert envelope["msg"].startswith("参数错误")
    assert text in envelope["msg"]
    assert simulator.app[TASKS].created == []


async def test_creating_needs_a_key(simulator: Simulator) -> None:
    async with (
        aiohttp.ClientSession() as anyone,
        anyone.post(f"{simulator.url}/api/ai/smarttask", json={"prompt": "x"}) as response,
    ):
        assert response.status == 401
    assert simulator.app[TASKS].created == []


async def test_another_process_can_read_what_was_created(simulator: Simulator) -> None:
    ids = [(await simulator.create(prompt="same"))["data"]["task_uuid"] for _ in range(2)]
    assert len(set(ids)) == 2

    async with (
        aiohttp.ClientSession() as anyone,
        anyone.get(f"{simulator.url}/simulator/created") as response,
    ):
        assert await response.json() == [
            {"task_uuid": task_id, "at": simulator.clock.now, "path": "/api/ai/smarttask", "prompt": "same"}
            for task_id in ids
        ]


@web.middleware
async def fails_before(request: web.Request, handler: Any) -> web.StreamResponse:
    return web.Response(status=502)


@web.middleware
async def fails_after(request: web.Request, handler: Any) -> web.StreamResponse:
    await handler(request)
    return web.Response(status=502)


@pytest.mark.parametrize(("fault", "created"), [(fails_before, 0), (fails_after, 1)])
async def test_a_fault_may_come_before_or_after_the_creation(fault: Any, created: int) -> None:
    app = create_app(faults=[fault])
    async with (
        serve(app) as url,
        aiohttp.ClientSession(headers={"Authorization": "Bearer sk-demo"}) as client,
        client.post(f"{url}/api/ai/smarttask", json={"prompt": "x"}) as response,
    ):
        assert response.status == 502
    assert len(app[TASKS].created) == created
