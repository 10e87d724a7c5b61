"""The files a finished task names can be fetched and opened."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_seeany.simulator

from .conftest import Simulator

pytestmark = pytest.mark.asyncio

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


async def fetch(simulator: Simulator, url: object, content_type: str) -> bytes:
    assert isinstance(url, str)
    async with simulator.client.get(url, headers={"Authorization": ""}) as response:
        assert response.status == 200
        assert response.content_type == content_type
        return await response.read()


def boxes(mp4: bytes) -> Iterator[tuple[bytes, bytes]]:
    while mp4:
        size, name = struct.unpack(">I4s", mp4[:8])
        yield name, mp4[8:size]
        mp4 = mp4[size:]


async def test_the_video_is_a_whole_mp4_with_the_duration_and_resolution_of_its_task(simulator: Simulator) -> None:
    task = await simulator.task("video-0s")
    mp4 = await fetch(simulator, task["video_url"], "video/mp4")

    parts = dict(boxes(mp4))
    # With the index before the pictures a browser plays while it still loads.
    assert [name for name in parts if name in (b"ftyp", b"moov", b"mdat")] == [b"ftyp", b"moov", b"mdat"]
    movie = dict(boxes(parts[b"moov"]))
    timescale, length = struct.unpack(">II", movie[b"mvhd"][12:20])
    assert length / timescale == task["duration"]
    track = dict(boxes(movie[b"trak"]))
    _, height = struct.unpack(">II", track[b"tkhd"][-8:])
    assert f"{height >> 16}p" == task["resolution"]


async def test_the_thumbnail_is_a_whole_jpeg(simulator: Simulator) -> None:
    task = await simulator.task("video-0s")
    jpeg = await fetch(simulator, task["thumbnail_url"], "image/jpeg")

    assert jpeg.startswith(JPEG_START)
    assert jpeg.endswith(JPEG_END)


async def test_every_image_of_a_set_can_be_fetched_even_of_the_largest(simulator: Simulator) -> None:
    images = (await simulator.task("images-0s-99x"))["images"]
    assert isinstance(images, list)
    jpegs = [await fetch(simulator, image["url"], "image/jpeg") for image in images]

    assert len(jpegs) == 99
    assert len(set(jpegs)) == 4
    assert all(jpeg.startswith(JPEG_START) and jpeg.endswith(JPEG_END) for jpeg in jpegs)


async def test_part_of_a_video_can_be_fetched(simulator: Simulator) -> None:
    url = (await simulator.task("video-0s"))["video_url"]
    whole = await fetch(simulator, url, "video/mp4")
    async with simulator.client.get(str(url), headers={"Range": "bytes=1000-1999"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 1000-1999/{len(whole)}"
        assert await response.read() == whole[1000:2000]


@pytest.mark.parametrize("task_id", ["video-0s-鞋", "video-0s-1%2F2", "images-0s-1x-%23%3F"])
async def test_the_urls_of_a_task_with_an_unusual_label_work_too(simulator: Simulator, task_id: str) -> None:
    task = await simulator.task(task_id)
    images = task.get("images")
    if isinstance(images, list):
        await fetch(simulator, images[0]["url"], "image/jpeg")
    else:
        await fetch(simulator, task["video_url"], "video/mp4")


async def test_urls_name_the_host_as_the_client_named_it(simulator: Simulator) -> None:
    async with simulator.client.get(
        f"{simulator.url}/v1/tasks/video-0s", headers={"Host": "seeany.test:8765"}
    ) as response:
        task = await response.json()

    assert task["video_url"] == "http://seeany.test:8765/files/video-0s/output.mp4"


@pytest.mark.parametrize("name", ["make.sh", "..%2Fserver.py", "image-0.jpg", "image-5.png"])
async def test_nothing_else_is_served(simulator: Simulator, name: str) -> None:
    async with simulator.client.get(f"{simulator.url}/files/video/{name}") as response:
        assert response.status == 404


async def test_the_files_stay_small_enough_to_ship() -> None:
    files = Path(airflow_provider_seeany.simulator.__file__).with_name("files")

    assert sum(file.stat().st_size for file in files.iterdir()) < 150_000
