"""A finished answer as the value that a DAG works with."""

from __future__ import annotations

import json
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.task import SeeAnyTask, is_web_url
from tests.hostile import COMPLETED, FAILED, PROCESSING, VIDEO


def completed(**fields: object) -> SeeAnyTask:
    """Return a completed task with these fields."""
    return SeeAnyTask.from_answer({"id": "x", "status": "completed", **fields})


def test_a_running_task_tells_how_far_it_is() -> None:
    task = SeeAnyTask.from_answer(PROCESSING)

    assert (task.id, task.object, task.status) == (VIDEO, "video_generation", "processing")
    assert (task.progress, task.estimated_remaining) == (65, 42)
    assert (task.is_running, task.is_completed, task.is_failed) == (True, False, False)
    assert (task.video_url, task.usage.cost, task.error.message, task.completed_at) == (None, None, None, None)


def test_a_completed_task_tells_its_video_and_its_cost() -> None:
    task = SeeAnyTask.from_answer(COMPLETED)

    assert (task.is_running, task.is_completed, task.is_failed) == (False, True, False)
    assert task.video_url == "https://cdn.seeany.com/video/vid_001/output.mp4"
    assert task.thumbnail_url == "https://cdn.seeany.com/video/vid_001/thumb.jpg"
    assert (task.duration, task.resolution) == (5, "720p")
    assert (task.usage.cost, task.usage.cost_unit) == (0.70, "CNY")
    assert task.result_urls == (task.video_url,)


def test_a_failed_task_tells_why_in_the_services_own_words() -> None:
    task = SeeAnyTask.from_answer(FAILED)

    assert (task.is_running, task.is_completed, task.is_failed) == (False, False, True)
    assert (task.error.code, task.error.message) == ("content_policy_violation", "生成内容违反内容安全策略")


@pytest.mark.parametrize(
    "word", ["queued", "Completed", "COMPLETED", "completed ", "success", "succeeded", "失败", "0"]
)
def test_a_status_word_that_is_not_documented_is_running_and_never_success(word: str) -> None:
    task = SeeAnyTask.from_answer({**COMPLETED, "status": word})

    assert (task.is_running, task.is_completed, task.is_failed) == (True, False, False)
    assert task.result_urls == ()


def test_fields_that_the_api_adds_later_are_kept_untouched() -> None:
    later = {"seed": 7, "model": {"name": "m", "layers": [1, 2]}, "标签": ["a"], "nothing": None}

    assert completed(**later).as_json() == {"id": "x", "status": "completed", **later}
    assert completed(**later, completed_at=0).as_json() == {
        "id": "x",
        "status": "completed",
        **later,
        "completed_at": "1970-01-01T00:00:00Z",
    }


@pytest.mark.parametrize("cost", [0, 1, 0.7, 0.1 + 0.2, 12345678.9])
def test_the_cost_is_the_number_as_the_service_gave_it(cost: float) -> None:
    assert repr(completed(usage={"cost": cost}).usage.cost) == repr(cost)


TIMES = {
    1748908920: "2025-06-03T00:02:00Z",
    1748908920.5: "2025-06-03T00:02:00.500000Z",
    0: "1970-01-01T00:00:00Z",
    -1: "1969-12-31T23:59:59Z",
    "2025-06-03T00:02:00Z": "2025-06-03T00:02:00Z",
    "2025-06-03T08:02:00+08:00": "2025-06-03T00:02:00Z",
}


@pytest.mark.parametrize("given", TIMES)
def test_completed_at_is_a_time_in_utc(given: object) -> None:
    task = completed(completed_at=given)

    assert isinstance(task.completed_at, pendulum.DateTime)
    assert task.completed_at.timezone_name == "UTC"
    assert task.as_json()["completed_at"] == TIMES[given]  # type: ignore[index]


@pytest.mark.parametrize(
    "given",
    [1748908920000, 10**30, -(10**30), True, "soon", "2025-06-03T00:02:00", "0001-01-01T00:00:00+14:00", [], {}],
    ids=str,
)
def test_a_completed_at_that_is_no_time_is_refused_by_its_name(given: object) -> None:
    with pytest.raises(ValueError, match="completed_at"):
        completed(completed_at=given)


@pytest.mark.parametrize("answer", [PROCESSING, COMPLETED, FAILED], ids=["processing", "completed", "failed"])
def test_an_answer_survives_the_way_through_an_xcom(answer: dict[str, Any]) -> None:
    task = SeeAnyTask.from_answer(answer)

    stored = json.loads(json.dumps(task.as_json()))

    assert SeeAnyTask.from_answer(stored).as_json() == task.as_json()
    assert SeeAnyTask.from_answer(stored).completed_at == task.completed_at


