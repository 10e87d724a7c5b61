"""Tabs with very many files and rows: what a browser has to load and to draw has a maximum."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.ui.accessible import our_part, serious_findings, tab_to
from tests.ui.conftest import OpenPage, Ui

pytestmark = pytest.mark.ui

FILES = 500
MAX_NODES = 3000
"""Maximum number of elements of a tab: that of Airflow's own grid of some runs."""


def with_files(requested: list[str], **more: Any) -> Callable[[Page], object]:
    """Let an image set have very many files, and note which are requested."""

    def respond(route: Route) -> None:
        view = route.fetch().json()
        base = view["result_urls"][0].rpartition("/")[0]
        view["result_urls"] = [f"{base}/image-1.jpg?number={number}" for number in range(1, FILES + 1)]
        view["result"] |= {"results": FILES, **more}
        route.fulfill(json=view)

    def prepare(page: Page) -> None:
        page.route("**/seeany/api/dags/**", respond)
        page.on("request", lambda request: "?number=" in request.url and requested.append(request.url))

    return prepare


def nodes(page: Page, within: str) -> int:
    return int(page.locator(within).evaluate("node => node.querySelectorAll('*').length"))


def test_an_image_set_of_500_files_loads_a_part_and_more_on_demand(ui: Ui, open_page: OpenPage) -> None:
    requested: list[str] = []
    page = open_page(ui.task("image_set"), before=with_files(requested))

    images = page.get_by_role("img", name=re.compile("^Image "))
    expect(images).to_have_count(100)
    part = our_part(page, "images-3s-5x-sandals")
    assert nodes(page, part) < MAX_NODES
    assert len(requested) <= 100
    assert serious_findings(page, part) == []
    # All of them are copied, not only those shown.
    page.get_by_role("button", name=f"Copy all {FILES} URLs").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert len(page.evaluate("navigator.clipboard.readText()").split("\n")) == FILES

    tab_to(page, "Show 100 more of 400", maximum=150)
    page.keyboard.press("Enter")
    expect(images).to_have_count(200)
    # The focus goes on to the first of the new ones.
    expect(page.get_by_role("link", name="Image 101", exact=True)).to_be_focused()
    for left in (300, 200, 100):
        page.get_by_role("button", name=f"Show 100 more of {left}").click()
    expect(images).to_have_count(FILES)
    expect(page.get_by_role("button", name=re.compile(r"^Show \d+ more"))).to_have_count(0)


def test_a_set_with_more_files_than_are_listed_says_so(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("image_set"), before=with_files([], results=120_000), language="zh")

    expect(page.get_by_text("仅列出 120,000 个中的 500 个。")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_batch_of_hundreds_of_rows_draws_a_part_and_more_on_demand(
    ui: Ui, open_page: OpenPage, language: str
) -> None:
    requested: list[str] = []

    def respond(route: Route) -> None:
        view = route.fetch().json()
        row = view["batch"][0]
        url = row["url"].replace("output.mp4", "thumb.jpg")
        view["batch"] = [
            {**row, "id": f"vid_{number}", "url": f"{row['url']}?{number}", "thumbnail_url": f"{url}?number={number}"}
            for number in range(1, 651)
        ]
        view["result"] |= {"total": 650, "completed": 650, "failed": 0}
        route.fulfill(json=view)

    def prepare(page: Page) -> None:
        page.route("**/seeany/api/dags/**", respond)
        page.on("request", lambda request: "?number=" in request.url and requested.append(request.url))

    page = open_page(ui.task("batch"), before=prepare, language=language)
    rows = page.get_by_role("row")
    expect(rows).to_have_count(1 + 100)
    part = our_part(page, "Batch" if language == "en" else "批次")
    assert nodes(page, part) < MAX_NODES
    assert len(requested) <= 100
    more = "Show 100 more of 550" if language == "en" else "再显示 100 个（剩余 550 个）"
    page.get_by_role("button", name=more).click()
    expect(rows).to_have_count(1 + 200)
    expect(rows.nth(101).get_by_role("link")).to_be_focused()


def test_the_page_counts_up_to_a_maximum(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "total": 10_001})

    page = open_page(ui.page, before=lambda page: page.route("**/seeany/api/results?**", respond))
    expect(page.get_by_text(re.compile(r"1–\d+ of 10,000\+"))).to_be_visible()
