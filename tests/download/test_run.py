"""The promises of a download as a whole, as its operator makes them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_seeany.download import progress, run, store
from airflow_provider_seeany.download.progress import DownloadProgress
from airflow_provider_seeany.download.settings import DownloadSettings
from airflow_provider_seeany.download.source import sources
from airflow_provider_seeany.exceptions import (
    SeeAnyConfigError,
    SeeAnyDownloadError,
    SeeAnyDownloadRefused,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from tests.conftest import KEY
from tests.download import conftest
from tests.download.cdn import Cdn
from tests.download.conftest import Copy, video
from tests.hostile import HostileServer, page, reply
from tests.recorded_log import RecordedLog
from tests.waits import TaskInstance

CONTENT = os.urandom(300_000)


def tree(folder: Path) -> list[str]:
    """Return all files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_files_of_a_result_are_stored_and_listed(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    url, thumbnail = cdn.add("/v.mp4", CONTENT), cdn.add("/t", b"abc", content_type="image/jpeg")

    listed = copy(video(f"{url}?X-Sig=secret#part", thumbnail_url=thumbnail))

    assert (tmp_path / "vid_1/video.mp4").read_bytes() == CONTENT
    assert (tmp_path / "vid_1/thumbnail.jpg").read_bytes() == b"abc"
    assert tree(tmp_path) == ["vid_1/seeany.json", "vid_1/thumbnail.jpg", "vid_1/video.mp4"]
    assert listed[0] == {
        "id": "vid_1",
        "file": "video",
        "source": url,
        "path": f"file://{tmp_path}/vid_1/video.mp4",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "content_type": "video/mp4",
    }
    assert [each["file"] for each in listed] == ["video", "thumbnail"]
    assert json.loads((tmp_path / "vid_1/seeany.json").read_text())[1] == listed[0]


def test_what_is_there_is_not_fetched_again_by_a_retry_or_another_run(cdn: Cdn, copy: Copy) -> None:
    result = [video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(3)]
    first = copy(result)
    cdn.requests.clear()

    assert copy(result) == first
    assert cdn.requests == []


@pytest.mark.parametrize("index", [None, b"{", b'[{"id": "\xff"}]'], ids=["missing", "broken", "no UTF-8"])
def test_a_file_without_an_index_is_read_for_its_checksum_and_not_fetched_again(
    cdn: Cdn, copy: Copy, tmp_path: Path, index: bytes | None
) -> None:
    result = video(cdn.add("/v.mp4", CONTENT))
    first = copy(result)
    (tmp_path / "vid_1/seeany.json").unlink()
    if index is not None:
        (tmp_path / "vid_1/seeany.json").write_bytes(index)
    cdn.requests.clear()

    assert copy(result) == first
    assert cdn.requests == []
    assert tree(tmp_path) == ["vid_1/seeany.json", "vid_1/video.mp4"]


def image_set(*urls: str) -> dict[str, Any]:
    """Return the result of a task that made images."""
    return {"id": "set_1", "status": "completed", "images": [{"url": url} for url in urls]}


def stored(folder: Path) -> dict[str, bytes]:
    """Return the images in a folder, and check that its index describes them."""
    found = {path.name: path.read_bytes() for path in (folder / "set_1").glob("image-*")}
    listed = {Path(each["path"]).name: each for each in json.loads((folder / "set_1/seeany.json").read_text())}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} == {
        name: each["sha256"] for name, each in listed.items()
    }
    return found


def test_an_image_is_not_taken_for_another_whose_number_it_has_in_a_later_run(
    cdn: Cdn, copy: Copy, tmp_path: Path
) -> None:
    # Of the same size, as those of a set may be.
    png, jpg, last = cdn.add("/a.png", b"a"), cdn.add("/b.jpg", b"b"), cdn.add("/c.png", b"c")
    copy(image_set(f"{png}?X-Sig=1", f"{jpg}?X-Sig=1", f"{last}?X-Sig=1"))
    cdn.requests.clear()

    listed = copy(image_set(f"{jpg}?X-Sig=2", f"{png}?X-Sig=2", f"{last}?X-Sig=2"))

    assert stored(tmp_path) == {"image-001.jpg": b"b", "image-002.png": b"a", "image-003.png": b"c"}
    assert [each["source"] for each in listed] == [jpg, png, last]
    assert cdn.paths() == {"/a.png": 1, "/b.jpg": 1}, "the last one has its place still"


