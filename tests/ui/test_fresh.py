"""What the page shows in an Airflow in which nothing has waited yet. `conftest.py` lets these tests run first."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from local_airflow import LocalAirflow
from tests.ui.accessible import our_part, serious_findings
from tests.ui.conftest import OpenPage, has_tab_and_page

pytestmark = [pytest.mark.ui, has_tab_and_page]


def test_a_fresh_airflow_shows_how_to_begin(airflow: LocalAirflow, open_page: OpenPage) -> None:
    page = open_page(f"{airflow.url}/plugin/seeany")

    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    expect(page.get_by_text("Add this DAG and run it.")).to_be_visible()
    expect(page.get_by_role("link", name="To the connections")).to_have_count(0)
    page.get_by_role("button", name="Copy DAG").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    compile(page.evaluate("navigator.clipboard.readText()"), "dag.py", "exec")
    assert serious_findings(page, our_part(page, "SeeAny results")) == []
    page.get_by_label("Time").select_option("1")
    expect(page.get_by_text("No result matches these filters.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()


def test_an_airflow_without_a_connection_leads_to_the_connections(airflow: LocalAirflow, open_page: OpenPage) -> None:
    def disconnect(page: Page) -> None:
        page.route("**/seeany/api/setup", lambda route: route.fulfill(json={"has_connection": False}))

    page = open_page(f"{airflow.url}/plugin/seeany", before=disconnect)
    expect(page.get_by_text("Add a connection of type SeeAny, then this DAG.")).to_be_visible()
    page.get_by_role("link", name="To the connections").click()
    expect(page.get_by_role("button", name="Add Connection")).to_be_visible()
    expect(page).to_have_url(f"{airflow.url}/connections")
