"""What the UI's tab is told of a download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS
from airflow.sdk.execution_time import task_runner

from airflow_provider_seeany.download import fetch, progress
from airflow_provider_seeany.exceptions import SeeAnyDownloadError
from tests.download.cdn import Cdn
from tests.download.conftest import Copy, video
from tests.hostile import HostileServer, reply
from tests.supervisor import Supervisor

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="Airflow has no such tab")

CONTENT = b"x" * 300_000


def keeping(send: Callable[[Any], Any], seen: list[dict[str, Any]], *, whole: bool = False) -> Callable[[Any], Any]:
    """Return the method of a supervisor that also keeps each progress of a download, or only its counts."""

    def keep(message: Any) -> Any:
        if message.type == "SetXCom":
            seen.append(message.value if whole else message.value["copies"])
        return send(message)

    return keep


def test_the_tab_is_told_how_far_a_download_is_and_at_its_end_where_the_copies_are(
    cdn: Cdn, copy: Copy, tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor, "send", keeping(supervisor.send, seen))
    wanted = [video(cdn.add(f"/{n}.mp4", CONTENT), f"vid_{n}") for n in range(3)]
    copy(wanted[:1])
    seen.clear()

    copy(wanted, max_active_files=1)

    assert seen[0] == {"files": 0, "total": 3}
    assert {"files": 1, "total": 3, "size": len(CONTENT)} in seen, "what is there already counts"
    assert seen[-1] == {
        "files": 3,
        "size": 3 * len(CONTENT),
        "folder": f"file://{tmp_path}",
        "paths": [f"file://{tmp_path}/vid_{n}/video.mp4" for n in range(3)],
    }
    assert supervisor.xcoms["_seeany"]["conn_id"] == "seeany_default"
    assert set(supervisor.xcoms) == {"_seeany"}, "no record, which would be a result and be summed up"


def test_of_a_single_large_file_the_tab_is_told_how_much_has_come(
    cdn: Cdn, copy: Copy, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor, "send", keeping(supervisor.send, seen, whole=True))
    # The first connection breaks off in the middle.
    url = cdn.add("/v.mp4", b"x" * 4 * fetch.CHUNK, breaks=[2 * fetch.CHUNK])

    copy(video(url))

    files, sizes, percents = zip(
        *((each["copies"]["files"], each["copies"].get("size", 0), each.get("percent")) for each in seen), strict=True
    )
    assert files[:2] == (0, 0)
    assert fetch.CHUNK <= sizes[1] < 2 * fetch.CHUNK
    assert percents[:2] == (0, round(sizes[1] / fetch.CHUNK * 25, 1))
    assert sizes == tuple(sorted(sizes))
    assert (files[-1], sizes[-1], percents[-1]) == (1, 4 * fetch.CHUNK, None)


def test_the_tab_is_told_at_most_every_10_s_between_begin_and_end(cdn: Cdn, copy: Copy, supervisor: Supervisor) -> None:
    copy([video(cdn.add(f"/{n}.mp4", b"x"), f"vid_{n}") for n in range(20)])

    assert supervisor.writes == ["_seeany", "_seeany"]


def test_of_ids_the_tab_is_told_the_number_of_files_when_all_are_known(
    cdn: Cdn,
    copy: Copy,
    hostile: HostileServer,
    connect: Callable[..., None],
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor, "send", keeping(supervisor.send, seen))
    connect(host=hostile.url)
    for name in "ab":
        hostile.script(reply(200, video(cdn.add(f"/{name}.mp4", b"x"), name)), task_id=name)

    copy(seeany_task_ids=["a", "b"], max_active_files=1)

    assert [(each["files"], each.get("total")) for each in seen[:2]] == [(0, None), (0, None)]
    assert all(each.get("total") in (None, 2) for each in seen)


def test_of_a_failed_download_the_tab_is_told_what_is_stored_and_why_the_rest_is_not(
    cdn: Cdn, copy: Copy, tmp_path: Path, supervisor: Supervisor
) -> None:
    with pytest.raises(SeeAnyDownloadError):
        copy([video(cdn.add("/v.mp4", CONTENT), "a"), video(f"{cdn.url}/no.mp4", "b")])

    told = supervisor.xcoms["_seeany"]["copies"]
    assert (told["files"], told["failed"], told["paths"]) == (1, 1, [f"file://{tmp_path}/a/video.mp4"])
    (failure,) = told["failures"]
    assert failure["id"] == "b"
    assert failure["reason"].startswith("video: ")
    assert "404" in failure["reason"]


def test_of_very_many_failures_the_tab_is_told_the_first_ones(cdn: Cdn, copy: Copy, supervisor: Supervisor) -> None:
    with pytest.raises(SeeAnyDownloadError):
        copy([video(f"{cdn.url}/{n}.mp4", f"vid_{n}") for n in range(30)])

    told = supervisor.xcoms["_seeany"]["copies"]
    assert (told["failed"], len(told["failures"])) == (30, 20)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"path": "  "}, "path must be a folder such as s3://bucket/videos/"),
        ({"path": "gopher://bucket/videos"}, "gopher://bucket/videos' cannot be used"),
        ({"result": "{oops"}, "neither JSON nor a Python literal"),
    ],
    ids=["path", "storage", "result"],
)
def test_of_a_download_that_never_began_the_tab_is_told_why(
    cdn: Cdn, copy: Copy, supervisor: Supervisor, wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AirflowException) as raised:
        copy(**{"result": video(cdn.add("/v.mp4", CONTENT)), **wrong})

    told = supervisor.xcoms["_seeany"]["copies"]
    assert reason in told["reason"]
    assert told["reason"] in str(raised.value)


@pytest.mark.parametrize("off", ["do_xcom_push", "publish_progress"])
def test_the_tab_is_told_nothing_where_that_is_off(
    cdn: Cdn, copy: Copy, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__PUBLISH_PROGRESS", str(off != "publish_progress"))

    copy(video(cdn.add("/v.mp4", CONTENT)), do_xcom_push=off != "do_xcom_push")

    assert supervisor.writes == []


def test_a_progress_that_cannot_be_pushed_does_not_cost_the_copies(
    cdn: Cdn, copy: Copy, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(message: Any) -> None:
        raise OSError("the api-server is away")

    monkeypatch.setattr(supervisor, "send", refuse)
    assert len(copy(video(cdn.add("/v.mp4", CONTENT)))) == 1


def test_where_all_runs_in_one_process_no_message_is_sent_from_another_thread(
    cdn: Cdn, copy: Copy, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=supervisor.send))

    copy(video(cdn.add("/v.mp4", CONTENT)))

    assert supervisor.writes == []
