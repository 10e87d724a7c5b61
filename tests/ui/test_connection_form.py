"""The form of a connection, in a real browser on a real Airflow."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS
from playwright.sync_api import Page, expect

from local_airflow import LocalAirflow
from tests.ui.conftest import OpenPage

pytestmark = pytest.mark.ui

# Airflow 3.1 shows the values alone.
V1, DEVELOPER = ("v1 (/v1/tasks)", "developer (/api/developer)") if AIRFLOW_V_3_2_PLUS else ("v1", "developer")


def fill_in_connection(page: Page, conn_id: str) -> None:
    """Open the form for a new connection, and fill in what is required."""
    page.get_by_role("button", name="Add Connection").click()
    page.get_by_label("Connection ID").fill(conn_id)
    page.get_by_role("dialog").get_by_role("combobox").first.click()
    page.keyboard.type("SeeAny")
    page.get_by_role("option", name=re.compile("SeeAny|seeany")).click()
    key = page.get_by_placeholder("sk-…")
    key.fill("sk-by-hand")
    assert key.get_attribute("type") == "password"


def saved_connection(airflow: LocalAirflow, page: Page, conn_id: str) -> dict[str, Any]:
    """Save the form, and return the connection."""
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(conn_id).first).to_be_visible()
    stored: dict[str, Any] = airflow.client.request("GET", f"/connections/{conn_id}")
    return stored | {"extra": json.loads(stored["extra"])}


def test_the_connection_form_saves_with_just_a_key(airflow: LocalAirflow, open_page: OpenPage) -> None:
    page = open_page(f"{airflow.url}/connections")

    fill_in_connection(page, "seeany_by_hand")
    stored = saved_connection(airflow, page, "seeany_by_hand")

    assert stored["conn_type"] == "seeany"
    assert not stored["host"]
    assert stored["extra"] == {"api": "v1", "request_timeout": 30}


def test_the_connection_form_offers_both_apis_and_saves_the_chosen_one(
    airflow: LocalAirflow, open_page: OpenPage
) -> None:
    page = open_page(f"{airflow.url}/connections")

    fill_in_connection(page, "seeany_developer")
    page.get_by_role("button", name="Extra Fields", exact=True).click()
    choice = page.locator("[id=element_api], [id='select:element_api']")  # the second in Airflow 3.1
    expect(choice).to_contain_text(V1)
    choice.get_by_role("combobox").click()
    page.get_by_role("option", name=DEVELOPER).click()

    assert saved_connection(airflow, page, "seeany_developer")["extra"]["api"] == "developer"
