"""A database with nothing but the waits of each test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import delete

from tests.hostile import HostileServer
from tests.web.callback.waits_in_database import CONNECTION, make_database


@pytest.fixture(scope="module")
def _database() -> Iterator[None]:
    make_database()
    logging.disable(logging.NOTSET)
    yield
    with create_session(scoped=False) as session:
        session.execute(delete(DagRun))


@pytest.fixture
def own_waits(_database: None, hostile: HostileServer, connect: Callable[..., None]) -> Iterator[None]:
    """Polls go to the hostile server; the waits, and with them all XComs, are deleted after the test."""
    connect(CONNECTION, host=hostile.url, extra={"request_timeout": 5})
    yield
    with create_session(scoped=False) as session:
        session.execute(delete(TaskInstance))
