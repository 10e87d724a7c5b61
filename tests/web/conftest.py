"""Airflow's tables on SQLite and PostgreSQL, and the provider's application with users who may read different DAGs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dagrun import DagRun
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete
from sqlalchemy.orm import Session

from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.results import queries, routes
from tests.web.results.history import know_dags

DAGS = [f"dag_{number}" for number in range(20)]
TASK = "/api/dags/{}/task?run_id={}&task_id=wait&map_index={}"
ClientOf = Callable[[str | None], TestClient]


ON_POSTGRES = [pytest.mark.system, pytest.mark.large, pytest.mark.xdist_group("postgresql")]


class OwnDagOnly(SimpleAuthManager):
    """Lets a user read the DAG of the user's own name, and the administrator all."""

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):  # type: ignore[no-untyped-def]
        if user.username == "admin":
            return True
        return details is None or details.id is None or details.id == user.username


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=ON_POSTGRES)],
)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each of the databases, with Airflow's tables and some DAGs, in place of that of the other tests."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('database')}/airflow.db"
    else:
        url = request.getfixturevalue("postgres_url")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        _connect()
        initdb()
        with create_session(scoped=False) as session:
            know_dags(session, DAGS)
        yield
    _connect()


def _connect() -> None:
    """Let Airflow take the database that the environment now names."""
    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture
def session(database: None) -> Iterator[Session]:
    with create_session(scoped=False) as session:
        yield session
        session.rollback()
        session.execute(delete(DagRun))  # and with them all task instances and XComs
    routes.RESPONSES.clear()
    queries.SPEND.clear_cache()  # with the sums of what was deleted


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """The provider's application, with callbacks off."""
    return create_app()


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch, session: Session, app: FastAPI) -> Iterator[ClientOf]:
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", f"{OwnDagOnly.__module__}.{OwnDagOnly.__qualname__}")
    purge_cached_app()
    auth_manager = create_auth_manager()

    def client(name: str | None) -> TestClient:
        if name is None:
            return TestClient(app)
        token = auth_manager.generate_jwt(SimpleAuthManagerUser(username=name, role="USER"))
        return TestClient(app, headers={"Authorization": f"Bearer {token}"})

    yield client
    purge_cached_app()
