"""The buttons: they lead to the result, or are not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_seeany.links.task import (
    RESULT_LINKS,
    FirstFileLink,
    WatchVideoLink,
)
from tests.hostile import COMPLETED, VIDEO, HostileServer, reply, task
from tests.waits import KINDS, context, finished, wait

Connect = Callable[..., None]

each_kind = pytest.mark.parametrize("kind", KINDS)


def shown(waiting: Any) -> list[str]:
    """Return what the links of a wait lead to."""
    return [link.get_link(waiting, ti_key=None) for link in waiting.operator_extra_links]


@each_kind
def test_a_finished_wait_leads_to_the_video(hostile: HostileServer, connect: Connect, kind: Any) -> None:
    connect(host=hostile.url)
    hostile.script(reply(200, COMPLETED))
    at_once, later = wait(kind, VIDEO), wait(kind, VIDEO)

    at_once.execute(context())
    later.resume_execution(*finished(COMPLETED), context())

    assert shown(at_once) == shown(later) == [COMPLETED["video_url"]]


@each_kind
def test_links_do_not_depend_on_xcoms(kind: Any) -> None:
    waiting = wait(kind, VIDEO, do_xcom_push=False)

    waiting.resume_execution(*finished(COMPLETED), context())

    assert shown(waiting)[0] == COMPLETED["video_url"]


@each_kind
def test_a_wait_that_has_not_finished_leads_nowhere(kind: Any) -> None:
    assert shown(wait(kind)) == ["", ""]


@each_kind
def test_a_result_without_a_video_leads_to_its_first_file(kind: Any) -> None:
    images = [{"url": "javascript:alert(1)"}, {"url": "https://h/1.png"}, {"url": "https://h/2.png"}]
    waiting = wait(kind)

    waiting.resume_execution(*finished({"id": "x", "status": "completed", "images": images}), context())

    assert shown(waiting) == ["https://h/1.png"]


BAD_URLS = [
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "ftp://h/v",
    "/relative",
    "//h/v",
    "h/v",
    "https://",
    "https:///v",
    "https://h/ v",
    "https://h/\nv",
    "https://[",
    "",
    None,
]


@pytest.mark.parametrize("url", BAD_URLS, ids=repr)
def test_a_link_leads_to_the_web_or_is_not_there(hostile: HostileServer, connect: Connect, url: str | None) -> None:
    connect(host=hostile.url)
    hostile.script(task(status="completed", video_url=url, thumbnail_url=url))
    waiting = wait(KINDS[0])

    waiting.execute(context())

    assert shown(waiting) == []


@pytest.mark.parametrize("url", ["https://h/v.mp4?sign=a%2Fb&x=1#t=5", "http://127.0.0.1:8000/v", "HTTPS://h/v"])
def test_a_link_is_the_url_as_the_service_gave_it(url: str) -> None:
    waiting = wait(KINDS[0])

    waiting.resume_execution(*finished({"id": "x", "status": "completed", "video_url": url}), context())

    assert shown(waiting) == [url]


def test_the_buttons_have_names_of_their_own() -> None:
    assert [link.name for link in RESULT_LINKS] == ["Watch video", "First file"]
    assert [type(link) for link in RESULT_LINKS] == [WatchVideoLink, FirstFileLink]
