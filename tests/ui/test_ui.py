"""What a user sees of the tab, the page and the connection's form, in a real browser on a real Airflow."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import REPOSITORY, Studio

pytestmark = pytest.mark.ui

Look = Callable[..., Page]
IMAGES = REPOSITORY / "docs" / "images"
AXE = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"


def picture(page: Page, name: str) -> None:
    """Take a screenshot for the README, if that is asked for; else only try that it can be taken."""
    page.mouse.move(0, 0)
    shot = page.screenshot(type="jpeg", quality=80)
    if os.environ.get("SEEANY_UI_PICTURES"):
        (IMAGES / f"{name}.jpg").write_bytes(shot)


def serious_findings(page: Page, within: str) -> list[str]:
    """Return what axe finds serious or critical within a part of the page."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "within => axe.run(within, {resultTypes: ['violations']}).then(answer => answer.violations)", within
    )
    return [
        f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def our_part(page: Page, anchor: str) -> str:
    """Mark the part of the page that is ours, and return how to find it."""
    page.get_by_role("heading", name=anchor, exact=True).first.evaluate(
        "node => { const part = node.parentElement.parentElement; part.setAttribute('data-ours', ''); }"
    )
    return "[data-ours]"


def test_a_finished_task_shows_its_video_and_what_it_cost(studio: Studio, look: Look) -> None:
    page = look(studio.task("finished"))

    video = page.get_by_label("Video video-3s-red-shoes")
    expect(video).to_be_visible()
    expect(video).to_have_attribute("poster", re.compile(r"thumb\.jpg$"))
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert video.evaluate("node => node.videoWidth > 0 && node.duration > 0")
    for text in ("¥0.70", "5 s", "720p", "GMT+8", "Completed"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_role("link", name="Open original")).to_have_attribute("href", re.compile(r"output\.mp4$"))
    page.get_by_role("button", name="Copy URL").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith("output.mp4")
    picture(page, "ui-tab-video")
    assert serious_findings(page, our_part(page, "video-3s-red-shoes")) == []


def test_a_waiting_task_moves_by_itself_and_asks_nothing_while_hidden(studio: Studio, look: Look) -> None:
    page = look(studio.task("under_way"), dark=True)

    bar = page.get_by_label("Progress").first
    expect(page.get_by_text(re.compile(r"^\d+ %$"))).to_be_visible(timeout=40_000)
    expect(page.get_by_text(re.compile("left$"))).to_be_visible()
    picture(page, "ui-tab-progress-dark")
    before = bar.locator("[data-part=range]").bounding_box()
    assert before is not None
    page.wait_for_function(
        "width => document.querySelector('[aria-label=Progress] [data-part=range]')"
        ".getBoundingClientRect().width > width",
        arg=before["width"],
        timeout=60_000,
    )
    expect(bar).to_be_attached()
    asked: list[str] = []
    page.on("request", lambda request: "/seeany/api/" in request.url and asked.append(request.url))
    page.evaluate("() => { Object.defineProperty(document, 'hidden', {get: () => true, configurable: true}); }")
    page.wait_for_timeout(7000)
    asked.clear()
    page.wait_for_timeout(8000)
    assert asked == []
    with page.expect_request(lambda request: "/seeany/api/" in request.url):
        page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")


def test_a_failed_task_shows_the_code_and_the_services_words(studio: Studio, look: Look) -> None:
    page = look(studio.task("failed"))

    expect(page.get_by_text("SeeAny's error: content_policy_violation")).to_be_visible()
    expect(page.get_by_text("生成内容违反内容安全策略")).to_be_visible()


def test_a_timed_out_task_says_so(studio: Studio, look: Look) -> None:
    expect(look(studio.task("timed_out")).get_by_text("The wait timed out")).to_be_visible()


def test_an_image_set_is_a_grid(studio: Studio, look: Look) -> None:
    page = look(studio.task("image_set"))

    expect(page.get_by_role("img", name=re.compile("^Image "))).to_have_count(5)
    page.wait_for_function(
        "[...document.images].filter(image => image.alt.startsWith('Image')).every(i => i.naturalWidth)"
    )


def test_a_batch_is_a_table_with_totals_in_chinese_too(studio: Studio, look: Look) -> None:
    page = look(studio.task("batch"), language="zh")

    expect(page.get_by_text("已完成 8 / 8，失败 1 · ¥4.90")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(9)
    picture(page, "ui-tab-batch-zh")


def test_a_mapped_task_shows_its_own_result(studio: Studio, look: Look) -> None:
    expect(look(studio.task("colours", 1)).get_by_label("Video video-3s-green-shoes")).to_be_visible()


def test_a_foreign_task_gets_one_quiet_line(studio: Studio, look: Look) -> None:
    expect(look(studio.task("foreign")).get_by_text("This task does not wait for SeeAny.")).to_be_visible()


def test_the_page_shows_results_spend_and_filters(studio: Studio, look: Look) -> None:
    page = look(studio.page)

    expect(page.get_by_text("It is not the account's bill.")).to_be_visible()
    expect(page.locator("[data-bar]").first).to_be_attached()
    assert page.locator("[data-bar]").evaluate_all("bars => bars.filter(bar => bar.clientHeight > 3).length") > 5
    expect(page.get_by_role("region", name="Cost CNY")).to_contain_text("¥")
    expect(page.get_by_role("region", name="Cost USD")).to_contain_text("$")
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="colours [1]")).to_be_visible()
    picture(page, "ui-page")
    assert serious_findings(page, our_part(page, "SeeAny results")) == []

    page.get_by_label("State").select_option("failed")
    expect(page.get_by_role("link", name="failed", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="finished", exact=True)).to_have_count(0)
    page.get_by_label("State").select_option("")
    page.get_by_label("Connection").select_option("seeany_global")
    expect(page.get_by_role("region", name="Cost CNY")).to_have_count(0)
    page.get_by_label("Connection").select_option("")
    page.get_by_label("DAG", exact=True).select_option("weekly_campaign")
    expect(page.get_by_role("link", name="finished", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    page.get_by_role("button", name="Newer").click()
    page.get_by_label("Time").select_option("1")
    expect(page.get_by_text("No result matches these filters.")).to_be_visible()


def test_a_card_plays_under_the_pointer_and_leads_to_its_task(studio: Studio, look: Look) -> None:
    page = look(studio.page)

    link = page.get_by_role("link", name="finished", exact=True)
    link.hover()
    page.wait_for_function("[...document.querySelectorAll('video')].some(video => !video.paused && video.muted)")
    link.click()
    expect(page.get_by_label("Video video-3s-red-shoes")).to_be_visible()
    assert page.url == studio.task("finished")


def test_the_table_in_the_dark_and_in_chinese(studio: Studio, look: Look) -> None:
    page = look(studio.page, dark=True, language="zh")

    page.get_by_role("button", name="表格").click()
    expect(page.get_by_role("region", name="结果").get_by_role("columnheader", name="花费")).to_be_visible()
    expect(page.get_by_text("并非账户账单")).to_be_visible()
    page.get_by_role("heading", name="结果", exact=True).scroll_into_view_if_needed()
    picture(page, "ui-page-dark-zh")
    assert serious_findings(page, our_part(page, "SeeAny 结果")) == []


def test_it_fits_a_phone(studio: Studio, look: Look) -> None:
    page = look(studio.page, phone=True)

    expect(page.get_by_role("heading", name="SeeAny results")).to_be_visible()
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    part = page.locator(our_part(page, "SeeAny results"))
    assert part.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


def test_a_file_that_refuses_to_be_embedded_leaves_a_link(studio: Studio, look: Look) -> None:
    def refuse(page: Page) -> None:
        page.route("**/output.mp4", lambda route: route.fulfill(status=200, content_type="text/html", body="no"))

    page = look(studio.task("finished"), before=refuse)

    expect(page.get_by_text("Cannot be shown here.")).to_be_visible()
    expect(page.get_by_role("link", name="Open original").first).to_have_attribute("href", re.compile("output.mp4"))


def test_nothing_is_loaded_from_elsewhere_but_the_results(studio: Studio, look: Look) -> None:
    loaded: set[tuple[str, str]] = set()

    def note(page: Page) -> None:
        page.on("request", lambda request: loaded.add((request.resource_type, request.url.split("/")[2])))

    page = look(studio.page, before=note)
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth && image.src.includes('/files/'))")

    own = studio.airflow.url.split("/")[2]
    assert {kind for kind, host in loaded if host != own} == {"image"}


def test_the_connection_form_saves_with_just_a_key(studio: Studio, look: Look) -> None:
    page = look(f"{studio.airflow.url}/connections")

    page.get_by_role("button", name="Add Connection").click()
    page.get_by_label("Connection ID").fill("seeany_by_hand")
    page.get_by_role("dialog").get_by_role("combobox").first.click()
    page.keyboard.type("SeeAny")
    page.get_by_role("option", name=re.compile("SeeAny|seeany")).click()
    key = page.get_by_placeholder("sk-…")
    key.fill("sk-by-hand")
    assert key.get_attribute("type") == "password"
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("seeany_by_hand").first).to_be_visible()
    stored = studio.airflow.client.request("GET", "/connections/seeany_by_hand")
    assert stored["conn_type"] == "seeany"
    assert Path(stored.get("host") or "").name == ""
