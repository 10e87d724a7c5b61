"""After all the other runs, the key is nowhere: no file, column, response, page or process argument shows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local_airflow import DagRun, LocalAirflow
from tests.system import search
from tests.system.conftest import DAGS, FinishedRun, Simulator
from tests.system.echoes import ECHOED, HELD, KEY

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

SHOWN = ("secrets", "batches", "held")
"""DAGs whose pages are all read: among them is every way to wait, with every way to end."""

CONTROL = "held-deferred-8d2f"
"""A text that is no secret and is handed on like one: what finds this would find the key."""


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow, run_dag: Callable[[str], FinishedRun]) -> Iterator[dict[str, str]]:
    """The runs of all DAGs, ended, and one whose waits have not ended."""
    finished = {dag_id: run_dag(dag_id).run.run_id for dag_id in DAGS}
    airflow.wait_for_dags({"held"})
    held = airflow.trigger_dag("held")
    for task_id in HELD:
        airflow.wait_for_task(held, task_id, {"running" if task_id == "poke" else "deferred"}, timeout=120)
    yield {**finished, "held": held.run_id}
    airflow.client.request("PATCH", f"/dags/held/dagRuns/{held.run_id}", json={"state": "failed"})


@pytest.fixture(scope="module")
def database(airflow: LocalAirflow, runs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the metadatabase during waits."""
    copy = tmp_path_factory.mktemp("database") / "airflow.db"
    with (
        closing(sqlite3.connect(airflow.home / "airflow.db", timeout=60)) as live,
        closing(sqlite3.connect(copy)) as to,
    ):
        live.backup(to)
    return copy


def fernet_key(airflow: LocalAirflow) -> str:
    """Return the key that the metadatabase's own secrets are encrypted with."""
    return airflow.environment["AIRFLOW__CORE__FERNET_KEY"]


def test_the_quoting_server_was_polled_in_every_mode(run_dag: Callable[[str], FinishedRun]) -> None:
    run = run_dag("secrets")

    for mode, names in ECHOED.items():
        for name in names:
            task = run.task(f"{name}_{mode}")
            assert task.state == ("success" if name == "done" else "failed"), task
            assert "***" in run.log(task.task_id) or name in ("moved", "status_line", "chunk", "done"), task


def test_it_is_in_no_file(airflow: LocalAirflow, runs: dict[str, str], simulator: Simulator) -> None:
    """Logs of tasks, triggerer, scheduler, api-server and dag-processor, and the raw pages of the database."""
    assert list(search.in_files(airflow.home, search.Needle(KEY))) == []
    assert not search.Needle(KEY).is_in(simulator.log_file.read_bytes())

    control = list(search.in_files(airflow.home, search.Needle(CONTROL)))
    assert any(found.endswith(".log") for found in control)
    assert search.Needle(HELD["deferred"]).is_in(simulator.log_file.read_bytes())
    logs = {path.name for path in airflow.home.rglob("*.log")}
    assert logs >= {"triggerer.log", "scheduler.log", "api-server.log", "dag-processor.log"}


def test_it_is_in_no_column(airflow: LocalAirflow, database: Path) -> None:
    key = fernet_key(airflow)

    assert list(search.in_database(database, key, search.Needle(KEY))) == []

    control = set(search.in_database(database, key, search.Needle(CONTROL)))
    assert {"table trigger, column kwargs", "table serialized_dag, column data"} <= control


def test_the_connection_itself_holds_it_encrypted(airflow: LocalAirflow, database: Path) -> None:
    """Else the search for it would prove nothing."""
    found = search.decrypted(database, fernet_key(airflow), "SELECT password FROM connection WHERE password NOTNULL")

    assert KEY in found


def test_it_is_in_no_arguments_of_a_trigger(airflow: LocalAirflow, database: Path) -> None:
    arguments = search.decrypted(database, fernet_key(airflow), "SELECT kwargs FROM trigger")

    assert sum(CONTROL in text for text in arguments) == 1
    assert [text for text in arguments if search.Needle(KEY).is_in(text.encode())] == []


def test_it_is_in_no_response_and_no_page(airflow: LocalAirflow, runs: dict[str, str]) -> None:
    shown = {dag_id: runs[dag_id] for dag_id in SHOWN}

    (found, control), read = search.in_pages(airflow, shown, map(search.Needle, (KEY, CONTROL)))

    assert found == []
    assert read > 300
    assert any("/logs/1" in page for page in control), control
    assert any(page.endswith("/taskInstances") for page in control), control


def test_it_is_in_no_arguments_of_a_process(airflow: LocalAirflow, simulator: Simulator, runs: dict[str, str]) -> None:
    pids = {*airflow.pids(), simulator.pid}

    assert list(search.in_processes(pids, search.Needle(KEY))) == []
    assert len(list(search.in_processes(pids, search.Needle("airflow")))) >= 5


def test_the_run_that_is_searched_is_still_waiting(airflow: LocalAirflow, runs: dict[str, str]) -> None:
    run = DagRun.from_json(airflow.client.request("GET", f"/dags/held/dagRuns/{runs['held']}"))

    assert {task.state for task in airflow.task_instances(run)} <= {"running", "deferred"}
