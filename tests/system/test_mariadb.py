"""Waits on an Airflow whose database is MariaDB, where the arguments of a trigger have 64 KB."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.triggers.stored_ids import IDS_KEY
from benchmarks.callback import callback_url
from demo.simulator import running_simulator
from local_airflow import DagRun, LocalAirflow
from local_airflow.client import wait_until
from local_airflow.mariadb import AIRFLOW_OPTIONS, MariadbMissingError, running_mariadb
from local_airflow.settings import free_port
from tests.system import test_outcomes as on_sqlite
from tests.system.conftest import FinishedRun, started_run
from tests.system.echoes import KEY
from tests.system.mariadb import BATCHES, CALLS_BACK, CELLS, LARGEST, batch_ids
from tests.system.table import Cell

pytestmark = [
    pytest.mark.system,
    pytest.mark.large,
    pytest.mark.xdist_group("mariadb"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="before 3.3 a trigger cannot know why it was cancelled"),
]

PATIENT = 240
"""Seconds, on a machine that does other things as well."""

HELD = ("moved", "marked_failed", "cleared")
"""The batches that wait until something happens to them."""


@dataclass
class Course:
    """What has happened to an Airflow, after all has."""

    run: Callable[[str], FinishedRun]
    """What a DAG's only run has left."""
    stored: dict[str, set[str]] = field(default_factory=dict)
    """The ids that were stored beside the triggers of batches while these waited."""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Let waits of all kinds end, and do to the batches what a user or a machine does."""
    home = tmp_path_factory.mktemp("mariadb") / "home"
    secret, port = secrets.token_hex(32), free_port()
    with ExitStack() as stack:
        try:
            database_url = stack.enter_context(running_mariadb())
        except MariadbMissingError as missing:
            pytest.skip(str(missing))
        simulator = stack.enter_context(running_simulator(home.with_name("simulator.log")))
        url = callback_url(secret, f"http://127.0.0.1:{port}", CALLS_BACK)
        calls_back = stack.enter_context(running_simulator(home.with_name("calls-back.log"), callback_url=url))
        airflow = stack.enter_context(
            LocalAirflow(
                home,
                Path(__file__).with_name("mariadb_dags"),
                env={
                    **AIRFLOW_OPTIONS,
                    "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
                    "PYTHONPATH": os.environ["PYTHONPATH"],
                },
                database_url=database_url,
                port=port,
                wait_for_dags=[*{cell.dag_id for cell in CELLS}, "batches", "kinds", "started_by_asset"],
                start_timeout=PATIENT,
            )
        )
        for conn_id, host in (("seeany_default", simulator), (CALLS_BACK, calls_back)):
            airflow.create_connection(conn_id, conn_type="seeany", host=host, password=KEY)
        yield run_course(airflow)


def run_course(airflow: LocalAirflow) -> Course:
    """Let all happen."""
    runs = {dag_id: airflow.trigger_dag(dag_id) for dag_id in (*{cell.dag_id for cell in CELLS}, "batches", "kinds")}

    @cache
    def finished(dag_id: str) -> FinishedRun:
        if dag_id not in runs:
            return started_run(airflow, dag_id)
        return FinishedRun(airflow, airflow.wait_for_run(runs[dag_id], timeout=PATIENT))

    course, run = Course(finished), runs["batches"]
    for task_id in HELD:
        airflow.wait_for_task(run, task_id, {"deferred"}, timeout=PATIENT)
        wait_until_polled(airflow, run, task_id)
        course.stored[task_id] = set(airflow.xcoms(run, task_id)[IDS_KEY]["ids"])
    airflow.process("triggerer").kill()
    airflow.restart("triggerer", timeout=PATIENT)
    for task_id in HELD:
        wait_until_polled(airflow, run, task_id, by_triggerers=2)
    end_by_hand(airflow, run)
    for dag_id in (*runs, "started_by_asset"):
        finished(dag_id)
    airflow.check()
    return course


def end_by_hand(airflow: LocalAirflow, run: DagRun) -> None:
    """Mark a batch as failed while it waits, and clear another one, which then waits again until it is marked."""
    mark(airflow, run, "marked_failed", "failed")
    airflow.client.request(
        "POST",
        "/dags/batches/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run.run_id, "task_ids": ["cleared"], "only_failed": False},
    )
    # Until then there is no log of the second try.
    until(lambda: try_of(airflow, run, "cleared") == 2, "a cleared batch waits again")
    wait_until_polled(airflow, run, "cleared", try_number=2)
    mark(airflow, run, "cleared", "skipped")


def try_of(airflow: LocalAirflow, run: DagRun, task_id: str) -> int:
    """Return the number of a task instance's current try, if that has begun to wait."""
    (task,) = (each for each in airflow.task_instances(run) if each.task_id == task_id)
    return task.try_number if task.state == "deferred" else 0


