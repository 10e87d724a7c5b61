"""The promise that an object is there completely or not at all, on each kind of storage."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_seeany.download.store import MIN_PART, Store, StoreError, make_store
from airflow_provider_seeany.exceptions import SeeAnyDownloadError
from tests.download.cdn import Cdn
from tests.download.conftest import Bucket, Copy, video

LARGE = os.urandom(2 * MIN_PART + 1)


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.system)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store on a local disk, on a file system that renames, and on S3."""
    match request.param:
        case "file":
            return make_store(f"file://{tmp_path}", conn_id=None, max_file_size=1 << 30)
        case "memory":
            attach("memory", fs=fsspec.filesystem("memory"))
            path = ObjectStoragePath(f"memory://{tmp_path.name}")
            return Store(path, max_file_size=1 << 30)
        case _:
            return request.getfixturevalue("bucket").store()


def names(store: Store) -> list[str]:
    return sorted(file.name for file in store.files("a b%2F"))


@pytest.mark.parametrize("content", [b"", b"abc", LARGE], ids=["empty", "small", "large"])
def test_a_file_appears_when_it_is_committed_and_not_before(store: Store, content: bytes) -> None:
    writer = store.writer("a b%2F", "video.mp4")
    for start in range(0, len(content), 1 << 20):
        writer.write(content[start : start + (1 << 20)])
    assert "video.mp4" not in names(store)

    writer.commit()

    assert [(file.name, file.size) for file in store.files("a b%2F")] == [("video.mp4", len(content))]
    assert store.read("a b%2F", "video.mp4") == content


@pytest.mark.parametrize("content", [b"abc", LARGE], ids=["small", "large"])
def test_what_is_discarded_leaves_nothing_and_what_was_there_stays(store: Store, content: bytes) -> None:
    store.write(b"old", "a b%2F", "video.mp4")
    writer = store.writer("a b%2F", "video.mp4")
    writer.write(content)

    writer.discard()

    assert names(store) == ["video.mp4"]
    assert store.read("a b%2F", "video.mp4") == b"old"


def test_a_file_replaces_an_earlier_one(store: Store) -> None:
    for content in (b"old", LARGE, b"new"):
        store.write(content, "a b%2F", "video.mp4")

    assert store.read("a b%2F", "video.mp4") == b"new"
    assert names(store) == ["video.mp4"]


def test_what_a_killed_process_left_is_swept_from_its_folder_only(store: Store) -> None:
    here, elsewhere = store.writer("a b%2F", "video.mp4"), store.writer("a b%2F2", "video.mp4")
    here.write(LARGE)
    elsewhere.write(LARGE)
    store.write(b"kept", "a b%2F", "other.mp4")

    store.sweep("a b%2F")

    assert names(store) == ["other.mp4"]
    elsewhere.commit()
    assert store.read("a b%2F2", "video.mp4") == LARGE
    with pytest.raises(StoreError):
        here.commit()


def test_a_missing_folder_and_a_missing_file_are_empty(store: Store) -> None:
    assert store.files("nothing") == []
    assert store.read("nothing", "seeany.json") is None


def test_a_checksum_is_read_in_parts(store: Store) -> None:
    store.write(LARGE, "a b%2F", "video.mp4")

    assert store.sha256("a b%2F", "video.mp4") == hashlib.sha256(LARGE).hexdigest()


def test_an_error_of_a_storage_says_what_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="NotADirectoryError"):
        make_store(f"file://{tmp_path}/file", conn_id=None, max_file_size=1).write(b"x", "a", "b")


KILLED = """
import sys
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
url, path, conn_id = sys.argv[1:]
result = {"id": "vid_1", "object": "video_generation", "status": "completed", "video_url": url}
operator = SeeAnyDownloadOperator(
    task_id="keep", result=result, path=path, conn_id=conn_id or None, allow_private_addresses=True
)
operator.execute({})
"""


@pytest.mark.parametrize("where", ["file", pytest.param("s3", marks=pytest.mark.system)])
def test_a_killed_process_leaves_no_half_object_and_the_next_one_completes_it(
    cdn: Cdn, copy: Copy, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    path, conn_id, bucket = f"file://{tmp_path}", "", None
    if where == "s3":
        bucket = request.getfixturevalue("bucket")
        path, conn_id = bucket.url, bucket.conn_id
    store = make_store(path, conn_id=conn_id or None, max_file_size=1 << 30)
    url = cdn.add("/v.mp4", LARGE)
    process: list[subprocess.Popen[bytes]] = []

    async def send_most_and_kill(caller: Any) -> None:
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(LARGE)}\r\nETag: "one"\r\n\r\n'
        await caller.send(head.encode() + LARGE[: MIN_PART + 3_000_000])
        while not has_begun(tmp_path, bucket):
            await asyncio.sleep(0.02)
        process[0].send_signal(signal.SIGKILL)
        await caller.gone()

    cdn.respond("/v.mp4", send_most_and_kill)
    process.append(subprocess.Popen([sys.executable, "-c", KILLED, url, path, conn_id]))
    assert process[0].wait(60) == -signal.SIGKILL

    assert [file for file in store.files("vid_1") if not file.name.endswith(".part")] == []

    cdn.scripts.clear()
    copy(video(url), path=path, conn_id=conn_id or None)

    assert store.read("vid_1", "video.mp4") == LARGE
    assert sorted(file.name for file in store.files("vid_1")) == ["seeany.json", "video.mp4"]
    assert bucket is None or bucket.unfinished() == []


