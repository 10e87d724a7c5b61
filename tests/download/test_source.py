"""The promises about what is downloaded: which tasks, which of their files, and under which names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.download.source import ResultFile, Source, files_of, path_segment, sources
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyTaskIdError
from tests.download.conftest import video

URL = "https://cdn.example/a.mp4"
BATCH = {"total": 3, "completed": 2, "failed": 1, "cost": {}, "failures": [{"id": "c", "reason": "refused"}]}


def ids(result: object = None, seeany_task_ids: object = None) -> list[tuple[str, bool]]:
    """Return the ids that are found, and whether their responses came along."""
    return [
        (each.seeany_task_id, each.task is not None) for each in sources(result=result, seeany_task_ids=seeany_task_ids)
    ]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        pytest.param(video(URL, "a"), [("a", True)], id="of one task"),
        pytest.param(json.dumps(video(URL, "a")), [("a", True)], id="rendered to JSON"),
        pytest.param(str(video(URL, "a")), [("a", True)], id="rendered to a literal"),
        pytest.param([video(URL, "a"), video(URL, "b")], [("a", True), ("b", True)], id="of mapped waits"),
        pytest.param([video(URL, "a"), None], [("a", True)], id="of mapped waits, one skipped"),
        pytest.param(["a", video(URL, "a")], [("a", True)], id="an id and its response"),
        pytest.param(["a", 7], [("a", False), ("7", False)], id="a list of ids"),
        pytest.param([], [], id="of no task"),
        pytest.param({"id": "a", "status": "processing"}, [("a", False)], id="of a task that was running"),
        pytest.param({**BATCH, "detail": "full", "tasks": [video(URL, "a")]}, [("a", True)], id="of a batch"),
        pytest.param(
            {**BATCH, "detail": "table", "tasks": [{"id": "a", "video_url": URL}, {"id": "b"}]},
            [("a", False), ("b", False)],
            id="of a batch, as a table",
        ),
        pytest.param(
            {**BATCH, "detail": "totals", "tasks": [], "completed_ids": ["a", "b"]},
            [("a", False), ("b", False)],
            id="of a batch, as totals with ids",
        ),
        pytest.param(
            {**BATCH, "completed": 0, "detail": "totals", "tasks": []}, [], id="of a batch without a completed task"
        ),
    ],
)
def test_a_result_of_any_wait_is_taken(result: object, found: list[tuple[str, bool]]) -> None:
    assert ids(result) == found


@pytest.mark.parametrize("given", [["a", "b", "a"], '["a", "b"]', "['a', 'b']"])
def test_ids_are_taken_as_the_batch_sensor_takes_them(given: object) -> None:
    assert ids(seeany_task_ids=given) == [("a", False), ("b", False)]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "pushed none"),
        ("{{ ti.xcom_pull('wait') }}", "no result"),
        ("vid_1", "no result"),
        ("{broken", "neither JSON"),
        ({"status": "completed"}, "no usable `id`"),
        (3.5, "float"),
        ({**BATCH, "detail": "totals", "tasks": []}, "seeany_task_ids"),
    ],
)
def test_what_is_no_result_is_refused_with_what_to_give(result: object, text: str) -> None:
    with pytest.raises(SeeAnyConfigError, match=text):
        sources(result=result, seeany_task_ids=None)


def test_what_is_no_id_is_refused() -> None:
    with pytest.raises(SeeAnyTaskIdError, match=r"seeany_task_ids\[1\]"):
        sources(result=None, seeany_task_ids=["a", None])


@pytest.mark.parametrize(
    "seeany_task_id", ["../../etc/passwd", "a/b", "a\\b", "C:x", "图 1", "x" * 500, "a%2Fb", ".hidden"]
)
def test_a_folder_is_one_segment_of_a_path_whatever_the_id_has(seeany_task_id: str) -> None:
    folder = Source(seeany_task_id).folder

    assert "/" not in folder
    assert "\\" not in folder
    assert folder not in ("", ".", "..")
    assert folder.isascii()
    assert len(folder) < 200


NAMES = st.lists(st.text(st.sampled_from("ab-,%/.~ 夜") | st.characters(codec="utf-8")), min_size=1, max_size=4)


@given(NAMES, NAMES)
@example(["a-b", "c"], ["a", "b-c"])
@example(["a,b", "c"], ["a", "b,c"])
@example(["x" * 400 + "1"], ["x" * 400 + "2"])
@example(["x" * 60, "x" * 60], ["x" * 60 + "," + "x" * 60])
def test_other_names_give_another_segment_of_a_path(first: list[str], second: list[str]) -> None:
    assert (path_segment(*first) == path_segment(*second)) == (first == second)


IMAGE_SET: dict[str, Any] = {
    "id": "img_1",
    "status": "completed",
    "images": [{"url": f"https://cdn.example/{number}.png"} for number in range(2)],
    "thumbnail_url": "https://cdn.example/t.jpg",
}


@pytest.mark.parametrize(
    ("payload", "kinds", "names"),
    [
        (
            video(URL, thumbnail_url="https://cdn.example/t.jpg"),
            ["video", "thumbnail", "images"],
            ["video", "thumbnail"],
        ),
        (video(URL, thumbnail_url="https://cdn.example/t.jpg"), ["video"], ["video"]),
        (IMAGE_SET, ["images"], ["image-001", "image-002"]),
        (IMAGE_SET, ["thumbnail", "video"], ["thumbnail"]),
        (video("ftp://cdn.example/a.mp4"), ["video"], []),
        (video("file:///etc/passwd"), ["video"], []),
    ],
)
def test_of_a_result_the_wanted_files_are_found(payload: dict[str, Any], kinds: list[str], names: list[str]) -> None:
    assert [file.name for file in files_of(SeeAnyTask.from_payload(payload), kinds)] == names


@pytest.mark.parametrize(
    ("url", "extension"),
    [
        ("https://cdn.example/a.MP4?sig=a.b", ".mp4"),
        ("https://cdn.example/a", ""),
        ("https://cdn.example/a.b/c", ""),
        ("https://cdn.example/.mp4", ""),
        ("https://cdn.example/a.notanextension", ""),
        ("https://cdn.example/a.m%2Fp", ""),
    ],
)
def test_an_extension_comes_from_the_path_of_the_url(url: str, extension: str) -> None:
    assert ResultFile("video", url).extension == extension
