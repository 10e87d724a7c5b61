"""Waits that a user ends, and one that something else resumes, on real Airflow processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from local_airflow import DagRun, LocalAirflow
from local_airflow.client import wait_until
from tests.system.echoes import HELD

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

ENDED = "may still finish and cost money"

has_on_kill = AIRFLOW_V_3_3_PLUS


@pytest.fixture(scope="module")
def held(airflow: LocalAirflow) -> Iterator[DagRun]:
    """A run whose waits have all begun to wait."""
    airflow.wait_for_dags({"held"})
    run = airflow.trigger_dag("held")
    for task_id in HELD:
        airflow.wait_for_task(run, task_id, {"running" if task_id == "poke" else "deferred"}, timeout=120)
        _wait_for_log(airflow, run, task_id, "Waiting for 2 SeeAny tasks" if task_id == "batch" else ": processing")
    yield run
    airflow.client.request("PATCH", f"/dags/held/dagRuns/{run.run_id}", json={"state": "failed"})


def _wait_for_log(airflow: LocalAirflow, run: DagRun, task_id: str, text: str) -> None:
    log = ""

    def is_there() -> bool:
        nonlocal log
        log = airflow.log(run, task_id)
        return text in log

    wait_until(
        is_there, timeout=60, poll_seconds=0.5, describe=lambda: f"{text!r} is not in the log of {task_id}:\n{log}"
    )


@pytest.mark.parametrize("task_id", ["poke", "deferred", "worker_free", "batch"])
def test_a_wait_that_a_user_ends_logs_what_continues(airflow: LocalAirflow, held: DagRun, task_id: str) -> None:
    if task_id == "batch":
        _wait_for_log(airflow, held, task_id, "Waiting for 2 SeeAny tasks")

    airflow.client.request(
        "PATCH", f"/dags/held/dagRuns/{held.run_id}/taskInstances/{task_id}", json={"new_state": "failed"}
    )

    _wait_for_log(airflow, held, task_id, ENDED)
    (line,) = [line for line in airflow.log(held, task_id).splitlines() if ENDED in line]
    assert HELD[task_id] in line
    (task,) = [each for each in airflow.task_instances(held) if each.task_id == task_id]
    assert task.state == "failed"


RESUME = f"""
import sys
from sqlalchemy import select
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session

with create_session() as session:
    query = select(TaskInstance).where(TaskInstance.run_id == sys.argv[1], TaskInstance.task_id == "resumed")
    waiting = session.scalars(query.with_for_update()).one()
    payload = {{"id": "{HELD["resumed"]}", "status": "completed"}}
    handle_event_submit(
        TriggerEvent({{"type": "finished", "payload": payload}}), task_instance=waiting, session=session
    )
"""


@pytest.mark.skipif(not has_on_kill, reason="before 3.3 a trigger cannot know why it was cancelled")
def test_a_wait_that_something_else_resumes_does_not_warn(airflow: LocalAirflow, held: DagRun) -> None:
    """As the api-server does after a callback for a task that has ended."""
    subprocess.run([sys.executable, "-c", RESUME, held.run_id], env=airflow.environment, check=True)

    airflow.wait_for_task(held, "resumed", {"success"})
    _wait_for_log(airflow, held, "resumed", "ended in this triggerer")
    assert ENDED not in airflow.log(held, "resumed")