def has_begun(folder: Path, bucket: Bucket | None) -> bool:
    """Tell whether a part has arrived in the storage."""
    if bucket is not None:
        return bool(bucket.unfinished())
    return any(path.stat().st_size > MIN_PART for path in folder.rglob("*.part"))


@pytest.mark.system
def test_on_s3_a_small_file_takes_one_request_and_a_large_one_an_upload_in_parts(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = bucket.store(), []
    # One for what is asynchronous itself, the other one for files.
    call, call_blocking = store._fs._call_s3, store._fs.call_s3

    async def counted(method: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        return await call(method, *args, **kwargs)

    def counted_blocking(method: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        return call_blocking(method, *args, **kwargs)

    monkeypatch.setattr(store._fs, "_call_s3", counted)
    monkeypatch.setattr(store._fs, "call_s3", counted_blocking)
    store.write(b"abc", "x", "small")
    store.write(LARGE, "x", "large")

    assert calls == ["put_object", "create_multipart_upload", "upload_part", "complete_multipart_upload"]


@pytest.mark.system
def test_on_s3_a_download_is_stored_checked_and_not_repeated(cdn: Cdn, copy: Copy, bucket: Bucket) -> None:
    result = [video(cdn.add("/v.mp4", LARGE, breaks=[3_000_000]), "vid/1"), video(cdn.add("/w.mp4", b"abc"), "vid 2")]

    listed = copy(result, path=f"{bucket.url}/x/", conn_id=bucket.conn_id)

    assert [each["path"] for each in listed] == [
        f"{bucket.url}/x/vid%2F1/video.mp4",
        f"{bucket.url}/x/vid%202/video.mp4",
    ]
    assert bucket.content("x/vid%2F1/video.mp4") == LARGE
    cdn.requests.clear()
    assert copy(result, path=f"{bucket.url}/x", conn_id=bucket.conn_id) == listed
    assert cdn.requests == []


@pytest.mark.system
def test_a_bucket_that_does_not_exist_is_named(cdn: Cdn, copy: Copy, bucket: Bucket) -> None:
    with pytest.raises(SeeAnyDownloadError, match=r"the storage failed: FileNotFoundError: .*bucket"):
        copy(video(cdn.add("/v.mp4", b"abc")), path="s3://nosuchbucket/x", conn_id=bucket.conn_id)


MEASURED = """
import sys, threading
from benchmarks.process import resident_mib
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
url, path, conn_id, *names = sys.argv[1:]

def copy(names):
    task = {"object": "video_generation", "status": "completed"}
    results = [{**task, "id": name, "video_url": f"{url}/{name}"} for name in names]
    ti = type("TaskInstance", (), {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1})
    SeeAnyDownloadOperator(
        task_id="keep", result=results, path=path, conn_id=conn_id or None, allow_private_addresses=True
    ).execute({"ti": ti})

copy(["small"])
idle, peak, ended = resident_mib(), [0], threading.Event()
def watch():
    while not ended.wait(0.01):
        peak[0] = max(peak[0], resident_mib())
watcher = threading.Thread(target=watch)
watcher.start()
copy(names)
ended.set()
watcher.join()
print(peak[0] - idle)
"""


@pytest.mark.system
@pytest.mark.parametrize("where", ["file", "s3"])
def test_four_large_files_at_once_take_no_more_than_64_mib(
    cdn: Cdn, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    path, conn_id = f"file://{tmp_path}", ""
    if where == "s3":
        bucket = request.getfixturevalue("bucket")
        path, conn_id = bucket.url, bucket.conn_id
    content = os.urandom(60 << 20)
    names = [f"large{number}" for number in range(4)]
    cdn.add("/small", b"small")
    for name in names:
        cdn.add(f"/{name}", content)

    assert measured(cdn, path, conn_id, names) <= 64


@pytest.mark.large
def test_thousands_of_files_are_one_task_that_takes_no_more_memory(cdn: Cdn, tmp_path: Path) -> None:
    cdn.add("/small", b"small")
    names = [f"v{number}" for number in range(3000)]
    for name in names:
        cdn.add(f"/{name}", b"x" * 1000)

    assert measured(cdn, f"file://{tmp_path}", "", names) <= 64

    (manifest,) = tmp_path.glob("manifest-*.json")
    assert [each["id"] for each in json.loads(manifest.read_text())] == names
    assert all((tmp_path / name / "video.mp4").stat().st_size == 1000 for name in names)


def measured(cdn: Cdn, path: str, conn_id: str, names: list[str]) -> float:
    """Copy files in a process of its own; return how many MiB of memory that took."""
    command = [sys.executable, "-c", MEASURED, cdn.url, path, conn_id, *names]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])
