"""The developer dialect: a task behaves as its id says, in an envelope."""

from __future__ import annotations

import pytest

from .conftest import Simulator

pytestmark = pytest.mark.asyncio


async def test_a_running_task_has_the_fields_that_clients_read_and_no_estimate(simulator: Simulator) -> None:
    data = await simulator.data_after(10, "video-20s")

    assert set(data) == {"task_uuid", "status", "progress", "assets", "error_message"}
    assert (data["task_uuid"], data["status"], data["assets"]) == ("video-20s", "running", [])
    assert 25 <= data["progress"] <= 75


async def test_an_image_set_lists_its_images_with_their_sizes_and_no_cost(simulator: Simulator) -> None:
    data = await simulator.data_after(15, "images-15s-2x")

    files = f"{simulator.url}/files/images-15s-2x"
    assert data == {
        "task_uuid": "images-15s-2x",
        "status": "succeeded",
        "progress": 100,
        "assets": [
            {
                "work_uuid": "work_images-15s-2x",
                "images": [{"url": f"{files}/image-{n}.jpg", "width": 640, "height": 640} for n in (1, 2)],
            }
        ],
        "error_message": None,
    }


async def test_a_video_is_among_the_assets_with_its_cover(simulator: Simulator) -> None:
    (work,) = (await simulator.data("video-0s"))["assets"]

    files = f"{simulator.url}/files/video-0s"
    assert work["videos"] == [{"url": f"{files}/output.mp4", "cover": f"{files}/thumb.jpg", "duration": 5}]


@pytest.mark.parametrize(("count", "good"), [(6, 3), (5, 2), (1, 0)])
async def test_a_partial_failure_has_half_of_its_images_in_both_dialects(
    simulator: Simulator, count: int, good: int
) -> None:
    task_id = f"partial-10s-{count}x"
    data = await simulator.data_after(10, task_id)
    body = await simulator.task(task_id)

    urls = [f"{simulator.url}/files/{task_id}/image-{n}.jpg" for n in range(1, good + 1)]
    assert data["status"] == body["status"] == "partial_failed"
    assert [image["url"] for work in data["assets"] for image in work["images"]] == urls
    assert body["images"] == [{"url": url} for url in urls]
    assert body["usage"] == {"cost": good * 20 / 100, "cost_unit": "CNY"}
    assert body["error"] == {"code": "partial_failed", "message": data["error_message"]}


@pytest.mark.parametrize(
    ("task_id", "after", "status"),
    [
        ("queued-10s", 4.9, "queued"),
        ("queued-10s", 5, "running"),
        ("queued-10s", 10, "succeeded"),
        ("fails-10s", 9, "running"),
        ("fails-10s", 10, "failed"),
        ("never", 86_400, "running"),
    ],
)
async def test_the_status_words_are_those_of_the_dialect(
    simulator: Simulator, task_id: str, after: float, status: str
) -> None:
    data = await simulator.data_after(after, task_id)

    assert data["status"] == status
    assert data["error_message"] == ("生成内容违反内容安全策略" if status == "failed" else None)


async def test_a_silent_task_has_no_progress(simulator: Simulator) -> None:
    assert "progress" not in await simulator.data_after(5, "silent-10s")


async def test_a_task_is_the_same_one_in_both_dialects(simulator: Simulator) -> None:
    await simulator.task("video-20s")
    simulator.clock.now += 10

    assert (await simulator.data("video-20s"))["progress"] == (await simulator.task("video-20s"))["progress"] > 0


@pytest.mark.parametrize("task_id", ["wtask_1", "", "video-9999999s"])
async def test_an_unknown_task_is_an_error_in_the_envelope(simulator: Simulator, task_id: str) -> None:
    assert await simulator.envelope(task_id) == {"code": 1002, "msg": "任务不存在", "data": None}


async def test_a_busy_system_serves_a_task_after_three_requests_in_both_dialects(simulator: Simulator) -> None:
    answers = [await simulator.envelope("busy-20s") for _ in range(4)]

    assert [answer["code"] for answer in answers] == [1004, 1004, 1004, 0]
    assert answers[0]["msg"] == "系统繁忙,请稍后再试"
    async with simulator.client.get(f"{simulator.url}/v1/tasks/busy-20s-other") as response:
        assert (response.status, (await response.json())["error"]["message"]) == (503, "系统繁忙,请稍后再试")


async def test_the_balance_is_in_an_envelope(simulator: Simulator) -> None:
    async with simulator.client.get(f"{simulator.url}/api/developer/balance") as response:
        assert (await response.json())["data"] == {"balance": 88.6, "currency": "CNY"}
