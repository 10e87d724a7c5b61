"""Waits that need no worker, next to the same waits that do, on real Airflow processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from local_airflow import DagRun, LocalAirflow
from tests.system.conftest import FinishedRun
from tests.system.table import CELLS, Cell
from tests.system.ways import (
    CONF,
    FAILING,
    SAME_OPTIONS,
    SAME_TEMPLATES,
    STARTED_OPTIONS,
    WORKER_OPTIONS,
    WORKER_TEMPLATES,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("airflow"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow starts no trigger by itself before 3.3"),
]

RunDag = Callable[[str], FinishedRun]

WITHOUT_WORKER = {"deferred": "worker_free", "operator": "operator_worker_free"}
PAIRS = [
    (cell, without)
    for cell in CELLS
    if cell.mode in WITHOUT_WORKER
    and not cell.soft_fail
    and (without := cell._replace(mode=WITHOUT_WORKER[cell.mode])) in CELLS
]
"""Cells with and without a worker."""
each_pair = pytest.mark.parametrize(("with_worker", "without"), PAIRS, ids=str)
each_failing_pair = pytest.mark.parametrize(
    ("with_worker", "without"), [pair for pair in PAIRS if pair[0].outcome not in ("completed", "partial")], ids=str
)


def workers_started(run: FinishedRun, task_id: str, map_index: int | None = None) -> int:
    """Count the worker processes of a task: each one logs that it reads the DAG file."""
    return run.log(task_id, map_index).count("Filling up the DagBag")


@each_pair
def test_only_a_failure_starts_a_worker_to_end_the_wait(run_dag: RunDag, with_worker: Cell, without: Cell) -> None:
    classic = workers_started(run_dag(with_worker.dag_id), with_worker.task_id)
    free = workers_started(run_dag(without.dag_id), without.task_id)

    # What the first poll in the worker finds out ends the classic wait there. An unknown task may be visible soon.
    takes_one = with_worker.outcome in ("completed", "partial", "unauthorized")
    assert classic == (1 if takes_one else 2)
    assert free == (0 if with_worker.outcome in ("completed", "partial") else 1)


@pytest.mark.parametrize("dialect", ["v1", "developer"])
def test_a_mapped_wait_that_succeeds_takes_one_worker(run_dag: RunDag, dialect: str) -> None:
    cell = Cell(dialect, "mapped", "completed")

    assert workers_started(run_dag(cell.dag_id), cell.task_id) == 1


@each_failing_pair
def test_the_exception_is_the_same_with_and_without_a_worker(run_dag: RunDag, with_worker: Cell, without: Cell) -> None:
    def exception(cell: Cell) -> str:
        log = run_dag(cell.dag_id).log(cell.task_id)
        (line,) = (line for line in log.splitlines() if line.startswith("SeeAny"))
        # Without what differs between any two waits: their ids, the request's id, the progress at that moment.
        return line.replace(f"-{cell.mode}-", "-").partition(" (request id")[0].partition("; last seen: ")[0]

    assert exception(without) == exception(with_worker)


@pytest.mark.parametrize("task_id", ["return_value", "key", "template"])
def test_the_id_may_come_from_upstream(run_dag: RunDag, task_id: str) -> None:
    run = run_dag("worker_free")

    assert run.task(task_id).state == "success"
    assert workers_started(run, task_id) == 0


@pytest.mark.parametrize(("map_index", "label"), [(0, "one"), (1, "two")])
def test_each_instance_of_a_mapped_group_waits_for_its_own_id(run_dag: RunDag, map_index: int, label: str) -> None:
    run = run_dag("worker_free")

    assert run.task("group.wait", map_index).state == "success"
    assert run.xcoms("group.wait", map_index)["return_value"]["id"] == f"video-0s-{label}"
    assert workers_started(run, "group.wait", map_index) == 0


def test_a_mapped_wait_logs_that_it_needs_a_worker(run_dag: RunDag) -> None:
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
    assert after.links("cleared") == {"Watch video": None, "First file": None}


@pytest.fixture(scope="module")
def ways(airflow: LocalAirflow) -> FinishedRun:
    """The run of everything that can be set on a wait, with and without a worker."""
    airflow.wait_for_dags(["ways"])
    body = {"logical_date": "2026-01-02T03:04:05+00:00", "conf": CONF}
    run = DagRun.from_json(airflow.client.request("POST", "/dags/ways/dagRuns", json=body))
    return FinishedRun(airflow, airflow.wait_for_run(run, timeout=300))


def left(run: FinishedRun, airflow: LocalAirflow, name: str, way: str) -> dict[str, object]:
    """Return all that a wait has left that a user can see."""
    task_id = f"{name}_{way}"
    called = (airflow.home / "called.txt").read_text().splitlines()
    children = [task for task in run.tasks.values() if task.task_id.startswith(f"{name}_each_{way}")]
    events = airflow.client.request(
        "GET", "/assets/events", params={"source_dag_id": "ways", "source_task_id": task_id}
    )
    return {
        "state": run.task(task_id).state,
        "xcoms": run.xcoms(task_id),
        "links": run.links(task_id),
        # In each of its workers.
        "called": sorted({line.removeprefix(f"{task_id} ") for line in called if line.startswith(f"{task_id} ")}),
        "mapped over": sorted((task.map_index, task.state) for task in children),
        "asset events": events["total_entries"],
    }


@pytest.mark.parametrize("name", [*SAME_OPTIONS, *WORKER_OPTIONS])
def test_what_is_set_on_a_wait_does_the_same_with_and_without_a_worker(
    ways: FinishedRun, airflow: LocalAirflow, name: str
) -> None:
    with_worker = left(ways, airflow, name, "worker")

    assert left(ways, airflow, name, "free") == with_worker
    # Else the comparison would prove nothing.
    if name.startswith("expand"):
        assert len(cast(Any, with_worker["mapped over"])) > 3
    if name.endswith("_callback") or name in ("pre_execute", "post_execute", "own_code"):
        assert with_worker["called"]
    if name == "outlets":
        assert with_worker["asset events"] == 1


@pytest.mark.parametrize("name", SAME_OPTIONS)
def test_what_is_known_to_be_the_same_needs_no_worker_unless_it_fails(ways: FinishedRun, name: str) -> None:
    assert workers_started(ways, f"{name}_free") == (1 if name in FAILING else 0)


@pytest.mark.parametrize("name", [*SAME_OPTIONS, *WORKER_OPTIONS])
def test_what_is_set_on_a_wait_does_the_same_wherever_it_ends(
    ways: FinishedRun, airflow: LocalAirflow, name: str
) -> None:
    with_worker, deferred = (left(ways, airflow, name, way) for way in ("worker", "deferred"))

    for one in (with_worker, deferred):
        one["xcoms"] = sorted(cast(Any, one["xcoms"]))
        one["links"] = [bool(link) for link in cast(Any, one["links"]).values()]
    assert deferred == with_worker
    in_triggerer = name not in FAILING and (name in SAME_OPTIONS or name in STARTED_OPTIONS)
    assert workers_started(ways, f"{name}_deferred") == (1 if in_triggerer else 2)


@pytest.mark.parametrize("name", WORKER_OPTIONS)
def test_what_only_a_worker_does_starts_in_one_and_logs_the_reason_once(ways: FinishedRun, name: str) -> None:
    log = ways.log(f"{name}_free")

    assert workers_started(ways, f"{name}_free") == 1
    (line,) = (line for line in log.splitlines() if "this wait starts in a worker" in line)
    assert WORKER_OPTIONS[name].replace("_each", "_each_free") in line


@pytest.mark.parametrize("name", SAME_TEMPLATES)
def test_a_template_is_rendered_in_the_triggerer_as_in_a_worker(ways: FinishedRun, name: str) -> None:
    in_worker: Any = ways.xcoms("rendered")["return_value"]

    assert ways.xcoms(f"template_{name}")["return_value"]["id"] == f"video-0s-{in_worker[name]}"  # type: ignore[index]
    assert workers_started(ways, f"template_{name}") == 0


@pytest.mark.parametrize("name", WORKER_TEMPLATES)
def test_any_other_template_starts_in_a_worker_and_logs_the_reason_once(ways: FinishedRun, name: str) -> None:
    assert ways.task(f"template_{name}").state == "success"
    assert workers_started(ways, f"template_{name}") == 1
    (line,) = (line for line in ways.log(f"template_{name}").splitlines() if "this wait starts in a worker" in line)
    assert "in seeany_task_id may not be the same in a triggerer" in line


def test_what_a_template_misses_fails_as_it_does_in_a_worker(ways: FinishedRun) -> None:
    assert ways.task("undefined").state == "failed"
    assert "UndefinedError" in ways.log("undefined")
