"""Very many records, files and rows of one task instance: a response has a maximum, and says what it leaves out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from airflow_provider_seeany.web.results.batch import MAX_FILES_LISTED
from airflow_provider_seeany.web.results.pages import MAX_LISTED
from airflow_provider_seeany.xcoms.record import BatchCounts
from tests.copies import settle
from tests.web.conftest import TASK, ClientOf
from tests.web.results.history import NOON, fill, fill_one_task_instance, push_foreign, record

MAX_SIZE = 200_000
"""Maximum number of characters of a response."""

MANY_DAYS = 90 * 24 * 3600


@pytest.mark.parametrize("count", [12_000, pytest.param(120_000, marks=pytest.mark.large)])
def test_very_many_records_of_one_task_instance_are_listed_page_by_page(
    client_of: ClientOf, session: Session, count: int
) -> None:
    run_id = fill_one_task_instance(session, count)
    settle(session)
    client = client_of("admin")
    since = {"since": int(time.time()) - MANY_DAYS}

    for order in ("newest", "oldest", "highest_cost"):
        response = client.get("/api/results", params={**since, "order": order, "limit": 200})
        assert len(response.text) < MAX_SIZE
        found = response.json()
        assert (len(found["results"]), found["total"]) == (200, MAX_LISTED + 1)
    last = client.get("/api/results", params={**since, "offset": MAX_LISTED - 24})
    assert len(last.json()["results"]) == 24
    assert client.get("/api/results", params={**since, "offset": MAX_LISTED + 1}).status_code == 422

    summary = client.get("/api/summary", params=since)
    assert len(summary.text) < MAX_SIZE
    assert sum(group["count"] for group in summary.json()["groups"]) == count
    tab = client.get(TASK.format("dag_0", run_id, 0))
    assert len(tab.text) < 2000
    assert tab.json()["result"]["seeany_task_id"] == "video-0s-history-1"
    # What is exported is complete, however much that is.
    lines = client.get("/api/results.csv", params=since).text.splitlines()
    assert len(lines) == 1 + count
    session.execute(text("DELETE FROM xcom"))
    session.commit()


def test_the_tab_lists_the_first_files_of_very_many_and_says_how_many_there_are(
    client_of: ClientOf, session: Session
) -> None:
    urls = [f"https://cdn.example/{number}.jpg" for number in range(50_000)]
    fill(session, [record(NOON - 60, video_url=None, results=len(urls))], dag_ids=["dag_0"])
    push_foreign(session, "result_urls", urls, map_index=0)
    (row,) = client_of("admin").get("/api/results").json()["results"]

    view = client_of("admin").get(TASK.format("dag_0", row["run_id"], 0)).json()
    assert view["result_urls"] == urls[:MAX_FILES_LISTED]
    assert view["result"]["results"] == len(urls)


@pytest.mark.parametrize("rows", ["tasks", "failures"])
def test_no_text_of_a_batch_is_longer_than_a_wait_makes_it(client_of: ClientOf, session: Session, rows: str) -> None:
    batch: dict[str, Any] = {rows: [{"id": "x" * 100_000, "reason": "y" * 100_000}]}
    fill(session, [record(NOON - 60, batch=BatchCounts(total=1, completed=1))], dag_ids=["dag_0"])
    push_foreign(session, "return_value", batch, map_index=0)
    (row,) = client_of("admin").get("/api/results").json()["results"]

    response = client_of("admin").get(TASK.format("dag_0", row["run_id"], 0))
    assert len(response.json()["batch"]) == 1
    assert len(response.text) < 5000