def test_a_replaced_image_that_may_not_be_deleted_fails_nothing(
    cdn: Cdn, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, *names: str) -> None:
        raise store.StoreError("the storage failed: AccessDenied")

    monkeypatch.setattr(store.Store, "delete", refuse)
    copy(image_set(cdn.add("/a.png", b"a")))
    latest = image_set(cdn.add("/b.jpg", b"b"))
    copy(latest)
    cdn.requests.clear()

    (listed,) = copy(latest)

    assert listed["path"] == f"file://{tmp_path}/set_1/image-001.jpg"
    assert cdn.requests == []


def test_an_image_that_no_index_describes_is_fetched_again(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    result = image_set(cdn.add("/a.png", b"a"))
    copy(result)
    (tmp_path / "set_1/seeany.json").unlink()
    (tmp_path / "set_1/image-001.png").write_bytes(b"b")

    copy(result)

    assert stored(tmp_path) == {"image-001.png": b"a"}


def test_of_two_files_that_a_killed_download_left_the_one_in_the_index_counts(
    cdn: Cdn, copy: Copy, tmp_path: Path
) -> None:
    result = image_set(cdn.add("/a.png", b"a"))
    copy(result)
    for extension in (".avif", ".webp"):
        (tmp_path / f"set_1/image-001{extension}").write_bytes(b"b")
    cdn.requests.clear()

    (listed,) = copy(result)

    assert listed["path"] == f"file://{tmp_path}/set_1/image-001.png"
    assert cdn.requests == []


@pytest.mark.parametrize("how", ["another size", "gone", "overwrite"])
def test_a_file_that_is_damaged_gone_or_to_be_overwritten_is_fetched_again(
    cdn: Cdn, copy: Copy, tmp_path: Path, how: str
) -> None:
    result = video(cdn.add("/v.mp4", CONTENT))
    first = copy(result)
    file = tmp_path / "vid_1/video.mp4"
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"half")

    assert copy(result, overwrite=how == "overwrite") == first
    assert file.read_bytes() == CONTENT


