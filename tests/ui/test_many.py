"""Tabs with very many files and rows: what a browser has to load and to draw has a maximum."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.ui.accessible import our_part, serious_findings, tab_to
from tests.ui.conftest import OpenPage, Ui, has_tab_and_page
from tests.ui.downloads import expect_downloads, noted

pytestmark = [pytest.mark.ui, has_tab_and_page]

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


def with_rows(count: int, *, failed: int | None = None) -> Callable[[Route], None]:
    """Let a batch have very many rows, each `failed`-th of which has failed."""

    def respond(route: Route) -> None:
        view = route.fetch().json()
        row = view["batch"][0]
        url = row["url"].replace("output.mp4", "thumb.jpg")
        view["batch"] = [
            {**row, "id": f"vid_{number}", "state": "failed", "url": None, "reason": "refused"}
            if failed and number % failed == 0
            else {
                **row,
                "id": f"vid_{number}",
                "url": f"{row['url']}?{number}",
                "thumbnail_url": f"{url}?number={number}",
            }
            for number in range(1, count + 1)
        ]
        number = sum(each["state"] == "failed" for each in view["batch"])
        view["result"] |= {"total": count, "completed": count - number, "failed": number}
        route.fulfill(json=view)

    return respond


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
    page.get_by_role("button", name=f"Show all {FILES}").click()
    expect(images).to_have_count(FILES)
    expect(page.get_by_role("link", name="Image 201", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name=re.compile(r"^Show (all|\d)"))).to_have_count(0)


def test_500_files_are_downloaded_only_after_a_question_and_the_download_can_be_cancelled(
    ui: Ui, open_page: OpenPage
) -> None:
    fetched: list[str] = []

    def respond(route: Route) -> None:
        if route.request.resource_type != "fetch":
            route.continue_()
            return
        fetched.append(route.request.url)
        if len(fetched) < 38:  # the one after that never comes
            route.fulfill(status=200, content_type="image/jpeg", body="a picture")

    def prepare(page: Page) -> None:
        with_files([])(page)
        page.route("**/files/**", respond)

    page = open_page(ui.task("image_set"), before=prepare)
    downloads = noted(page)

    page.get_by_role("button", name="Download all").click()
    expect(page.get_by_role("button", name=f"Download {FILES} files")).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(f"This saves {FILES} files")).to_have_count(0)
    button = page.get_by_role("button", name="Download all")
    expect(button).to_be_focused()
    assert fetched == []

    page.keyboard.press("Enter")
    expect(page.get_by_text(f"This saves {FILES} files, one after the other.")).to_be_visible()
    assert serious_findings(page, our_part(page, "images-3s-5x-sandals")) == []
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Downloading 38 of {FILES} …")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(f"Cancelled after 37 of {FILES} files.", exact=True)).to_be_visible()
    expect(button).to_be_focused()
    expect_downloads(page, downloads, [f"images-3s-5x-sandals-{number}.jpg" for number in range(1, 38)])
    assert len(fetched) == 38


def test_a_set_with_more_files_than_are_listed_says_so(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("image_set"), before=with_files([], results=120_000), language="zh")

    expect(page.get_by_text("仅列出 120,000 个中的 500 个。")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_batch_of_hundreds_of_rows_draws_a_part_and_more_on_demand(
    ui: Ui, open_page: OpenPage, language: str
) -> None:
    requested: list[str] = []

    def prepare(page: Page) -> None:
        page.route("**/seeany/api/dags/*/task?*", with_rows(650))
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


def test_of_a_batch_of_3000_rows_those_that_failed_or_one_id_are_found(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(
        ui.task("batch"), before=lambda page: page.route("**/seeany/api/dags/*/task?*", with_rows(3000, failed=300))
    )
    rows = page.get_by_role("row")
    expect(rows).to_have_count(1 + 100)
    expect(page.get_by_text("2,990 of 3,000 completed, 10 failed")).to_be_visible()
    page.get_by_role("button", name="Show 1,000 more", exact=True).click()
    expect(rows).to_have_count(1 + 1100)

    page.get_by_role("button", name="Failed (10)").click()
    expect(rows).to_have_count(1 + 10)
    expect(page.get_by_role("button", name=re.compile(r"^Show (all|\d)|^Copy all|^Download"))).to_have_count(0)
    page.get_by_role("button", name="All (3,000)").click()
    page.get_by_label("Search SeeAny ids").fill("VID_2345")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("vid_2345")
    # What is copied is what is listed.
    page.get_by_role("button", name="Copy URL").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith("?2345")
    page.get_by_label("Search SeeAny ids").fill("nobody")
    expect(page.get_by_text("No SeeAny task of this batch matches.")).to_be_visible()


def test_a_batch_is_exported_as_csv_and_all_its_files_are_copied(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("batch"))

    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert download.value.suggested_filename == "seeany-batch.csv"
    assert [line.split(",")[0] for line in lines[-2:]] == ["images-0s-3x-sneaker-8", "fails-0s-sneaker-9"]
    # Seven videos, and an image set of three.
    page.get_by_role("button", name="Copy all 10 URLs").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert sum(url.endswith(".jpg") for url in page.evaluate("navigator.clipboard.readText()").split("\n")) == 3


def test_where_a_batch_has_the_first_file_of_each_task_only_the_tab_says_so(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "has_first_files_only": True})

    page = open_page(ui.task("batch"), before=lambda page: page.route("**/seeany/api/dags/**", respond))
    expect(page.get_by_text("The result of a batch of this size has only the first file of each task.")).to_be_visible()


def test_the_page_counts_up_to_a_maximum(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "total": 10_001})

    page = open_page(ui.page, before=lambda page: page.route("**/seeany/api/results?**", respond))
    expect(page.get_by_text(re.compile(r"1–\d+ of 10,000\+"))).to_be_visible()
