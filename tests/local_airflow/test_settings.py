"""Tests the environment of a private Airflow."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from local_airflow.settings import HOST, Keys, Settings, free_port


def _settings(home: Path, **changes: object) -> Settings:
    values = {"home": home, "dags_folder": home / "dags", "port": 20_000, "keys": Keys.of_home(home), **changes}
    return Settings(**values)  # type: ignore[arg-type]


def test_inherits_nothing_that_belongs_to_another_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__PARALLELISM", "AIRFLOW_CONN_X", "AIRFLOW_VAR_X", "AIRFLOW_CONFIG", "SOME_API_KEY"):
        monkeypatch.setenv(name, "inherited")
    environment = _settings(tmp_path).environment({}, {})
    assert "inherited" not in environment.values()
    assert environment["AIRFLOW_HOME"] == str(tmp_path)


def test_lets_the_caller_override_everything(tmp_path: Path) -> None:
    environment = _settings(tmp_path).environment({}, {"AIRFLOW__CORE__EXECUTOR": "other"})
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "other"


def test_puts_every_address_under_the_prefix(tmp_path: Path) -> None:
    settings = _settings(tmp_path, base_url_path="/prefix")
    assert settings.url == f"http://{HOST}:20000/prefix"
    environment = settings.environment({}, {})
    assert environment["AIRFLOW__API__BASE_URL"] == settings.url
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{settings.url}/execution/"


def test_keeps_the_keys_of_a_home_and_gives_each_home_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert Keys.of_home(first) == Keys.of_home(first)
    assert Keys.of_home(first) != Keys.of_home(second)
    assert (first / "keys.json").stat().st_mode & 0o077 == 0


def test_uses_another_database_if_given(tmp_path: Path) -> None:
    settings = _settings(tmp_path, database_url="postgresql://localhost/airflow")
    assert settings.sqlite_file is None
    assert settings.environment({}, {})["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql://localhost/airflow"


def test_finds_a_port_that_can_be_bound() -> None:
    with socket.socket() as server:
        # As every server does: connections of one that used the port before may not be over.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((HOST, free_port()))
