"""Which connections the page offers, and what it tells of them to whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from airflow.models.connection import Connection
from sqlalchemy import delete
from sqlalchemy.orm import Session

from tests.web.conftest import ClientOf, OwnDagOnly
from tests.web.results.history import NOON, fill, record


@pytest.fixture
def _no_connections(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(OwnDagOnly, "is_authorized_connection", lambda *_, **__: True)
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
    failures = [
        record(NOON - 60, number=n, conn_id=name, state="failed") for n, name in enumerate(("sutdio", "studio"))
    ]
    fill(session, [*failures, record(NOON - 70, number=3, conn_id="old")], dag_ids=["dag_0"])
    store(session, "studio")

    assert client_of("admin").get("/api/summary").json()["connections"] == ["old", "studio"]


@pytest.mark.usefixtures("_no_connections")
def test_a_viewer_who_may_not_read_connections_is_told_nothing_of_them(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnDagOnly, "is_authorized_connection", lambda *_, **__: False)
    store(session, "studio")
    fill(session, [record(NOON - 60, conn_id="studio", state="failed")], dag_ids=["dag_0"])

    assert client_of("admin").get("/api/setup").json() == {"has_connection": None}
    assert client_of("admin").get("/api/summary").json()["connections"] == []