def test_what_a_dag_waits_for_is_there_under_names_of_its_own() -> None:
    assert SeeAnyTask.from_answer(COMPLETED).highlights() == {
        "video_url": COMPLETED["video_url"],
        "thumbnail_url": COMPLETED["thumbnail_url"],
        "cost": 0.70,
        "cost_unit": "CNY",
        "duration": 5,
        "resolution": "720p",
        "completed_at": "2025-06-03T00:02:00Z",
        "result_urls": [COMPLETED["video_url"]],
    }
    assert completed(usage={"cost": 0}).highlights() == {"cost": 0}


IMAGE_SETS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "objects": ({"images": [{"url": "https://h/1"}, {"url": "https://h/2"}]}, ("https://h/1", "https://h/2")),
    "a list": ({"image_urls": ["https://h/1", "https://h/2"]}, ("https://h/1", "https://h/2")),
    "a mapping": ({"image_urls": {"front": "https://h/1", "back": "https://h/2"}}, ("https://h/1", "https://h/2")),
    "deep": ({"a": [{"b": {"c": [[{"download_url": "http://h/1"}]]}}]}, ("http://h/1",)),
    "listed twice": ({"url": "https://h/1", "images": [{"url": "https://h/1"}]}, ("https://h/1",)),
    "in their order": (
        {"z_url": "https://h/1", "m": [{"url": "https://h/2"}], "a_url": "https://h/3"},
        ("https://h/1", "https://h/2", "https://h/3"),
    ),
    "Chinese": ({"url": "https://h/图片.jpg"}, ("https://h/图片.jpg",)),
    "thumbnails apart": (
        {"thumbnail_url": "https://h/t", "thumbnail_urls": ["https://h/t"], "thumbs": [{"url": "https://h/t"}]},
        (),
    ),
    "other keys": ({"urls": ["https://h/1"], "link": "https://h/2", "curl": "https://h/3", "URL": "https://h/4"}, ()),
    "no address": ({"a_url": None, "b_url": 1, "c_url": "", "url": {"no": True}, "d_urls": [[], {}, None]}, ()),
}


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_result_urls_are_found_wherever_they_stand(name: str) -> None:
    fields, urls = IMAGE_SETS[name]

    assert completed(**fields).result_urls == urls


NO_LINKS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "file:///etc/passwd",
    "data:text/html,<script>",
    "ftp://h/1",
    "/video/1.mp4",
    "//h/1.mp4",
    "1.mp4",
    "https:/h/1",
    "https://",
    "https:///1",
    "https://[",
    " https://h/1",
    "https://h/1\n",
    "https://h/a b",
    "https://h/\x1b[31m",
    "https://h/\u202e4pm",
    "java\nscript:alert(1)",
    "",
]


@pytest.mark.parametrize("url", NO_LINKS)
def test_what_is_no_absolute_web_address_never_becomes_a_result(url: str) -> None:
    task = completed(video_url=url, urls=[url], images=[{"url": url}], image_urls=[url])

    assert task.result_urls == ()
    assert not is_web_url(url)


@pytest.mark.parametrize("value", [None, 1, [], {}, b"https://h/1"])
def test_what_is_no_text_is_no_web_address(value: object) -> None:
    assert not is_web_url(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["https://h/1", *NO_LINKS]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["url", "a_url", "b_urls", "c", "thumb"]), inner)
        ),
    )
)
def test_only_web_addresses_are_results_whatever_the_answer_looks_like(value: object) -> None:
    assert set(completed(extra=value).result_urls) <= {"https://h/1"}


def test_a_completed_video_without_a_video_is_recognised() -> None:
    without = {**COMPLETED, "video_url": ""}

    assert SeeAnyTask.from_answer(without).lacks_its_video
    assert completed(object="video_generation").lacks_its_video
    assert not completed(object="image_set").lacks_its_video
    assert not SeeAnyTask.from_answer({**PROCESSING}).lacks_its_video


@pytest.mark.parametrize("field", ["video_url", "thumbnail_url"])
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "/v.mp4", "//h/v.mp4", "data:text/html,x", ""]
)
def test_what_is_no_web_address_is_handed_on_in_the_whole_answer_only(field: str, url: str) -> None:
    task = SeeAnyTask.from_answer({**COMPLETED, field: url})

    assert field not in task.highlights()
    assert url not in task.result_urls
    assert task.as_json()[field] == url
