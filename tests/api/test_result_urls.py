"""Where the URLs of results are found, and which are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.hostile import COMPLETED, PROCESSING


def completed(**fields: object) -> SeeAnyTask:
    """Return a completed task with these fields."""
    return SeeAnyTask.from_payload({"id": "x", "status": "completed", **fields})


VIDEOS: dict[str, tuple[dict[str, Any], str]] = {
    "a list": ({"video_url": ["https://h/v", "https://h/w"]}, "https://h/v"),
    "an object": ({"video_url": {"url": "https://h/v"}}, "https://h/v"),
    "white space": ({"video_url": " https://h/v\n"}, "https://h/v"),
    "under another key": ({"video_urls": ["https://h/v"]}, "https://h/v"),
    "objects": ({"videos": [{"url": "https://h/v"}]}, "https://h/v"),
    "texts": ({"videos": ["https://h/v"]}, "https://h/v"),
    "beside an empty one": ({"video_url": "", "result_urls": ["https://h/v"]}, "https://h/v"),
    "beside a relative one": ({"video_url": "/v.mp4", "output": {"url": "https://h/v"}}, "https://h/v"),
    "behind its picture": ({"cover_url": "https://h/c.jpg", "file_url": "https://h/v.mp4"}, "https://h/v.mp4"),
    "behind what it was made of": ({"input_video_url": "https://h/i.mp4", "url": "https://h/v"}, "https://h/v"),
    "a resource": ({"resource_url": "https://h/v"}, "https://h/v"),
    "resources": ({"resources": [{"url": "https://h/v"}]}, "https://h/v"),
    "sources of a video": ({"videos": [{"sources": [{"url": "https://h/v"}]}]}, "https://h/v"),
    "the source of a video": ({"video": {"source": "https://h/v"}}, "https://h/v"),
    "downloadUrl": ({"downloadUrl": "https://h/v"}, "https://h/v"),
    "fileURL": ({"fileURL": "https://h/v"}, "https://h/v"),
    "videoURLs": ({"videoURLs": ["https://h/v"]}, "https://h/v"),
    "URL": ({"URL": "https://h/v"}, "https://h/v"),
    "download_link": ({"download_link": "https://h/v"}, "https://h/v"),
    "an output": ({"output": "https://h/v"}, "https://h/v"),
    "outputs": ({"outputs": ["https://h/v"]}, "https://h/v"),
    "an unknown key": ({"hd": "https://h/v", "coverUrl": "https://h/c"}, "https://h/v"),
    "without a key of a URL": ({"output": "https://h/v.mp4?sig=1"}, "https://h/v.mp4?sig=1"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_the_video_is_found_where_it_is_not_named_as_documented(name: str) -> None:
    fields, video_url = VIDEOS[name]

    task = completed(object="video_generation", **fields)

    assert task.contradiction is None
    assert task.result_fields()["video_url"] == video_url


def test_an_image_set_has_no_video() -> None:
    assert completed(object="image_set", images=[{"url": "https://h/1"}], usage={"cost": "1"}).video_url is None


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
    "other keys": (
        {"urls": ["https://h/1"], "link": "https://h/2", "curl": "https://h/3", "URL": "https://h/4"},
        ("https://h/1", "https://h/2", "https://h/4"),
    ),
    "the request's own URLs apart": (
        {
            "callback_url": "https://h/cb",
            "input_image_url": "https://h/i",
            "referenceImageURLs": ["https://h/i"],
            "source-url": "https://h/i",
            "sources": [{"url": "https://h/i"}],
            "webhook": {"url": "https://h/w"},
            "image_url": "https://h/1",
        },
        ("https://h/1",),
    ),
    "covers apart": ({"coverUrl": "https://h/c", "poster": "https://h/c", "last_frame_url": "https://h/c"}, ()),
    "words inside words": (
        {"resource_url": "https://h/1", "discover_url": "https://h/2"},
        ("https://h/1", "https://h/2"),
    ),
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
def test_only_web_addresses_are_results_whatever_the_form_of_the_response(value: object) -> None:
    assert set(completed(extra=value).result_urls) <= {"https://h/1"}


def test_a_completed_video_without_a_video_is_recognised() -> None:
    without = {**COMPLETED, "video_url": ""}

    assert SeeAnyTask.from_payload(without).contradiction is not None
    assert completed(object="video_generation").contradiction is not None
    assert (
        completed(object="video_generation", input_video_url="https://h/i", thumb_url="https://h/t").contradiction
        is not None
    )
    assert completed(object="image_set").contradiction is None
    assert SeeAnyTask.from_payload({**PROCESSING}).contradiction is None


@pytest.mark.parametrize("field", ["video_url", "thumbnail_url"])
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "/v.mp4", "//h/v.mp4", "data:text/html,x", ""]
)
def test_what_is_no_web_address_is_handed_on_in_the_whole_response_only(field: str, url: str) -> None:
    task = SeeAnyTask.from_payload({**COMPLETED, field: url})

    assert field not in task.result_fields()
    assert url not in task.result_urls
    assert task.as_json()[field] == url
