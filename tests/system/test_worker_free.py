"""Waits that need no worker, next to the same waits that do, on real Airflow processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_seeany.versions import airflow_is_at_least
from local_airflow import LocalAirflow
from tests.system.conftest import FinishedRun
from tests.system.table import OUTCOMES, cell

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("airflow"),
    pytest.mark.skipif(not airflow_is_at_least(3, 3), reason="Airflow starts no trigger by itself before 3.3"),
]

RunDag = Callable[[str], FinishedRun]

# With and without a worker, sensor and operator.
PAIRS = [("deferred", "worker_free"), ("operator", "operator_worker_free")]


def workers_started(run: FinishedRun, task_id: str, map_index: int | None = None) -> int:
    """Count the worker processes of a task: each one says in the task's log that it reads the DAG file."""
    return run.log(task_id, map_index).count("Filling up the DagBag")


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize(("with_worker", "without"), PAIRS)
def test_only_a_failure_starts_a_worker(run_dag: RunDag, with_worker: str, without: str, outcome: str) -> None:
    task_id = cell(outcome)
    classic = workers_started(run_dag(f"outcomes_{with_worker}"), task_id)
    free = workers_started(run_dag(f"outcomes_{without}"), task_id)

    # What a first look in the worker finds out ends the classic wait there. An unknown task may be visible soon.
    assert classic == (1 if outcome == "unauthorized" else 2)
    assert free == (0 if outcome == "completed" else 1)


@pytest.mark.parametrize("outcome", ["failed", "timeout", "not_found", "unauthorized"])
@pytest.mark.parametrize(("with_worker", "without"), PAIRS)
def test_the_exception_is_the_same_with_and_without_a_worker(
    run_dag: RunDag, with_worker: str, without: str, outcome: str
) -> None:
    def exception(mode: str) -> str:
        log = run_dag(f"outcomes_{mode}").log(cell(outcome))
        (line,) = (line for line in log.splitlines() if line.startswith("SeeAny"))
        # Without what differs between any two waits: their ids, the request's id, the progress at that moment.
        return line.replace(f"-{mode}-", "-").partition(" (request id")[0].partition("; last seen: ")[0]

    assert exception(without) == exception(with_worker)


@pytest.mark.parametrize("task_id", ["return_value", "key", "template"])
def test_the_id_may_come_from_upstream(run_dag: RunDag, task_id: str) -> None:
    run = run_dag("worker_free")

    assert run.task(task_id).state == "success"
    assert workers_started(run, task_id) == 0


@pytest.mark.parametrize(("map_index", "label"), [(0, "one"), (1, "two")])
def test_each_instance_of_a_mapped_group_waits_for_its_own_id(run_dag: RunDag, map_index: int, label: str) -> None:
    run = run_dag("worker_free")

    assert run.xcoms("group.wait", map_index)["return_value"]["id"] == f"video-0s-{label}"
    assert workers_started(run, "group.wait", map_index) == 0


def test_a_mapped_wait_says_that_it_needs_a_worker(run_dag: RunDag) -> None:
    run = run_dag("worker_free")

    assert run.task("mapped").state == "success"
    assert run.log("mapped").count("worker_free is on, but this wait starts in a worker") == 1


def test_what_an_earlier_try_pushed_does_not_survive_a_failed_one(run_dag: RunDag, airflow: LocalAirflow) -> None:
    before = run_dag("worker_free")
    assert before.xcoms("cleared")["video_url"]
    run = before.run

    airflow.client.request(
        "POST",
        "/dags/worker_free/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run.run_id, "task_ids": ["cleared"], "only_failed": False},
    )
    after = FinishedRun(airflow, airflow.wait_for_run(run, timeout=120))

    assert after.task("cleared").state == "failed"
    assert after.xcoms("cleared") == {}
    record = after.record("cleared")
    assert record is not None
    assert record["state"] == "failed"
    assert after.links("cleared") == {"Watch video": None, "Thumbnail": None, "First file": None}