def wait_until_polled(
    airflow: LocalAirflow, run: DagRun, task_id: str, *, try_number: int = 1, by_triggerers: int = 1
) -> None:
    """Wait until so many triggerers have begun to poll a batch."""

    def is_polled() -> bool:
        return airflow.log(run, task_id, try_number=try_number).count("Waiting for") >= by_triggerers

    until(is_polled, f"{task_id} is polled")


def mark(airflow: LocalAirflow, run: DagRun, task_id: str, state: str) -> None:
    """Mark a batch as a user does in the UI, and wait until its trigger has noticed."""
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}"
    airflow.client.request("PATCH", path, json={"new_state": state})
    until(lambda: IDS_KEY not in airflow.xcoms(run, task_id), f"the ids of {task_id} are deleted")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something has happened."""
    wait_until(condition, timeout=PATIENT, poll_seconds=0.5, describe=lambda: f"not so: {what}")


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_way_to_wait_ends_as_on_sqlite(course: Course, cell: Cell) -> None:
    on_sqlite.test_a_completed_task_succeeds_with_the_same_xcoms_and_links_in_every_mode(course.run, cell)


def test_a_submit_callbacks_and_an_asset_work(course: Course) -> None:
    run = course.run("kinds")

    assert {task_id: each.state for (task_id, _), each in run.tasks.items()} == dict.fromkeys(
        ("submit", "callback", "callback_worker_free"), "success"
    )
    assert course.run("started_by_asset").xcoms("read")["return_value"] == ["video-0s-submit"]


def test_a_batch_of_the_largest_size_succeeds_and_the_ui_shows_it(course: Course) -> None:
    run = course.run("batches")

    assert run.task("succeeds").state == "success"
    result = run.xcoms("succeeds")["return_value"]
    assert isinstance(result, dict)
    assert (result["completed"], result["cost"]) == (LARGEST, {"CNY": 7000})
    assert [float(money["amount"]) for money in run.tab("succeeds")["result"]["cost"]] == [7000]
    (group,) = [
        group for group in run.summary()["groups"] if group["state"] == "completed" and group["dag_id"] == "batches"
    ]
    assert float(group["cost"][0]["amount"]) > 7000


# The state and the number of tries.
ENDS = {
    "succeeds": ("success", 1),
    "fails": ("failed", 1),
    "times_out": ("failed", 1),
    "moved": ("success", 1),
    "marked_failed": ("failed", 1),
    "cleared": ("skipped", 2),
}


@pytest.mark.parametrize("task_id", BATCHES)
def test_the_ids_of_a_batch_are_deleted_however_it_ends(course: Course, task_id: str) -> None:
    run = course.run("batches")
    ended = run.task(task_id)

    assert (ended.state, ended.try_number) == ENDS[task_id]
    assert IDS_KEY not in run.all_xcoms(task_id)


@pytest.mark.parametrize("task_id", HELD)
def test_the_ids_were_stored_while_the_batch_waited(course: Course, task_id: str) -> None:
    # Or all of this would prove nothing.
    assert course.stored[task_id] == set(batch_ids(task_id))
