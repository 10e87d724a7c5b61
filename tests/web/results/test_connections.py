"""Which connections the page offers, and what it tells of them to whom."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from airflow.models.connection import Connection
from sqlalchemy import delete
from sqlalchemy.orm import Session

from tests.web.conftest import TASK, ClientOf
from tests.web.results.history import fill, record


@pytest.fixture
def _no_connections(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT", raising=False)
    session.execute(delete(Connection))
    session.commit()
    yield
    session.execute(delete(Connection))
    session.commit()


def store(session: Session, conn_id: str, conn_type: str = "seeany") -> None:
    session.add(Connection(conn_id=conn_id, conn_type=conn_type, password="sk-secret"))
    session.commit()


@pytest.mark.usefixtures("_no_connections")
def test_an_airflow_without_results_knows_whether_it_has_a_connection(client_of: ClientOf, session: Session) -> None:
    client = client_of("admin")
    store(session, "web", "http")
    assert client.get("/api/setup").json() == {"has_connection": False}
    store(session, "studio")
    assert client.get("/api/setup").json() == {"has_connection": True}


@pytest.mark.usefixtures("_no_connections")
@pytest.mark.parametrize("value", ["seeany://:sk-secret@host", '{"conn_type": "seeany", "password": "sk-secret"}'])
def test_a_connection_in_the_environment_counts(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STUDIO", value)

    assert client_of("admin").get("/api/setup").json() == {"has_connection": True}


@pytest.mark.usefixtures("_no_connections")
def test_a_misspelt_connection_is_no_choice_and_one_that_only_failed_is(client_of: ClientOf, session: Session) -> None:
    now = time.time()
    failures = [record(now - 60, number=n, conn_id=name, state="failed") for n, name in enumerate(("sutdio", "studio"))]
    fill(session, [*failures, record(now - 70, number=3, conn_id="old")], dag_ids=["dag_0"])
    store(session, "studio")

    assert client_of("admin").get("/api/summary").json()["connections"] == ["old", "studio"]


@pytest.mark.usefixtures("_no_connections")
@pytest.mark.parametrize(("name", "is_told"), [("admin", True), ("dag_0", False)])
def test_only_who_may_read_connections_is_told_their_names(
    client_of: ClientOf, session: Session, name: str, is_told: bool
) -> None:
    store(session, "studio")
    now = time.time()
    records = [
        record(now - 60, number=1, conn_id="studio", cost={"CNY": "0.1"}),
        record(now - 61, number=2, conn_id="other_studio", cost={"CNY": "0.2", "USD": "1"}),
    ]
    fill(session, records, dag_ids=["dag_0"])
    client = client_of(name)

    assert client.get("/api/setup").json() == {"has_connection": True if is_told else None}
    (row, _) = client.get("/api/results").json()["results"]
    paths = ["results", "results.csv", "summary", "summary.csv"]
    for path in (*(f"/api/{path}" for path in paths), TASK.format("dag_0", row["run_id"], row["map_index"])):
        assert ("studio" in client.get(path).text) == is_told, path
    # Nor by trying names until one brings results.
    for path in paths:
        assert client.get(f"/api/{path}?conn_id=studio").status_code == (200 if is_told else 403), path


@pytest.mark.usefixtures("_no_connections")
def test_sums_without_names_are_the_same_sums(client_of: ClientOf, session: Session) -> None:
    at = time.time() - 60
    costs: list[dict[str, str]] = [{"CNY": "0.1"}, {"CNY": "0.2", "USD": "1"}, {}]
    fill(
        session, [record(at, number=n, conn_id=f"c_{n}", cost=cost) for n, cost in enumerate(costs)], dag_ids=["dag_0"]
    )

    (group,) = client_of("dag_0").get("/api/summary").json()["groups"]
    assert (group["conn_id"], group["count"]) == ("", 3)
    assert {money["unit"]: money["amount"] for money in group["cost"]} == {"CNY": "0.3", "USD": "1"}