def test_one_run_leaves_alone_what_another_kind_of_file_needs(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    result = video(cdn.add("/v.mp4", CONTENT), thumbnail_url=cdn.add("/t.jpg", b"abc"))
    copy(result, files="video")
    copy(result, files="thumbnail")

    assert len(json.loads((tmp_path / "vid_1/seeany.json").read_text())) == 2


def test_of_many_files_those_that_fail_are_listed_and_all_others_are_stored(
    cdn: Cdn, copy: Copy, tmp_path: Path
) -> None:
    result = [video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(5)]
    cdn.respond("/1.mp4", page(200))
    cdn.add("/3.mp4", CONTENT * 10)

    with pytest.raises(SeeAnyDownloadError) as caught:
        copy(result, max_file_size=len(CONTENT))

    assert sorted(each.id for each in caught.value.failures) == ["vid_1", "vid_3"]
    assert "2 downloads failed; 3 files were stored" in str(caught.value)
    assert "vid_1: video: the response is no file, but text/html" in str(caught.value)
    assert not isinstance(caught.value, AirflowFailException), "a retry may succeed"
    assert [file for file in tree(tmp_path) if file.endswith(".mp4")] == [f"vid_{n}/video.mp4" for n in (0, 2, 4)]
    assert not [file for file in tree(tmp_path) if file.endswith(".part")]

    cdn.scripts.clear()
    cdn.requests.clear()
    assert len(copy(result)) == 5
    assert cdn.paths() == {"/1.mp4": 1, "/3.mp4": 1}, "the retry fetches only what is missing"


@pytest.mark.parametrize(
    ("parameters", "result", "text"),
    [
        ({"max_file_size": 10}, {}, "larger than max_file_size"),
        ({"allow_private_addresses": False}, {}, "private address"),
        ({"files": "images"}, {}, "no images"),
        ({}, {"video_url": "ftp://cdn.example/a.mp4"}, "no video, thumbnail, images"),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(
    cdn: Cdn, copy: Copy, parameters: dict[str, Any], result: dict[str, Any], text: str
) -> None:
    with pytest.raises(SeeAnyDownloadRefused, match=text):
        copy({**video(cdn.add("/v.mp4", CONTENT)), **result}, **parameters)


class Api:
    """A hostile server as the API, which says where the files are today."""

    def __init__(self, server: HostileServer) -> None:
        self.server = server

    def tasks(self, *results: dict[str, Any]) -> None:
        for result in results:
            self.server.script(reply(200, result), task_id=result["id"])

    @property
    def asked(self) -> list[str]:
        return [request.target.rpartition("/")[2] for request in self.server.requests]


@pytest.fixture
def api(hostile: HostileServer, connect: Callable[..., None]) -> Api:
    """The API, through the default connection."""
    connect(host=hostile.url)
    return Api(hostile)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_url_is_replaced_by_one_request_to_the_api(
    cdn: Cdn, copy: Copy, api: Api, tmp_path: Path, status: int
) -> None:
    names = [f"{n}.png" for n in range(5)]
    for name in names:
        cdn.respond(f"/old/{name}", reply(status, ""))
        cdn.add(f"/new/{name}", name.encode())
    old = {"id": "set_1", "status": "completed", "images": [{"url": f"{cdn.url}/old/{name}"} for name in names]}
    api.tasks({**old, "images": [{"url": f"{cdn.url}/new/{name}"} for name in names]})

    listed = copy(old)

    assert api.asked == ["set_1"], "once for all files of a task"
    assert [each["source"] for each in listed] == [f"{cdn.url}/new/{name}" for name in names]
    assert (tmp_path / "set_1/image-005.png").read_bytes() == b"4.png"
    for request in cdn.requests:
        assert KEY not in str(request)


def test_each_file_gets_its_own_new_url_although_their_order_has_changed(
    cdn: Cdn, copy: Copy, api: Api, tmp_path: Path
) -> None:
    cdn.expected_query = "X-Sig=new"
    urls = [cdn.add(f"/{n}.png", f"{n}".encode()) for n in range(3)]
    old = {"id": "set_1", "status": "completed", "images": [{"url": f"{url}?X-Sig=old"} for url in urls]}
    api.tasks({**old, "images": [{"url": f"{url}?X-Sig=new"} for url in reversed(urls)]})

    copy(old)

    assert [(tmp_path / f"set_1/image-00{n + 1}.png").read_text() for n in range(3)] == ["0", "1", "2"]


def test_files_whose_urls_differ_in_their_query_alone_are_told_apart_by_their_place(
    cdn: Cdn, copy: Copy, api: Api
) -> None:
    expired, file = reply(403, ""), reply(200, b"x")
    url = cdn.respond("/get", expired, file, expired, file)
    old, new = ([{"url": f"{url}?n={n}&{sig}"} for n in range(2)] for sig in ("old", "new"))
    result = {"id": "set_1", "status": "completed"}
    api.tasks({**result, "images": new})

    copy({**result, "images": old}, max_active_files=1)

    assert [request.target for request in cdn.requests][1::2] == ["/get?n=0&new", "/get?n=1&new"]


def test_a_url_that_stays_expired_fails_with_both_reasons_and_is_asked_for_once(cdn: Cdn, copy: Copy, api: Api) -> None:
    result = video(cdn.respond("/v.mp4", reply(403, "")) + "?X-Sig=secret")
    api.tasks(result)

    with pytest.raises(SeeAnyDownloadError, match="HTTP 403") as caught:
        copy(result)

    assert api.asked == ["vid_1"]
    assert cdn.paths() == {"/v.mp4": 2}
    assert not isinstance(caught.value, AirflowFailException), "a CDN may be late"
    assert "secret" not in str(caught.value)


def test_without_the_api_an_expired_url_fails_with_both_reasons(cdn: Cdn, copy: Copy, api: Api) -> None:
    api.server.script(reply(404, {"error": {"message": "任务不存在"}}))

    with pytest.raises(SeeAnyDownloadRefused, match=r"HTTP 404\. SeeAny was asked for a new URL: .*任务不存在"):
        copy(video(f"{cdn.url}/gone.mp4"))


def test_ids_and_batches_without_responses_are_requested(cdn: Cdn, copy: Copy, api: Api) -> None:
    api.tasks(*(video(cdn.add(f"/{name}.mp4", CONTENT), name) for name in "abc"))
    table = {"total": 2, "completed": 2, "failed": 0, "detail": "table", "tasks": [{"id": "a"}, {"id": "b"}]}

    assert [each["id"] for each in copy(table)] == ["a", "b"]
    assert [each["id"] for each in copy(seeany_task_ids=["b", "c"])] == ["b", "c"]
    assert cdn.paths() == {"/a.mp4": 1, "/b.mp4": 1, "/c.mp4": 1}


def test_a_task_that_failed_or_is_not_done_is_listed_with_its_reason(cdn: Cdn, copy: Copy, api: Api) -> None:
    failed = {"id": "a", "status": "failed", "error": {"code": "policy", "message": "违规"}}
    api.tasks(failed, {"id": "b", "status": "processing"}, video(cdn.add("/c.mp4", CONTENT), "c"))

    with pytest.raises(SeeAnyDownloadError) as caught:
        copy(seeany_task_ids=["a", "b", "c"])

    assert {each.id: each.reason for each in caught.value.failures} == {
        "a": "SeeAny task a failed: 违规 (policy)",
        "b": "it is not done yet, its status is processing",
    }
    assert not isinstance(caught.value, AirflowFailException), "one of them may be done at a retry"


def test_a_refused_key_is_not_sent_for_every_id(copy: Copy, api: Api) -> None:
    api.server.script(reply(401, {"error": {"message": "no"}}))

    with pytest.raises(SeeAnyDownloadRefused, match="50 downloads failed"):
        copy(seeany_task_ids=[f"vid_{n}" for n in range(50)], max_active_files=1)

    assert len(api.server.requests) == 1


def test_a_storage_that_fails_ends_the_download_before_all_is_fetched_in_vain(
    cdn: Cdn, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, data: bytes) -> None:
        raise store.StoreError("the storage failed: OSError: No space left on device")

    monkeypatch.setattr(store._LocalWriter, "write", full)
    result = [video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(30)]

    with pytest.raises(SeeAnyDownloadError, match="No space left") as caught:
        copy(result, max_active_files=2)

    assert len(caught.value.failures) == 30
    assert len(cdn.requests) <= run.MAX_STORE_FAILURES + 2


def test_a_folder_that_cannot_be_made_is_named(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SeeAnyDownloadError, match=r"the storage failed: .*file"):
        copy(video(cdn.add("/v.mp4", CONTENT)), path=f"file://{tmp_path}/file")


@pytest.mark.parametrize("path", ["", None, "nosuch://bucket/x", "https://bucket.example/x"])
def test_a_path_without_a_file_system_is_refused(copy: Copy, path: str) -> None:
    with pytest.raises(SeeAnyConfigError, match="path"):
        copy(video("https://cdn.example/a.mp4"), path=path)


def test_more_files_than_an_xcom_takes_are_listed_in_a_file_beside_them(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    images = [{"url": cdn.add(f"/{n}.png", b"x")} for n in range(300)]

    listed = copy({"id": "set_1", "status": "completed", "images": images})

    assert listed == {"manifest": f"file://{tmp_path}/manifest-dag,keep,run%2F1.json", "files": 300, "bytes": 300}
    manifest = json.loads((tmp_path / "manifest-dag,keep,run%2F1.json").read_text())
    assert [each["file"] for each in manifest] == [f"image-{n:03}" for n in range(1, 301)]


def test_a_list_of_files_has_a_name_that_a_file_system_takes_however_long_that_of_the_run_is(
    cdn: Cdn, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [{"url": cdn.add(f"/{n}.png", b"x")} for n in range(300)]
    listed = set()
    for end in "ab":
        monkeypatch.setattr(conftest._TaskInstance, "run_id", "夜" * 240 + end)
        listed.add(copy({"id": "set_1", "status": "completed", "images": images})["manifest"])

    assert len(listed) == 2, "each run has its own"


def test_nothing_to_download_is_a_success(copy: Copy) -> None:
    assert copy([]) == []


def test_no_more_files_than_allowed_are_fetched_at_once(cdn: Cdn, copy: Copy) -> None:
    result = [video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(20)]

    copy(result, max_active_files=3)

    assert cdn.connections <= 3


@pytest.mark.parametrize("how", ["ended by a user", "execution_timeout"])
def test_a_task_that_is_ended_in_the_middle_leaves_no_half_file(cdn: Cdn, tmp_path: Path, how: str) -> None:
    operator = SeeAnyDownloadOperator(
        task_id="keep", result=video(f"{cdn.url}/v.mp4"), path=f"file://{tmp_path}", allow_private_addresses=True
    )

    def time_out(*args: object) -> None:
        raise AirflowException("was ended by the time limit")

    async def send_half_and_end(caller: Any) -> None:
        await caller.send(b'HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\nETag: "1"\r\n\r\n' + b"x" * 3_000_000)
        if how == "execution_timeout":
            os.kill(os.getpid(), signal.SIGALRM)
        else:
            operator.on_kill()
        await caller.gone()

    before = signal.signal(signal.SIGALRM, time_out)
    try:
        cdn.respond("/v.mp4", send_half_and_end)
        with pytest.raises(AirflowException, match="was ended"):
            operator.execute({"ti": None})  # type: ignore[typeddict-item]
    finally:
        signal.signal(signal.SIGALRM, before)

    assert tree(tmp_path) == []


def test_a_task_that_is_ended_in_the_middle_keeps_the_images_that_it_has(cdn: Cdn, copy: Copy, tmp_path: Path) -> None:
    wanted = image_set(cdn.add("/a.png", b"a"), f"{cdn.url}/b.png")
    operator = SeeAnyDownloadOperator(
        task_id="keep", result=wanted, path=f"file://{tmp_path}", max_active_files=1, allow_private_addresses=True
    )

    async def end(caller: Any) -> None:
        operator.on_kill()
        await caller.gone()

    cdn.respond("/b.png", end)
    with pytest.raises(AirflowException, match="was ended"):
        operator.execute({"ti": None})  # type: ignore[typeddict-item]
    cdn.respond("/b.png", reply(200, b"b"))

    copy(wanted)

    assert stored(tmp_path) == {"image-001.png": b"a", "image-002.png": b"b"}
    assert cdn.paths() == {"/a.png": 1, "/b.png": 2}


def test_the_log_tells_how_far_a_download_is_and_how_it_ended(
    cdn: Cdn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    log = RecordedLog()
    files = store.make_store(f"file://{tmp_path}", conn_id=None, max_file_size=1 << 30)
    settings = DownloadSettings(
        files=("video",),
        max_active_files=1,
        max_file_size=1 << 30,
        min_bytes_per_second=1,
        overwrite=False,
        allow_private_addresses=True,
    )
    wanted = sources(result=[video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(2)], seeany_task_ids=None)

    run.Download(files, settings, hook=SeeAnyHook(), progress=DownloadProgress(log, None)).run(wanted)
    cdn.respond("/0.mp4", reply(400, ""))
    (tmp_path / "vid_0/video.mp4").unlink()
    with pytest.raises(SeeAnyDownloadRefused):
        run.Download(files, settings, hook=SeeAnyHook(), progress=DownloadProgress(log, None)).run(wanted)

    text = "\n".join(log.infos + log.warnings)
    assert "0 files stored, 1 being fetched (293.0 KiB in " in text
    assert "1 file stored (293.0 KiB in " in text
    assert "Done: 2 files stored (585.9 KiB in " in text
    assert "Not stored, of SeeAny task vid_0: video: HTTP 400" in text
    assert "1 there already, 1 failed. In all: 1 file" in text


def test_the_outlets_are_told_the_copies_with_their_checksums(cdn: Cdn, tmp_path: Path) -> None:
    videos, alias = Asset("s3://studio/videos"), AssetAlias("copies")
    ctx: Any = {"ti": TaskInstance(), "outlet_events": OutletEventAccessors()}
    with DAG("dag", schedule=None):
        keep = SeeAnyDownloadOperator(
            task_id="keep",
            result=video(cdn.add("/v.mp4", CONTENT)),
            path=f"file://{tmp_path}/",
            allow_private_addresses=True,
            outlets=[videos, alias],
        )

    (copied,) = keep.execute(ctx)

    copy = {name: copied[name] for name in ("id", "file", "path", "size", "sha256")}
    told = {"path": f"file://{tmp_path}", "files": 1, "bytes": len(CONTENT), "copies": [copy]}
    assert ctx["outlet_events"][videos].extra == told
    (event,) = ctx["outlet_events"][alias].asset_alias_events
    assert (event.dest_asset_key.uri, event.extra) == (f"file://{tmp_path}", told)
