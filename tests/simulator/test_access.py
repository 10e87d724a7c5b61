"""Who is let in, how others are refused, and what the simulator remembers of both."""

from __future__ import annotations

import logging
import re

import aiohttp
import pytest

from airflow_provider_seeany.simulator.server import REQUESTS, TaskRequest

from .conftest import Simulator

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer demo", "Basic sk-demo", "sk-demo", "Bearer sk-bad-1"]
)
async def test_a_request_without_a_valid_key_is_unauthorized(simulator: Simulator, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{simulator.url}/v1/tasks/video") as response,
    ):
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("key", ["sk-demo", "sk-sa-demo"])
async def test_any_other_key_that_starts_with_sk_is_accepted(simulator: Simulator, key: str) -> None:
    async with simulator.client.get(
        f"{simulator.url}/v1/tasks/video", headers={"Authorization": f"Bearer {key}"}
    ) as response:
        assert response.status == 200


async def test_a_request_without_a_user_agent_is_forbidden(simulator: Simulator) -> None:
    async with simulator.client.get(f"{simulator.url}/v1/tasks/video", skip_auto_headers=["User-Agent"]) as response:
        assert response.status == 403
        assert (await response.json())["error"]["code"] == "user_agent_required"


DEVELOPER_PATHS = [
    "GET /api/developer/task/status?task_uuid=video",
    "GET /api/developer/balance",
    "POST /api/ai/smarttask",
]


@pytest.mark.parametrize("request_line", DEVELOPER_PATHS)
@pytest.mark.parametrize(
    ("headers", "skipped", "refusal"),
    [
        ({}, ["User-Agent"], (403, 403, "缺少 User-Agent")),
        ({"Authorization": "Bearer sk-bad"}, [], (401, 401, "API Key 无效")),
        ({"Authorization": "demo"}, [], (401, 401, "API Key 无效")),
        ({"Authorization": "Bearer sk-bad-envelope"}, [], (200, 1001, "API Key 无效")),
    ],
)
async def test_the_developer_dialect_refuses_in_an_envelope(
    simulator: Simulator,
    request_line: str,
    headers: dict[str, str],
    skipped: list[str],
    refusal: tuple[int, int, str],
) -> None:
    method, path = request_line.split()
    status, code, message = refusal
    async with simulator.client.request(
        method, simulator.url + path, headers=headers, skip_auto_headers=skipped, json={"prompt": "x"}
    ) as response:
        assert response.status == status
        assert await response.json() == {"code": code, "msg": message, "data": None}


async def test_a_rejected_request_does_not_start_the_task(simulator: Simulator) -> None:
    async with simulator.client.get(f"{simulator.url}/v1/tasks/video-20s", headers={"Authorization": "Bearer sk-bad"}):
        simulator.clock.now += 20

    assert (await simulator.task("video-20s"))["status"] == "processing"


@pytest.mark.parametrize("path", ["/v1/tasks/video", "/v1/tasks/x", "/nowhere", "/files/video/thumb.jpg"])
async def test_every_response_has_its_own_request_id(simulator: Simulator, path: str) -> None:
    ids = set()
    for _ in range(2):
        async with simulator.client.get(simulator.url + path) as response:
            ids.add(response.headers["X-Request-Id"])

    assert len(ids) == 2


async def test_an_unknown_path_returns_json(simulator: Simulator) -> None:
    async with simulator.client.get(f"{simulator.url}/v1/nowhere") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "not_found"
    async with simulator.client.get(f"{simulator.url}/api/nowhere") as response:
        assert response.status == 404
        assert await response.json() == {"code": 404, "msg": "Not Found", "data": None}
    async with simulator.client.post(f"{simulator.url}/v1/tasks/video") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_a_test_can_read_time_and_status_of_each_request(
    simulator: Simulator,
) -> None:
    start = simulator.clock.now
    await simulator.task_after(10, "video-20s")
    async with simulator.client.get(f"{simulator.url}/v1/tasks/never", headers={"Authorization": "Bearer sk-bad"}):
        pass

    assert simulator.app[REQUESTS] == [
        TaskRequest("video-20s", start, 200),
        TaskRequest("video-20s", start + 10, 200),
        TaskRequest("never", start + 10, 401),
    ]


async def test_another_process_can_count_the_requests_for_each_task(simulator: Simulator) -> None:
    await simulator.task_after(10, "video-20s")
    await simulator.task("never")
    await simulator.data("never")

    async with (
        aiohttp.ClientSession() as anyone,
        anyone.get(f"{simulator.url}/simulator/requests") as response,
    ):
        assert await response.json() == {"video-20s": 2, "never": 2}


async def test_the_log_has_method_path_and_status_and_no_key(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with simulator.client.get(
        f"{simulator.url}/v1/tasks/video%0A-20s?key=sk-secret", headers={"Authorization": "Bearer sk-secret"}
    ):
        pass
    # The line is written after the response is sent; a second response on the same connection comes after it.
    await simulator.task("video")

    assert "GET /v1/tasks/video%0A-20s 404" in caplog.messages
    assert not re.search("sk-", caplog.text)
