"""A triggerer that is suspended and wakes up when its tasks have run again elsewhere, on real Airflow processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_seeany.versions import airflow_is_at_least
from demo.simulator import running_simulator
from local_airflow import DagRun, LocalAirflow
from local_airflow.client import wait_until
from tests.system.conftest import REPOSITORY, FinishedRun
from tests.system.suspended import ALL, SECONDS, WAITS, seeany_task_id

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("suspended"),
    pytest.mark.skipif(not airflow_is_at_least(3, 3), reason="triggers write no results before Airflow 3.3"),
]

HAS_ASKED = (" %, about ", "Waiting for 2 SeeAny tasks")
WAS_CANCELLED = ("ended in this triggerer", "SeeAny called back", "may still finish and cost money")
FIRED = "Trigger fired event"
"""What a trigger writes into its log last."""


@dataclass
class Kept:
    """What the task instances had before the triggerer woke up, and after it had ended all of its old triggers."""

    states: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, str | None]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def kept(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Everything, after it has happened."""
    home = tmp_path_factory.mktemp("suspended") / "home"
    with (
        running_simulator(home.with_name("simulator.log")) as simulator,
        LocalAirflow(
            home,
            Path(__file__).with_name("suspended_dags"),
            env={"PYTHONPATH": str(REPOSITORY)},
            database_url=postgres_url,
            replicas={"triggerer": 2},
            wait_for_dags=["suspended"],
        ) as airflow,
    ):
        airflow.create_connection("seeany_default", conn_type="seeany", host=simulator, password="sk-suspended")
        yield suspend_and_wake(airflow, simulator)


def suspend_and_wake(airflow: LocalAirflow, simulator: str) -> Kept:
    """Suspend the one triggerer that has the waits, clear them, let the other one end them, and wake the first."""
    kept = Kept()
    airflow.process("triggerer-2").kill()
    run = airflow.trigger_dag("suspended")
    _wait_until_all_are_shown(airflow, run)
    airflow.process("triggerer").suspend()
    suspended_at = time.time()
    airflow.client.request(
        "POST",
        "/dags/suspended/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run.run_id, "only_failed": False, "only_running": False},
    )
    airflow.restart("triggerer-2")
    airflow.wait_for_run(run, timeout=120)
    _wait_for_the_end_of_the_first(simulator, suspended_at)
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    kept.before = {task_id: finished.all_xcoms(task_id) for task_id in ALL}
    airflow.process("triggerer").wake()
    _wait_until_all_old_triggers_have_ended(airflow, run)
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    kept.states = {task_id: (finished.task(task_id).state, finished.task(task_id).try_number) for task_id in ALL}
    kept.after = {task_id: finished.all_xcoms(task_id) for task_id in ALL}
    kept.links = {task_id: finished.links(task_id) for task_id in WAITS}
    return kept


def _wait_until_all_are_shown(airflow: LocalAirflow, run: DagRun) -> None:
    """Wait until each wait has asked, and is in the triggerer."""
    missing = set(ALL)

    def all_are() -> bool:
        waiting = missing & {task.task_id for task in airflow.task_instances(run) if task.state == "deferred"}
        logs = {task_id: airflow.log(run, task_id) for task_id in waiting}
        missing.difference_update(task_id for task_id, log in logs.items() if any(told in log for told in HAS_ASKED))
        return not missing

    wait_until(all_are, timeout=120, describe=lambda: f"these have not asked: {sorted(missing)}")


def _wait_for_the_end_of_the_first(simulator: str, suspended_at: float) -> None:
    starts: dict[str, float] = requests.get(f"{simulator}/simulator/starts", timeout=30).json()
    first = [starts[seeany_task_id(task_id, 1)] for task_id in WAITS]
    assert min(first) + SECONDS > suspended_at, "it was suspended too late for what should end meanwhile"
    time.sleep(max(max(first) + SECONDS - time.time(), 0))


def _wait_until_all_old_triggers_have_ended(airflow: LocalAirflow, run: DagRun) -> None:
    missing = set(ALL)

    def all_have() -> bool:
        airflow.check()
        logs = {task_id: airflow.log(run, task_id, try_number=1) for task_id in missing}
        missing.difference_update(
            task_id for task_id, log in logs.items() if any(told in log for told in (*WAS_CANCELLED, FIRED))
        )
        return not missing

    wait_until(all_have, timeout=25, describe=lambda: f"the first triggers of these go on: {sorted(missing)}")


@pytest.mark.parametrize("task_id", ALL)
def test_what_the_second_try_left_stays(kept: Kept, task_id: str) -> None:
    assert kept.states[task_id] == ("success", 2)
    assert kept.after[task_id] == kept.before[task_id]
    assert "first" not in str(kept.after[task_id])


@pytest.mark.parametrize("task_id", WAITS)
def test_the_buttons_lead_to_the_result_of_the_second_try(kept: Kept, task_id: str) -> None:
    video = kept.links[task_id]["Watch video"]
    assert video is not None
    assert seeany_task_id(task_id, 2) in video
