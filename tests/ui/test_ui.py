"""What a user sees of the tab and the page, in a real browser on a real Airflow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from playwright.sync_api import Locator, Page, Route, expect

from tests.ui.accessible import focused, our_part, serious_findings, tab_to
from tests.ui.conftest import REPOSITORY, OpenPage, Ui, has_tab_and_page
from tests.ui.downloads import expect_downloads, noted

pytestmark = [pytest.mark.ui, has_tab_and_page]

IMAGES = REPOSITORY / "docs" / "images"
IN_UTC = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")


def picture(page: Page, name: str, *, height: int = 900) -> None:
    """Take a screenshot; store it for the documentation if SEEANY_UI_PICTURES is set."""
    page.mouse.move(0, 0)
    shot = page.screenshot(type="jpeg", quality=80, clip={"x": 0, "y": 0, "width": 1360, "height": height})
    if os.environ.get("SEEANY_UI_PICTURES"):
        (IMAGES / f"{name}.jpg").write_bytes(shot)


def test_a_finished_task_shows_its_video_and_what_it_cost(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("finished"))

    video = page.get_by_label("Video video-3s-red-shoes")
    expect(video).to_be_visible()
    expect(video).to_have_attribute("poster", re.compile(r"thumb\.jpg$"))
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert video.evaluate("node => node.videoWidth > 0 && node.duration > 0")
    for text in ("¥0.70", "5 s", "720p", "Completed"):
        expect(page.get_by_text(text).first).to_be_visible()
    finished_at = page.locator("dd time")
    expect(finished_at).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"))
    expect(finished_at).to_have_attribute("title", IN_UTC)
    page.get_by_role("button", name="Copy id").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "video-3s-red-shoes"
    expect(page.get_by_text("Copied")).to_have_count(0)
    link = page.get_by_role("link", name="Results of this DAG")
    expect(link).to_have_attribute("href", re.compile(r"/plugin/seeany\?dag=shoe_videos$"))
    expect(page.get_by_role("link", name="Open original")).to_have_attribute("href", re.compile(r"output\.mp4$"))
    page.get_by_role("button", name="Copy URL").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith("output.mp4")
    expect(page.get_by_text("Copied")).to_have_count(0)
    picture(page, "ui-tab-video")
    assert serious_findings(page, our_part(page, "video-3s-red-shoes")) == []


def test_progress_moves_by_itself_and_a_hidden_page_does_not_poll(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("under_way"), dark=True)

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
    requests: list[str] = []
    page.on("request", lambda request: "/seeany/api/" in request.url and requests.append(request.url))
    page.evaluate("() => { Object.defineProperty(document, 'hidden', {get: () => true, configurable: true}); }")
    page.wait_for_timeout(7000)
    requests.clear()
    page.wait_for_timeout(8000)
    assert requests == []
    with page.expect_request(lambda request: "/seeany/api/" in request.url):
        page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")


def test_a_failed_task_shows_the_code_and_the_services_message(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("failed"))

    expect(page.get_by_text("SeeAny's error: content_policy_violation")).to_be_visible()
    expect(page.get_by_text("生成内容违反内容安全策略")).to_be_visible()


def test_a_timed_out_task_is_shown_as_timed_out(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("timed_out"))

    expect(page.get_by_text("The wait timed out after 8 s", exact=True)).to_be_visible()
    expect(page.get_by_text("Wait ended at")).to_be_visible()
    expect(page.get_by_text("Finished at")).to_have_count(0)


def test_the_provider_s_own_errors_are_in_the_viewer_s_language_and_the_text_of_the_log_is_there(
    ui: Ui, open_page: OpenPage
) -> None:
    page = open_page(ui.task("timed_out"), language="zh", dark=True)

    expect(page.get_by_text("等待 8 秒后超时", exact=True)).to_be_visible()
    text = page.get_by_text("SeeAny task never-slippers was not done within 8 s")
    expect(text).to_be_hidden()
    page.get_by_text("日志原文").click()
    expect(text).to_be_visible()
    assert serious_findings(page, our_part(page, "never-slippers")) == []


MADE_OF_IT = {
    "skipped": ("fails-0s-socks", "Skipped", "Airflow skipped this task instead of failing it."),
    "retrying": ("video-3s-moccasins", "Retrying", "Airflow will try this wait again."),
    "failed_later": ("video-0s-clogs", "Task failed", "The result is there, but the Airflow task failed afterwards."),
}


@pytest.mark.parametrize("task_id", MADE_OF_IT)
def test_tab_and_page_show_what_airflow_has_made_of_a_wait(ui: Ui, open_page: OpenPage, task_id: str) -> None:
    seeany_task_id, mark, text = MADE_OF_IT[task_id]

    page = open_page(ui.task(task_id))
    expect(page.get_by_text(text)).to_be_visible()
    expect(page.locator(our_part(page, seeany_task_id)).get_by_text(mark, exact=True)).to_be_visible()
    page = open_page(ui.page)
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=task_id, exact=True))
    expect(card.get_by_text(mark, exact=True)).to_be_visible()


def test_an_image_set_is_a_grid(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("image_set"))

    expect(page.get_by_role("img", name=re.compile("^Image "))).to_have_count(5)
    page.wait_for_function(
        "[...document.images].filter(image => image.alt.startsWith('Image')).every(i => i.naturalWidth)"
    )
    page.get_by_role("button", name="Copy all 5 URLs").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert len(page.evaluate("navigator.clipboard.readText()").split("\n")) == 5


@pytest.mark.parametrize("is_allowed", [True, False])
def test_all_files_of_an_image_set_are_downloaded_or_their_urls(ui: Ui, open_page: OpenPage, is_allowed: bool) -> None:
    def respond(route: Route) -> None:
        if route.request.resource_type != "fetch":
            route.continue_()
        elif is_allowed:
            route.fulfill(status=200, content_type="image/jpeg", body="a picture")
        else:
            route.abort("accessdenied")

    page = open_page(
        ui.task("image_set"),
        before=lambda page: page.route("**/files/**", respond),
        expected_error=None if is_allowed else "Failed to load resource",
    )
    downloads = noted(page)

    page.get_by_role("button", name="Download all").click()

    if is_allowed:
        expect(page.get_by_text("5 of 5 files downloaded.", exact=True)).to_be_visible()
        wanted = [f"images-3s-5x-sandals-{number}.jpg" for number in range(1, 6)]
    else:
        expect(page.get_by_text("The site of 5 files allows no download from here.")).to_be_visible()
        wanted = ["urls.txt"]
    expect_downloads(page, downloads, wanted)


def partially(state: str) -> Callable[[Page], object]:
    """Let every result be partial, and be in this state."""
    partial = {"is_partial": True, "error_code": "image_failed", "error_message": "4 张图片中有 2 张生成失败"}

    def respond(route: Route) -> None:
        response = route.fetch().json()
        if "result" in response:
            response["result"] |= {"state": state, **partial}
        for row in response.get("results", []):
            row |= {"is_partial": True}
        route.fulfill(json=response)

    return lambda page: page.route(re.compile(r"/seeany/api/(dags|results)"), respond)


PARTIAL = {
    "en": ("Partial", "Partial result: some of the files failed"),
    "zh": ("部分成功", "部分成功：部分文件生成失败"),
}


@pytest.mark.parametrize(("language", "dark"), [("en", False), ("zh", True)])
@pytest.mark.parametrize(("state", "shown"), [("completed", ("Completed", "已完成")), ("failed", ("Failed", "失败"))])
def test_a_partial_result_says_so_above_the_files_that_were_made(
    ui: Ui, open_page: OpenPage, state: str, shown: tuple[str, str], language: str, dark: bool
) -> None:
    page = open_page(ui.task("image_set"), dark=dark, language=language, before=partially(state))

    mark, title = PARTIAL[language]
    for text in (mark, title, shown[language == "zh"], "image_failed: 4 张图片中有 2 张生成失败"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^(Image|图片) 1$"))).to_be_visible()
    assert serious_findings(page, our_part(page, "images-3s-5x-sandals")) == []


@pytest.mark.parametrize(("language", "dark"), [("en", False), ("zh", True)])
def test_a_partial_result_is_marked_on_the_page(ui: Ui, open_page: OpenPage, language: str, dark: bool) -> None:
    page = open_page(ui.page, dark=dark, language=language, before=partially("completed"))

    mark, _ = PARTIAL[language]
    expect(page.get_by_role("listitem").get_by_text(mark, exact=True).first).to_be_visible()
    page.get_by_role("button", name="表格" if language == "zh" else "Table").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="image_set", exact=True))
    expect(row.get_by_text(mark, exact=True)).to_be_visible()
    assert serious_findings(page, our_part(page, "SeeAny 结果" if language == "zh" else "SeeAny results")) == []


def test_a_download_lists_its_copies_and_is_no_result_on_the_page(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("kept"))

    expect(page.get_by_text("2 files", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile("^file://.*/kept/video-3s-red-shoes/video.mp4$"))).to_be_visible()
    expect(page.get_by_text("Completed", exact=True)).to_be_visible()
    page = open_page(ui.page)
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="kept", exact=True)).to_have_count(0)


def test_a_download_that_failed_says_why(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("lost"))

    reasons = page.get_by_role("list", name="Reasons").get_by_role("listitem")
    expect(reasons).to_have_text([re.compile(f"^video-3s-red-shoes: {file}: .*private") for file in FILES])


def test_a_download_that_never_began_says_why(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        view = route.fetch().json()
        view["download"] |= {"files": 0, "failed": 0, "failures": [], "reason": "The path 'gopher://b' cannot be used"}
        route.fulfill(json=view)

    page = open_page(ui.task("lost"), before=lambda page: page.route("**/seeany/api/dags/**", respond))
    expect(page.get_by_role("list", name="Reasons")).to_have_text("The path 'gopher://b' cannot be used")


FILES = ("video", "thumbnail")
DOWNLOADS = {
    "en": ("3 of 4 files · 1.5 MiB", "Only 2 of 3 are listed.", "The download failed", "Only 1 of 2 are listed."),
    "zh": ("3 / 4 个文件 · 1.5 MiB", "仅列出 3 个中的 2 个。", "下载失败", "仅列出 2 个中的 1 个。"),
}


@pytest.mark.parametrize(("language", "dark"), [("en", False), ("zh", True)])
@pytest.mark.parametrize("state", ["downloading", "completed", "failed"])
def test_a_download_shows_how_far_it_is_and_then_its_copies(
    ui: Ui, open_page: OpenPage, state: str, language: str, dark: bool
) -> None:
    paths = ["s3://studio/autumn/vid_1/video.mp4", "s3://studio/autumn/vid_2/video.mp4"]
    download = {"files": 3, "total": 4, "size": 3 << 19, "failed": 0, "folder": None, "paths": [], "failures": []}
    if state != "downloading":
        download |= {"folder": "s3://studio/autumn", "paths": paths}
    if state == "failed":
        download |= {"failed": 2, "failures": [{"id": "vid_3", "reason": "video: HTTP 404"}]}

    def respond(route: Route) -> None:
        view = route.fetch().json()
        result = {**view["result"], "state": state, "seeany_task_id": None, "percent": 81.5}
        route.fulfill(json={**view, "result": result, "download": download})

    page = open_page(
        ui.task("finished"),
        dark=dark,
        language=language,
        before=lambda page: page.route("**/seeany/api/dags/**", respond),
    )

    under_way, listed, title, failures = DOWNLOADS[language]
    if state == "downloading":
        expect(page.get_by_text(under_way, exact=True)).to_be_visible()
        bar = page.get_by_label("进度" if language == "zh" else "Progress").first
        expect(bar).to_have_attribute("aria-valuenow", "81.5")
    else:
        for text in ("1.5 MiB", "s3://studio/autumn", *paths, listed):
            expect(page.get_by_text(text, exact=True)).to_be_visible()
        expect(page.get_by_role("link", name=re.compile("video.mp4"))).to_have_count(0)
    expect(page.get_by_text(title, exact=True)).to_have_count(1 if state == "failed" else 0)
    for text in (failures, "vid_3: video: HTTP 404"):
        expect(page.get_by_text(text, exact=True)).to_have_count(1 if state == "failed" else 0)
    assert serious_findings(page, our_part(page, "SeeAny")) == []


def test_a_batch_marks_and_counts_partial_results(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        view = route.fetch().json()
        view["result"]["partial"] = 1
        view["batch"][7] |= {"is_partial": True}
        view["batch"][8] |= {"is_partial": True, "url": "https://cdn.example/1.jpg", "results": 2}
        route.fulfill(json=view)

    page = open_page(
        ui.task("batch"),
        before=lambda page: page.route("**/seeany/api/dags/**", respond),
        expected_error="Failed to load resource",
    )
    expect(page.get_by_text("8 of 9 completed, 1 of them in part, 1 failed · ¥5.50")).to_be_visible()
    accepted = page.get_by_role("row").filter(has_text="images-0s-3x-sneaker-8")
    expect(accepted.get_by_text("Partial", exact=True)).to_be_visible()
    failed = page.get_by_role("row").filter(has_text="fails-0s-sneaker-9")
    expect(failed.get_by_text("Partial", exact=True)).to_be_visible()
    expect(failed.get_by_role("link", name="2 files")).to_be_visible()
    expect(failed.get_by_text("生成内容违反内容安全策略")).to_be_visible()


def test_a_batch_is_a_table_with_totals_in_chinese_too(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("batch"), language="zh")

    expect(page.get_by_text("已完成 8 / 9，失败 1 · ¥5.50")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(10)
    images = page.get_by_role("row").filter(has_text="images-0s-3x-sneaker-8").get_by_role("link", name="3 个文件")
    expect(images).to_have_attribute("href", re.compile(r"/image-1\.jpg$"))
    picture(page, "ui-tab-batch-zh")


def test_a_batch_counts_the_same_on_tab_and_page(ui: Ui, open_page: OpenPage) -> None:
    expect(open_page(ui.task("batch")).get_by_text("8 of 9 completed, 1 failed · ¥5.50")).to_be_visible()
    page = open_page(ui.page)

    page.get_by_role("button", name="Table").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="batch", exact=True))
    expect(row.get_by_text("8 of 9 completed, 1 failed", exact=True)).to_be_visible()


def test_a_batch_that_failed_lists_all_of_it(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("refused"))

    expect(page.get_by_text("30 of 30 SeeAny tasks failed", exact=True)).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(31)


def test_a_batch_that_failed_lists_what_was_completed_and_cost_money(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("mixed"))

    expect(page.get_by_text("2 of 3 completed, 1 failed · ¥1.10")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(4)
    video = page.get_by_role("row").filter(has_text="video-0s-heel")
    expect(video.get_by_text("¥0.70")).to_be_visible()
    expect(video.get_by_role("link", name="Open original")).to_be_visible()
    # A video, and an image set of two.
    expect(page.get_by_role("button", name="Copy all 3 URLs")).to_be_visible()


def test_a_failed_batch_shows_how_many_tasks_are_not_listed_and_how_many_are_not_done(
    ui: Ui, open_page: OpenPage
) -> None:
    def truncate(page: Page) -> None:
        page.route("**/seeany/api/dags/**", respond)

    def respond(route: Route) -> None:
        view = route.fetch().json()
        view["result"]["total"] = 35
        route.fulfill(json={**view, "batch": view["batch"][:20]})

    page = open_page(ui.task("refused"), before=truncate)
    expect(page.get_by_text("0 of 35 completed, 30 failed, 5 not done")).to_be_visible()
    expect(page.get_by_text("Only 20 of 30 are listed.")).to_be_visible()


@pytest.mark.parametrize("task_id", ["poking", "under_way"])
def test_a_wait_shows_since_when_until_when_and_when_it_polls_next(ui: Ui, open_page: OpenPage, task_id: str) -> None:
    page = open_page(ui.task(task_id))

    expect(page.get_by_text(re.compile(r"^\d+ %$"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^00:\d\d:\d\d$")).first).to_be_visible()
    # A worker that waits publishes when it polls next, a trigger only where Airflow lets it.
    next_poll = ["Next poll"] if AIRFLOW_V_3_3_PLUS or task_id == "poking" else []
    for name in ("Waiting for", "Gives up at", *next_poll, "Last update"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()


def test_a_task_that_did_not_run_did_not_wait(ui: Ui, open_page: OpenPage) -> None:
    expect(open_page(ui.task("passed_over")).get_by_text("This task did not wait")).to_be_visible()


def test_times_use_the_time_zone_chosen_in_airflow(ui: Ui, open_page: OpenPage) -> None:
    def choose(page: Page) -> None:
        page.add_init_script("localStorage.setItem('timezone', JSON.stringify('Asia/Kolkata'))")

    shown = open_page(ui.task("finished"), before=choose, is_first_visit=True).locator("dd time")
    (finished,) = [each for each in ui.airflow.client.task_instances(ui.run) if each.task_id == "finished"]
    assert finished.end is not None
    assert abs(datetime.fromisoformat(f"{shown.inner_text()}+05:30") - finished.end) < timedelta(minutes=1)


HTTP_ERRORS = [
    (500, "{}", "Airflow responded with HTTP 500."),
    (401, '{"detail": "Token Expired"}', "You are signed out."),
    (403, '{"detail": "Invalid JWT token"}', "You are signed out."),
    (403, '{"detail": "Forbidden"}', "You may not read this."),
    (404, '{"detail": "…"}', "This task instance does not exist."),
]


@pytest.mark.parametrize(("status", "body", "shown"), HTTP_ERRORS)
def test_an_http_error_is_shown(ui: Ui, open_page: OpenPage, status: int, body: str, shown: str) -> None:
    def break_down(page: Page) -> None:
        page.route("**/seeany/api/**", lambda route: route.fulfill(status=status, body=body))

    page = open_page(ui.task("finished"), before=break_down, expected_error="Failed to load resource")
    expect(page.get_by_role("alert").get_by_text(shown)).to_be_visible()


def test_progress_stops_when_polls_fail(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("under_way"), expected_error="Failed to load resource")
    expect(page.get_by_text(re.compile(r"^\d+ %$"))).to_be_visible(timeout=40_000)

    page.route("**/seeany/api/**", lambda route: route.abort())
    expect(page.get_by_role("alert").get_by_text("Airflow does not respond.")).to_be_visible()
    bar = page.locator("[aria-label=Progress] [data-part=range]")
    page.wait_for_timeout(1500)  # while the bar's animation may still run
    width = bar.evaluate("node => node.getBoundingClientRect().width")
    page.wait_for_timeout(3000)
    assert bar.evaluate("node => node.getBoundingClientRect().width") == width


def test_a_tab_that_was_left_does_not_poll(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("under_way"))
    expect(page.get_by_label("Progress").first).to_be_visible()

    page.get_by_role("link", name="Details", exact=True).click()
    expect(page.get_by_label("Progress")).to_have_count(0)
    requests: list[str] = []
    page.on("request", lambda request: "/seeany/api/" in request.url and requests.append(request.url))
    page.wait_for_timeout(7000)
    assert requests == []


ODD = "<img src=x onerror=alert(1)>" + "x" * 900


def test_unexpected_values_stay_text_and_break_nothing(ui: Ui, open_page: OpenPage) -> None:
    """Any DAG author can push any XCom."""

    def oddly(page: Page) -> None:
        page.on("dialog", lambda dialog: dialog.accept() or pytest.fail("a script ran"))
        page.route("**/seeany/api/dags/**", respond)

    def respond(route: Route) -> None:
        view = route.fetch().json()
        view["result"] |= {"at": 10**15, "conn_id": ODD, "seeany_task_id": ODD, "resolution": ODD, "duration": 1e9 / 3}
        view["result"]["cost"] = [{"unit": unit, "amount": "-1E+3"} for unit in ("credits", "ZZZ", "<b>", "JPY")]
        urls = (
            "http://host:99999/x.png",
            "http://a^b/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://h/?" + ODD,
        )
        view["batch"] = [
            {"id": f"{ODD}{index}", "state": "completed", "url": url, "other_urls": urls, "cost": None, "reason": None}
            for index, url in enumerate(urls)
        ]
        route.fulfill(json=view)

    page = open_page(ui.task("batch"), before=oddly, is_first_visit=True)
    expect(page.get_by_role("row")).to_have_count(6)
    assert page.get_by_role("table").get_by_role("link").count() == 1
    for text in ("-1,000.00 credits + -1,000.00 ZZZ + -1,000.00 <b> + -1,000.00 JPY", "333,333,333.33 s"):
        expect(page.get_by_text(text).first).to_be_visible()
    part = page.get_by_role("region", name="Batch").locator("xpath=ancestor::div[2]")
    assert part.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


ON_EVERY_OBJECT = ["constructor", "toString", "valueOf", "hasOwnProperty", "__proto__"]


def test_a_kind_of_error_that_another_dag_made_up_breaks_neither_page_nor_tab(ui: Ui, open_page: OpenPage) -> None:
    def made_up(kind: str) -> dict[str, Any]:
        error = {"error_kind": kind, "error_code": f"code {kind}", "error_message": None, "is_own_message": False}
        return {
            "state": "failed",
            "video_url": None,
            "thumbnail_url": None,
            "first_result": None,
            "total": None,
            **error,
        }

    def on_page(route: Route) -> None:
        response = route.fetch().json()
        response["results"] = [
            response["results"][0] | made_up(kind) | {"map_index": number, "cost": [{"unit": kind, "amount": "1"}]}
            for number, kind in enumerate(ON_EVERY_OBJECT)
        ]
        route.fulfill(json=response)

    def on_tab(route: Route) -> None:
        view = route.fetch().json()
        view["result"] |= made_up("constructor")
        route.fulfill(json=view)

    page = open_page(ui.page, before=lambda page: page.route("**/seeany/api/results?*", on_page))
    for kind in ON_EVERY_OBJECT:
        expect(page.get_by_text(f"code {kind}", exact=True)).to_be_visible()
        expect(page.get_by_text(f"1.00 {kind}", exact=True)).to_be_visible()
    page = open_page(ui.task("failed"), before=lambda page: page.route("**/seeany/api/dags/**", on_tab))
    expect(page.get_by_text("code constructor")).to_be_visible()


LONG = "x" * 200


def lines(cell: Locator) -> int:
    """Return on how many lines a text stands."""
    count: int = cell.evaluate(
        """node => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return new Set([...range.getClientRects()].map(each => Math.round(each.top))).size;
        }"""
    )
    return count


@pytest.mark.parametrize("phone", [False, True])
def test_names_in_a_batchs_table_stay_whole_and_long_ones_wrap(ui: Ui, open_page: OpenPage, phone: bool) -> None:
    def squeeze(page: Page) -> None:
        page.route("**/seeany/api/dags/**", respond)

    def respond(route: Route) -> None:
        view = route.fetch().json()
        for row in view["batch"][1:]:
            row |= {"url": None, "reason": "the service says why, in many words, " * 20}
        view["batch"][0]["id"] = LONG
        route.fulfill(json=view)

    page = open_page(ui.task("batch"), phone=phone, before=squeeze)
    table = page.get_by_role("region", name="Batch")
    assert lines(table.get_by_text("video-0s-sneaker-2", exact=True)) == 1
    assert lines(table.get_by_text("SeeAny task", exact=True)) == 1
    long = table.get_by_text(LONG)
    assert lines(long) > 1
    assert long.evaluate("node => node.scrollWidth <= node.clientWidth && node.clientWidth < innerWidth / 2")
    part = table.locator("xpath=ancestor::div[2]")
    assert part.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


def test_names_in_the_pages_table_stay_whole_and_long_ones_wrap(ui: Ui, open_page: OpenPage) -> None:
    def squeeze(page: Page) -> None:
        page.route("**/seeany/api/results**", respond)

    def respond(route: Route) -> None:
        found = route.fetch().json()
        found["results"] = found["results"][:3]
        for row, dag_id in zip(found["results"], ("video_named", "summer_2026", LONG), strict=True):
            row |= {"dag_id": dag_id, "task_id": "wait_for_video", "map_index": -1, "video_url": None}
            row |= {"first_result": None, "error_message": "the service says why, in many words, " * 20}
        found["results"][0]["conn_id"] = "seeany_of_the_studio"
        route.fulfill(json=found)

    page = open_page(f"{ui.page}?view=table", before=squeeze)
    table = page.get_by_role("region", name="Results")
    for text in ("video_named", "summer_2026", "seeany_of_the_studio", "Ended at"):
        assert lines(table.get_by_text(text, exact=True)) == 1, text
    assert lines(table.get_by_role("link", name="wait_for_video").first) == 1
    assert lines(table.get_by_text(LONG)) > 1
    part = page.locator(our_part(page, "SeeAny results"))
    assert part.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


def test_dags_that_have_no_bar_yet_are_counted_and_shown_on_demand(ui: Ui, open_page: OpenPage) -> None:
    def crowd(page: Page) -> None:
        page.route("**/seeany/api/summary**", respond)

    def respond(route: Route) -> None:
        group = {"conn_id": "studio", "state": "completed", "count": 1, "cost": [{"unit": "EUR", "amount": "2"}]}
        today = datetime.now(UTC).date()
        days = [str(today), str(today - timedelta(days=1))]
        groups = [group | {"dag_id": f"dag_{number}", "day": days[number % 2]} for number in range(9)]
        route.fulfill(json={"zone": "UTC", "groups": groups, "connections": []})

    spend = open_page(f"{ui.page}?spend=open", before=crowd).get_by_role("region", name="Cost EUR")
    expect(spend.locator("[data-name^=dag]")).to_have_count(5)
    # The scale: what the dearest day cost.
    expect(spend.locator("[data-top]")).to_have_text("€10.00")
    spend.get_by_role("button", name="and 4 more", exact=True).click()
    expect(spend.locator("[data-name^=dag]")).to_have_count(9)
    spend = open_page(f"{ui.page}?spend=open", before=crowd, language="zh").get_by_role("region", name="花费 EUR")
    expect(spend.get_by_text("另有 4 个", exact=True)).to_be_visible()


def test_the_spend_is_one_line_until_it_is_opened(ui: Ui, open_page: OpenPage) -> None:
    def respond(route: Route) -> None:
        amount = "50" if "until=" in route.request.url else "60"
        cost = [{"unit": "CNY", "amount": amount}]
        group = {"day": str(datetime.now(UTC).date()), "dag_id": "d", "conn_id": "c", "state": "completed", "count": 1}
        route.fulfill(json={"zone": "UTC", "groups": [{**group, "cost": cost}], "connections": []})

    page = open_page(ui.page, before=lambda page: page.route("**/seeany/api/summary**", respond))
    line = page.get_by_role("button", name="Spend, last 30 days: ¥60.00")
    expect(line).to_contain_text("Period before: ¥50.00 (+20%)")
    box = page.get_by_role("region", name="Spend").bounding_box()
    assert box is not None
    assert box["height"] < 60
    line.click()
    expect(page.get_by_role("region", name="Cost CNY").locator("[data-name]").first).to_be_visible()
    # A single day makes no chart.
    expect(page.locator("[data-bar]")).to_have_count(0)
    expect(page).to_have_url(f"{ui.page}?spend=open")


def test_a_mapped_task_shows_its_own_result(ui: Ui, open_page: OpenPage) -> None:
    expect(open_page(ui.task("colours", 1)).get_by_label("Video video-3s-green-shoes")).to_be_visible()


def test_a_foreign_task_gets_one_quiet_line(ui: Ui, open_page: OpenPage) -> None:
    expect(open_page(ui.task("foreign")).get_by_text("This task does not wait for SeeAny.")).to_be_visible()


def test_the_page_shows_results_spend_and_filters(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?spend=open")

    expect(page.get_by_text("Not your account's bill.")).to_be_visible()
    expect(page.locator("[data-bar]").first).to_be_attached()
    assert page.locator("[data-bar]").evaluate_all("bars => bars.filter(bar => bar.clientHeight > 3).length") > 5
    expect(page.get_by_role("region", name="Cost CNY")).to_contain_text("¥")
    expect(page.get_by_role("region", name="Cost USD")).to_contain_text("$")
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="colours [1]")).to_be_visible()
    assert serious_findings(page, our_part(page, "SeeAny results")) == []

    results = page.get_by_role("list", name="Results")
    # Each of these tasks has the name of the state that it is shown in.
    for state in ("failed", "retrying", "skipped"):
        page.get_by_label("State").select_option(state)
        expect(page.get_by_role("link", name=state, exact=True)).to_be_visible()
        expect(results.get_by_text(state.capitalize(), exact=True).first).to_be_visible()
        others = {"finished", "failed", "retrying", "skipped"} - {state}
        expect(page.get_by_role("link", name=re.compile(f"^({'|'.join(others)})$"))).to_have_count(0)
    page.get_by_label("State").select_option("")
    page.get_by_label("Connection").select_option("seeany_global")
    expect(page.get_by_role("region", name="Cost CNY")).to_have_count(0)
    page.get_by_label("Connection").select_option("")
    page.get_by_label("DAG", exact=True).select_option("weekly_campaign")
    expect(page.get_by_role("link", name="finished", exact=True)).to_have_count(0)
    page.get_by_label("Time").select_option("1")
    expect(page.get_by_text("No result matches these filters.")).to_be_visible()


@pytest.mark.parametrize("phone", [False, True])
def test_results_begin_on_the_first_screen(ui: Ui, open_page: OpenPage, phone: bool) -> None:
    page = open_page(ui.page, phone=phone)

    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="finished", exact=True))
    expect(card).to_be_visible()
    expect(page.get_by_role("region", name="Spend")).to_be_visible()
    if not phone:
        picture(page, "ui-page")
    top = page.get_by_role("list", name="Results").evaluate("node => node.getBoundingClientRect().top")
    assert top < (480 if phone else 420)


def test_a_card_and_a_row_lead_to_task_run_and_dag(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page)
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="finished", exact=True))
    expect(card.get_by_text(re.compile("^Copy: file:///.*/kept/video-3s-red-shoes/video.mp4"))).to_be_visible()
    expect(card.locator("time")).to_have_attribute("title", IN_UTC)

    page.get_by_role("button", name="Table", exact=True).click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="finished", exact=True))
    expect(row.locator("time")).to_have_attribute("title", IN_UTC)
    for name, path in (
        ("video-3s-red-shoes", ui.task("finished").removeprefix(ui.airflow.url)),
        ("shoe_videos", "/dags/shoe_videos"),
        ("autumn", "/dags/shoe_videos/runs/autumn"),
    ):
        link = row.get_by_role("link", name=name, exact=True)
        expect(link).to_have_attribute("href", re.compile(re.escape(path) + "$"))
    row.get_by_role("link", name="autumn", exact=True).click()
    expect(page).to_have_url(re.compile("/dags/shoe_videos/runs/autumn"))


def test_a_thumbnail_opens_the_tab(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?q=video-3s-red-shoes")

    image = page.get_by_role("list", name="Results").get_by_role("img")
    expect(image).to_have_count(1)
    box = image.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 20, box["y"] + 20)
    expect(page).to_have_url(ui.task("finished"))


def test_the_address_keeps_what_was_chosen(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?dag=weekly_campaign&view=table&sort=oldest")
    expect(page.get_by_label("DAG", exact=True)).to_have_value("weekly_campaign")
    expect(page.get_by_label("Sort by")).to_have_value("oldest")
    first = page.get_by_role("region", name="Results").get_by_role("row").nth(1).inner_text()

    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("Page 2", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_text("Page 2", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Table", exact=True)).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.get_by_text("Page 1", exact=True)).to_be_visible()
    row = page.get_by_role("region", name="Results").get_by_role("row").nth(1)
    expect(row).to_have_text(first, use_inner_text=True)
    page.get_by_label("DAG", exact=True).select_option("")
    page.get_by_label("Search").press_sequentially("video-3s-red-shoes", delay=60)
    assert focused(page) == "Search"
    expect(page.get_by_text("1–1 of 1", exact=True)).to_be_visible()
    expect(page).to_have_url(f"{ui.page}?view=table&sort=oldest&q=video-3s-red-shoes")
    page.get_by_label("Search").fill("nobody")
    page.get_by_role("button", name="Clear filters").click()
    expect(page).to_have_url(f"{ui.page}?view=table&sort=oldest")


def test_what_ended_while_the_first_page_was_open_moves_no_result_past_the_next_page(
    ui: Ui, open_page: OpenPage
) -> None:
    newest: list[int] = []

    def end_later(route: Route) -> None:
        response = route.fetch().json()
        newest.append(int(time.time()) + 600)
        response["results"][0]["at"] = newest[-1]
        route.fulfill(json=response)

    page = open_page(ui.page, before=lambda page: page.route("**/seeany/api/results?*", end_later))
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("Page 2", exact=True)).to_be_visible()
    assert int(page.evaluate("new URLSearchParams(location.search).get('until')")) > newest[0]


def test_pages_of_another_order_are_all_of_the_same_range(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?sort=highest_cost")
    expect(page.get_by_role("list", name="Results")).to_be_visible()
    ranges = []
    for number in (1, 2):
        with page.expect_response(re.compile(rf"/api/results\?.*offset={24 * (number - 1)}&")) as response:
            page.reload() if number == 1 else page.get_by_role("button", name="Next", exact=True).click()
        ranges.append(re.findall(r"(?:days|until)=\d+", response.value.url))
    assert len(ranges[0]) == 2
    assert ranges[0] == ranges[1]


def test_the_range_moves_with_the_clock_however_long_the_page_is_open(ui: Ui, open_page: OpenPage) -> None:
    requested: list[str] = []
    page = open_page(
        f"{ui.page}?days=7", before=lambda page: page.on("request", lambda request: requested.append(request.url))
    )
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()

    (lists,) = ([url for url in requested if f"/seeany/api/{name}?" in url] for name in ["results"])
    sums = [url for url in requested if "/seeany/api/summary?" in url and "until=" not in url]
    assert lists
    assert sums
    for url in (*lists, *sums):
        assert "days=7" in url
        assert not re.search(r"(since|until)=", url)


def test_a_page_beyond_the_last_one_is_the_last_one(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?page=9&q=shoe_videos")

    expect(page.get_by_text(re.compile(r"1–\d+ of \d+$"))).to_be_visible()
    expect(page).to_have_url(f"{ui.page}?q=shoe_videos")


def test_a_sorted_column_shows_the_dearest_first(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?view=table&connection=seeany_default")
    cost = page.get_by_role("columnheader", name="Cost")
    cost.get_by_role("button").click()
    expect(cost).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("region", name="Results").get_by_role("row").nth(1)).to_contain_text("¥5.50")
    cost.get_by_role("button").click()
    expect(cost).to_have_attribute("aria-sort", "ascending")


def test_what_is_filtered_is_exported(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?q=shoe_videos&state=completed&spend=open")

    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert download.value.suggested_filename == "seeany-results.csv"
    assert {line.split(",")[1] for line in lines[1:]} == {"completed"}
    assert {line.split(",")[3] for line in lines[1:]} == {"shoe_videos"}
    page.get_by_role("button", name="Copy all URLs").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    urls = page.evaluate("navigator.clipboard.readText()").splitlines()
    # Four videos, five images, and of a batch seven videos and three images.
    assert len(urls) == 4 + 5 + 7 + 3
    page.get_by_label("Search").fill("")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export sums as CSV").click()
    assert download.value.suggested_filename == "seeany-spend.csv"


def test_the_table_is_cards_on_a_phone(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?view=table", phone=True)

    expect(
        page.get_by_role("listitem").filter(has=page.get_by_role("link", name="finished", exact=True))
    ).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_text("生成内容违反内容安全策略").first).to_be_visible()
    expect(page.get_by_role("button", name="Filters (1)")).to_be_visible()


def test_the_page_is_used_by_keyboard_alone(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page)
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Spend")).to_be_visible()

    page.get_by_label("DAG", exact=True).focus()
    order = tab_to(page, "finished")
    wanted = ["Connection", "State", "Time", "Sort by", "Gallery", "Table", "Export CSV", "Copy all URLs", "finished"]
    assert list(dict.fromkeys(name for name in order if name in wanted)) == wanted
    page.wait_for_function("[...document.querySelectorAll('video')].some(video => !video.paused && video.muted)")

    # Two pages on and one back, without looking for the button again.
    tab_to(page, "Next", maximum=120)
    for number in (2, 3):
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"Page {number}")).to_be_visible()
        assert focused(page) == "Next"
        expect(page.get_by_role("navigation", name="Pages").get_by_role("button", name="Previous")).to_be_enabled()
        expect(page.get_by_role("list").get_by_role("link", name=re.compile("wait")).first).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.get_by_text("Page 2")).to_be_visible()

    page.get_by_label("Time").focus()
    tab_to(page, "Table")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Table")).to_have_attribute("aria-pressed", "true")
    # The page turned to is there first: while it loads, there is nothing to go to.
    expect(page.get_by_role("region", name="Results")).to_be_visible()
    tab_to(page, "Results")
    page.get_by_label("State").focus()
    page.keyboard.type("Fai")
    expect(page.get_by_role("region", name="Results").get_by_role("link", name="failed", exact=True)).to_be_visible()
    assert focused(page) == "State"
    tab_to(page, "failed")
    page.keyboard.press("Enter")
    expect(page.get_by_text("SeeAny's error: content_policy_violation")).to_be_visible()


def test_the_tab_is_used_by_keyboard_alone(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.task("finished"))
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")

    page.get_by_role("link", name="SeeAny", exact=True).focus()
    order = tab_to(page, "Copy URL")
    assert any(name.startswith("Video video-3s-red-shoes") for name in order)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page) == "Open original"
    page.locator("video").focus()
    page.keyboard.press("Space")
    page.wait_for_function("!document.querySelector('video').paused")


def test_a_picture_that_refuses_to_be_embedded_leaves_a_link_in_the_gallery(ui: Ui, open_page: OpenPage) -> None:
    def refuse(page: Page) -> None:
        page.route("**/files/**", lambda route: route.fulfill(status=200, content_type="text/html", body="no"))

    page = open_page(ui.page, before=refuse, expected_error="Failed to load resource", is_first_visit=True)

    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="finished", exact=True))
    expect(card.get_by_role("link", name="Open original")).to_have_attribute("href", re.compile(r"output\.mp4$"))


def test_the_page_is_no_longer_than_what_it_shows(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?spend=open", phone=True)

    expect(page.locator("[data-bar]").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")


def test_a_card_plays_under_the_pointer_and_leads_to_its_task(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page)

    link = page.get_by_role("link", name="finished", exact=True)
    link.hover()
    page.wait_for_function("[...document.querySelectorAll('video')].some(video => !video.paused && video.muted)")
    link.click()
    expect(page.get_by_label("Video video-3s-red-shoes")).to_be_visible()
    expect(page).to_have_url(ui.task("finished"))


def test_the_table_in_the_dark_and_in_chinese(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page, dark=True, language="zh")

    page.get_by_role("button", name="表格").click()
    expect(page.get_by_role("region", name="结果").get_by_role("columnheader", name="花费")).to_be_visible()
    expect(page.get_by_text(re.compile("花费，并非账户账单"))).to_be_visible()
    page.get_by_role("heading", name="结果", exact=True).scroll_into_view_if_needed()
    # Further down, a row names a folder of the machine that took the picture.
    picture(page, "ui-page-dark-zh", height=850)
    assert serious_findings(page, our_part(page, "SeeAny 结果")) == []


def test_it_fits_a_phone(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page, phone=True)

    expect(page.get_by_role("heading", name="SeeAny results")).to_be_visible()
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    part = page.locator(our_part(page, "SeeAny results"))
    assert part.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


def test_a_file_that_refuses_to_be_embedded_leaves_a_link(ui: Ui, open_page: OpenPage) -> None:
    def refuse(page: Page) -> None:
        page.route("**/output.mp4", lambda route: route.fulfill(status=200, content_type="text/html", body="no"))

    page = open_page(ui.task("finished"), before=refuse, is_first_visit=True)

    expect(page.get_by_text("Cannot be shown here.")).to_be_visible()
    expect(page.get_by_role("link", name="Open original").first).to_have_attribute("href", re.compile("output.mp4"))


def test_nothing_is_loaded_from_elsewhere_but_the_results(ui: Ui, open_page: OpenPage) -> None:
    loaded: set[tuple[str, str]] = set()

    def note(page: Page) -> None:
        page.on("request", lambda request: loaded.add((request.resource_type, request.url.split("/")[2])))

    page = open_page(ui.page, before=note, is_first_visit=True)
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth && image.src.includes('/files/'))")

    own = ui.airflow.url.split("/")[2]
    assert {kind for kind, host in loaded if host != own} == {"image"}
