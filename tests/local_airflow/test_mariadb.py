"""Runs a real MariaDB server, the database of a local Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import create_engine

from local_airflow.mariadb import MariadbMissingError, can_connect, running_mariadb

pytestmark = pytest.mark.system


@pytest.fixture
def database_url() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_mariadb())
        except MariadbMissingError as missing:
            pytest.skip(str(missing))
        yield url
    assert not can_connect(url)


@pytest.mark.parametrize(
    ("user", "other"), [("airflow:", "airflow:wrong"), ("airflow:", "root:"), ("airflow:", "nobody:")]
)
def test_keeps_strangers_out(database_url: str, user: str, other: str) -> None:
    assert can_connect(database_url)
    assert not can_connect(database_url.replace(user, other))


def test_the_server_uses_its_own_files_only(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        folder = connection.exec_driver_sql("SELECT @@datadir").scalar_one()
    engine.dispose()

    assert "local-mariadb-" in folder
