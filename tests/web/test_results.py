"""The routes of the UI: who may read what, what they answer, and how long that takes with many results."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from airflow_provider_seeany.results import queries
from tests.results.history import DAY, fill, record
from tests.web.conftest import DAGS

ClientOf = Callable[[str | None], TestClient]
TASK = "/api/dags/{}/task?run_id={}&task_id=wait&map_index={}"
ROUTES = ["/api/results", "/api/summary", TASK.format("dag_0", "x", 0)]


@pytest.mark.parametrize("route", ROUTES)
def test_who_is_not_signed_in_reads_nothing(client_of: ClientOf, route: str) -> None:
    assert client_of(None).get(route).status_code == 401


def test_a_user_never_sees_rows_of_a_dag_that_the_user_may_not_read(client_of: ClientOf, session: Session) -> None:
    now = time.time()
    fill(session, [record(now - 60, number=n) for n in range(40)], dag_ids=["dag_0", "dag_1"])

    for name in ("dag_0", "dag_1"):
        client = client_of(name)
        assert {row["dag_id"] for row in client.get("/api/results?limit=100").json()["results"]} == {name}
        assert {row["dag_id"] for row in client.get("/api/summary").json()["groups"]} == {name}
    assert {row["dag_id"] for row in client_of("admin").get("/api/results?limit=100").json()["results"]} == {
        "dag_0",
        "dag_1",
    }
    other = client_of("dag_1")
    assert other.get("/api/results?dag_id=dag_0").status_code == 403
    assert other.get("/api/summary?dag_id=dag_0").status_code == 403
    row = client_of("dag_0").get("/api/results").json()["results"][0]
    assert client_of("dag_0").get(TASK.format("dag_0", row["run_id"], row["map_index"])).status_code == 200
    assert other.get(TASK.format("dag_0", row["run_id"], row["map_index"])).status_code == 403


def test_pages_follow_each_other_without_a_gap_or_a_double(client_of: ClientOf, session: Session) -> None:
    now = int(time.time())
    # Many end in the same second, so that the moment alone would not tell where a page begins.
    fill(session, [record(now - 60 - n // 25, number=n) for n in range(100)], dag_ids=["dag_0", "dag_1"])
    client = client_of("admin")

    seen: list[dict[str, object]] = []
    before = None
    for _ in range(20):
        answer = client.get("/api/results", params={"limit": 7, **({"before": before} if before else {})}).json()
        seen += answer["results"]
        if (before := answer["next"]) is None:
            break
    assert sorted(str(row["seeany_task_id"]) for row in seen) == sorted(f"video-0s-history-{n}" for n in range(100))
    assert [row["at"] for row in seen] == sorted((row["at"] for row in seen), key=int, reverse=True)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"state": "failed"}, {1}),
        ({"conn_id": "studio"}, {2}),
        ({"dag_id": "dag_0"}, {0, 1, 2, 3}),
        ({"dag_id": "dag_1"}, set()),
        ({"state": "waiting"}, set()),
        ({"since": "days_ago"}, {0, 1, 2}),
        ({"until": "days_ago"}, {3}),
    ],
)
def test_filters_filter(client_of: ClientOf, session: Session, asked: dict[str, str], expected: set[int]) -> None:
    now = int(time.time())
    records = [
        record(now - 60, number=0),
        record(now - 70, number=1, state="failed"),
        record(now - 80, number=2, conn_id="studio"),
        record(now - 9 * DAY, number=3),
    ]
    fill(session, records, dag_ids=["dag_0"])
    parameters = {name: now - 5 * DAY if value == "days_ago" else value for name, value in asked.items()}

    rows = client_of("admin").get("/api/results", params=parameters).json()["results"]
    assert {int(row["seeany_task_id"].rpartition("-")[2]) for row in rows} == expected


def test_money_is_added_up_exactly_and_each_currency_for_itself(client_of: ClientOf, session: Session) -> None:
    noon = int(time.time()) // DAY * DAY - DAY // 2
    records = [record(noon, number=n, cost={"CNY": "0.1"}) for n in range(3)]
    records += [record(noon, number=9, cost={"USD": "0.2"}), record(noon, number=10, state="failed", cost={})]
    fill(session, records, dag_ids=["dag_0"])

    groups = client_of("admin").get("/api/summary").json()["groups"]
    money = [money for group in groups for money in group["cost"]]
    assert sorted((each["unit"], each["amount"]) for each in money) == [("CNY", "0.3"), ("USD", "0.2")]


def test_a_task_that_was_waited_for_twice_is_paid_once(client_of: ClientOf, session: Session) -> None:
    at = time.time() - 60
    fill(session, [record(at, number=1), record(at, number=1)], dag_ids=["dag_0"])

    (group,) = client_of("admin").get("/api/summary").json()["groups"]
    assert (group["count"], group["cost"]) == (1, [{"unit": "CNY", "amount": "0.7"}])


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("UTC", "2026-11-23T16:30:00+00:00", "2026-11-23"),
        ("Asia/Shanghai", "2026-11-23T16:30:00+00:00", "2026-11-24"),
        ("Asia/Kolkata", "2026-11-23T18:29:00+00:00", "2026-11-23"),
        # Before and after the clocks were put back on the first of November.
        ("America/New_York", "2026-10-24T04:30:00+00:00", "2026-10-24"),
        ("America/New_York", "2026-11-24T04:30:00+00:00", "2026-11-23"),
    ],
)
def test_days_are_those_of_the_viewer(session: Session, zone: str, moment: str, day: str) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    at = int(datetime.fromisoformat(moment).timestamp())
    fill(session, [record(at)], dag_ids=["dag_0"])
    filters = queries.Filters(since=at - 40 * DAY, until=at + 40 * DAY)

    (group,) = queries.groups(session, readable=DAGS, filters=filters, zone=ZoneInfo(zone))
    assert group.day.isoformat() == day
    assert group.cost == [queries.Money("CNY", Decimal("0.7"))]


def test_what_anybody_pushed_under_a_key_of_ours_becomes_neither_a_link_nor_an_error(
    client_of: ClientOf, session: Session
) -> None:
    now = time.time()
    bad = record(now - 60, number=1, video_url="javascript:alert(1)", thumbnail_url="file:///etc/passwd")
    fill(session, [bad, record(now - 50, number=2)], dag_ids=["dag_0"])
    session.execute(
        text("UPDATE xcom SET value = '{\"state\": 7}' WHERE key LIKE '\\_seeany\\_%' ESCAPE '\\' AND map_index = 1")
    )
    session.commit()

    (row,) = client_of("admin").get("/api/results").json()["results"]
    assert (row["video_url"], row["thumbnail_url"]) == (None, None)


def test_a_wait_that_has_ended_shows_all_of_it(client_of: ClientOf, session: Session) -> None:
    at = int(time.time()) - 60
    fill(session, [record(at)], dag_ids=["dag_0"])
    row = client_of("admin").get("/api/results").json()["results"][0]

    view = client_of("admin").get(TASK.format("dag_0", row["run_id"], 0)).json()
    assert (view["is_seeany"], view["result"]["state"], view["result"]["at"]) == (True, "completed", at)
    assert view["result"]["cost"] == [{"unit": "CNY", "amount": "0.7"}]
    assert client_of("admin").get(TASK.format("dag_0", row["run_id"], 5)).status_code == 404


def test_the_modules_are_served_and_revalidated(client_of: ClientOf) -> None:
    answer = client_of(None).get("/static/seeany.js")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.fixture
def many(session: Session) -> None:
    now = int(time.time())
    for start in range(0, 100_000, 10_000):
        records = [record(now - 60 - number * 25, number=number) for number in range(start, start + 10_000)]
        fill(session, records, dag_ids=DAGS, other_xcoms=3)


PLANS = {
    "newest": ({}, None),
    "one DAG": ({"dag_id": "dag_7"}, None),
    "one connection": ({"conn_id": "seeany_default"}, None),
    "far back": ({}, 20),
}


def test_a_page_takes_less_than_200_ms_with_100_000_results(
    client_of: ClientOf, session: Session, many: None, capsys: pytest.CaptureFixture[str]
) -> None:
    client = client_of("admin")
    client.get("/api/results")
    took: dict[str, float] = {}
    for name, (parameters, days_back) in PLANS.items():
        until = {} if days_back is None else {"until": int(time.time()) - days_back * DAY}
        begin = time.perf_counter()
        answer = client.get("/api/results", params={**parameters, **until})
        took[name] = time.perf_counter() - begin
        assert len(answer.json()["results"]) == 24
    begin = time.perf_counter()
    assert client.get("/api/summary").json()["groups"]
    took["summary of 30 days"] = time.perf_counter() - begin
    explain = "EXPLAIN QUERY PLAN" if session.get_bind().dialect.name == "sqlite" else "EXPLAIN"
    rows = session.execute(
        text(
            f"{explain} SELECT value FROM xcom "
            "WHERE key >= '_seeany_2' AND key < '_seeany_3' ORDER BY key DESC LIMIT 25"
        )
    ).all()
    plan = [row[-1] for row in rows]
    with capsys.disabled():
        print({name: f"{seconds * 1000:.0f} ms" for name, seconds in took.items()}, plan)
    assert "idx_xcom_key" in " ".join(plan)
    assert max(seconds for name, seconds in took.items() if name in PLANS) < 0.2
