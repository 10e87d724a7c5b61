"""A task behaves as its id says."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from .conftest import Simulator

pytestmark = pytest.mark.asyncio


def number(body: dict[str, object], name: str) -> int:
    value = body[name]
    assert type(value) is int
    return value


async def test_a_running_video_has_exactly_the_documented_fields(simulator: Simulator) -> None:
    body = await simulator.task_after(10, "video-20s")

    assert set(body) == {"id", "object", "status", "progress", "estimated_remaining"}
    assert body["id"] == "video-20s"
    assert body["object"] == "video_generation"
    assert body["status"] == "processing"
    assert 25 <= number(body, "progress") <= 75
    assert 5 <= number(body, "estimated_remaining") <= 15


async def test_a_completed_video_has_exactly_the_documented_fields(simulator: Simulator) -> None:
    body = await simulator.task_after(20, "video-20s")

    assert body == {
        "id": "video-20s",
        "object": "video_generation",
        "status": "completed",
        "completed_at": 1_748_908_920,
        "video_url": f"{simulator.url}/files/video-20s/output.mp4",
        "thumbnail_url": f"{simulator.url}/files/video-20s/thumb.jpg",
        "duration": 5,
        "resolution": "720p",
        "usage": {"cost": 0.70, "cost_unit": "CNY"},
    }


async def test_a_failed_task_has_exactly_the_documented_fields(simulator: Simulator) -> None:
    assert (await simulator.task_after(9, "fails-10s"))["status"] == "processing"
    simulator.clock.now += 1

    assert await simulator.task("fails-10s") == {
        "id": "fails-10s",
        "object": "video_generation",
        "status": "failed",
        "error": {"code": "content_policy_violation", "message": "生成内容违反内容安全策略"},
    }


async def test_an_image_set_has_the_number_of_images_in_its_id_and_a_price_for_each(
    simulator: Simulator,
) -> None:
    body = await simulator.task_after(15, "images-15s-6x-bag")

    assert body["object"] == "image_set"
    files = f"{simulator.url}/files/images-15s-6x-bag"
    assert body["images"] == [{"url": f"{files}/image-{n}.jpg"} for n in range(1, 7)]
    assert body["usage"] == {"cost": 1.20, "cost_unit": "CNY"}
    assert "video_url" not in body


async def test_an_image_set_has_four_images_unless_its_id_says_otherwise(simulator: Simulator) -> None:
    images = (await simulator.task_after(20, "images"))["images"]

    assert isinstance(images, list)
    assert len(images) == 4


@pytest.mark.parametrize("task_id", ["video-60s", "video-60s-shoes", "images-60s", "fails-60s", "queued-120s"])
async def test_progress_only_rises_and_the_estimate_only_falls(simulator: Simulator, task_id: str) -> None:
    await simulator.task(task_id)
    if task_id.startswith("queued"):
        simulator.clock.now += 60
    first = await simulator.task(task_id)
    bodies = [first]
    for _ in range(119):
        simulator.clock.now += 0.5
        bodies.append(await simulator.task(task_id))

    progress = [number(body, "progress") for body in bodies]
    estimates = [number(body, "estimated_remaining") for body in bodies]
    assert progress == sorted(progress)
    assert estimates == sorted(estimates, reverse=True)
    assert (progress[0], estimates[0]) == (0, 60)
    assert 90 <= progress[-1] <= 99
    assert 1 <= estimates[-1] <= 5


async def test_two_tasks_of_the_same_length_do_not_advance_in_step(simulator: Simulator) -> None:
    one = await simulator.task_after(30, "video-100s-shoes")
    other = await simulator.task_after(30, "video-100s-hat")

    assert one["progress"] != other["progress"]


async def test_a_task_that_never_ends_is_slower_and_slower_and_its_estimate_stalls(
    simulator: Simulator,
) -> None:
    started = await simulator.task("never")
    a_minute_later = await simulator.task_after(60, "never")
    a_week_later = await simulator.task_after(7 * 24 * 3600, "never")

    assert a_week_later["status"] == "processing"
    assert number(started, "progress") < number(a_minute_later, "progress") <= number(a_week_later, "progress") <= 99
    assert number(started, "estimated_remaining") > number(a_minute_later, "estimated_remaining") > 1
    assert a_minute_later["estimated_remaining"] == a_week_later["estimated_remaining"]


async def test_a_queued_task_waits_for_half_of_its_seconds(simulator: Simulator) -> None:
    waiting = await simulator.task_after(4.9, "queued-10s")
    working = await simulator.task_after(0.1, "queued-10s")
    finished = await simulator.task_after(5, "queued-10s")

    assert waiting == {"id": "queued-10s", "object": "video_generation", "status": "queued"}
    assert (working["status"], working["progress"], working["estimated_remaining"]) == ("processing", 0, 5)
    assert finished["status"] == "completed"


async def test_a_silent_task_completes_without_ever_giving_an_estimate(simulator: Simulator) -> None:
    working = await simulator.task_after(5, "silent-10s")
    finished = await simulator.task_after(5, "silent-10s")

    assert set(working) == {"id", "object", "status", "progress"}
    assert finished["status"] == "completed"


async def test_a_task_takes_20_seconds_unless_its_id_says_otherwise(simulator: Simulator) -> None:
    assert (await simulator.task_after(19.9, "video"))["status"] == "processing"
    assert (await simulator.task_after(0.1, "video"))["status"] == "completed"


@pytest.mark.parametrize("task_id", ["video-0.5s", "video_0.5s_shoes", "video-0.5s-30s", "video-0.5s-鞋 1/2"])
async def test_an_id_may_use_fractions_underscores_and_any_label(simulator: Simulator, task_id: str) -> None:
    body = await simulator.task(quote(task_id, safe=""))
    assert (body["id"], body["status"]) == (task_id, "processing")
    simulator.clock.now += 0.5

    assert (await simulator.task(quote(task_id, safe="")))["status"] == "completed"


async def test_a_task_of_no_seconds_is_complete_at_once(simulator: Simulator) -> None:
    assert (await simulator.task("video-0s"))["status"] == "completed"


async def test_a_task_of_no_seconds_that_never_ends_still_responds(simulator: Simulator) -> None:
    assert (await simulator.task("never-0s"))["status"] == "processing"


async def test_a_task_starts_with_its_first_request(simulator: Simulator) -> None:
    await simulator.task_after(20, "video-20s-one")

    assert (await simulator.task("video-20s-one"))["status"] == "completed"
    assert (await simulator.task("video-20s-two"))["progress"] == 0


@pytest.mark.parametrize("task_id", ["vid_20260603_001", "videos-20s", "20s-video", "Video", "video-9999999s"])
async def test_an_id_without_a_scenario_is_not_found(simulator: Simulator, task_id: str) -> None:
    async with simulator.client.get(f"{simulator.url}/v1/tasks/{task_id}") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "task_not_found"
