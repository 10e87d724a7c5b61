"""Page and tab for those who use a screen reader or no mouse: in every state, in both themes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.accessible import focused, our_part, serious_findings_in_both_themes, tab_to
from tests.ui.conftest import OpenPage, Ui, has_tab_and_page

pytestmark = [pytest.mark.ui, has_tab_and_page]

TABS = {
    "finished": ("video-3s-red-shoes", "Completed"),
    "under_way": ("video-900s-winter-boots", "Waiting"),
    "failed": ("fails-3s-forbidden", "Failed"),
    "timed_out": ("never-slippers", "Timed out"),
    "image_set": ("images-3s-5x-sandals", "Completed"),
    "batch": ("Batch", "Completed"),
    "refused": ("Batch", "Failed"),
    "kept": ("SeeAny", "Completed"),
    "lost": ("SeeAny", "Failed"),
}


@pytest.mark.parametrize("task_id", TABS)
def test_a_tab_has_no_serious_violation(ui: Ui, open_page: OpenPage, task_id: str) -> None:
    heading, state = TABS[task_id]
    page = open_page(ui.task(task_id))

    expect(page.get_by_text(state, exact=True).first).to_be_visible()
    assert serious_findings_in_both_themes(page, our_part(page, heading)) == []


PAGES = {
    "gallery": ("", "link", "finished"),
    "table": ("?view=table", "columnheader", "Cost"),
    "spend": ("?spend=open", "link", "Export sums as CSV"),
    "no match": ("?q=nobody", "button", "Clear filters"),
}


@pytest.mark.parametrize("shown", PAGES)
def test_the_page_has_no_serious_violation(ui: Ui, open_page: OpenPage, shown: str) -> None:
    query, role, name = PAGES[shown]
    page = open_page(f"{ui.page}{query}")

    expect(page.get_by_role(role, name=name).first).to_be_visible()  # type: ignore[arg-type]
    assert serious_findings_in_both_themes(page, our_part(page, "SeeAny results")) == []


def test_what_opens_by_key_keeps_the_focus(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(ui.page)
    line = page.get_by_role("button", name=re.compile("^Spend, last 30 days"))
    expect(line).to_be_visible()

    page.get_by_label("Sort by").focus()
    name = line.inner_text().split("\n")[0]
    page.keyboard.press("Tab")
    assert focused(page).startswith(name[:5])
    for is_open in ("true", "false"):
        page.keyboard.press("Enter")
        expect(line).to_have_attribute("aria-expanded", is_open)
        expect(line).to_be_focused()


def test_a_search_is_given_up_by_escape_and_the_focus_stays(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?q=nobody")
    expect(page.get_by_text("No result matches these filters.")).to_be_visible()

    search = page.get_by_label("Search")
    search.focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()
    expect(search).to_be_focused()


def test_the_browsers_back_returns_from_a_result_to_the_list(ui: Ui, open_page: OpenPage) -> None:
    page = open_page(f"{ui.page}?q=video-3s-red-shoes")
    expect(page.get_by_role("link", name="finished", exact=True)).to_be_visible()

    page.get_by_label("Search").focus()
    tab_to(page, "finished")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Video video-3s-red-shoes")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search")).to_have_value("video-3s-red-shoes")
