"""A custom XCom backend on real Airflow processes: it keeps the user's values, and the UI shows as much as without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from local_airflow import LocalAirflow
from tests.system.conftest import CalledBack, FinishedRun
from tests.system.counted import Counted
from tests.system.file_backend import DAG_ID, PREFIX

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("callback")]

COMPLETED = ("poke", "deferred", "worker_free", "worker_free_again", "called_back", "called_back_worker_free")
FAILED = ("failed", "failed_worker_free")


@dataclass
class Left:
    """What the run left."""

    airflow: LocalAirflow
    run: FinishedRun
    folder: Path


@pytest.fixture(scope="module")
def left(called_back: CalledBack, counted: Counted) -> Left:
    """A run in which one wait was cleared and ended twice, after the metrics were counted: there it has ended once."""
    airflow = called_back.airflow
    run = airflow.wait_for_run(called_back.runs[DAG_ID], timeout=240)
    airflow.client.request(
        "POST",
        f"/dags/{DAG_ID}/clearTaskInstances",
        json={
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": ["worker_free_again"],
            "only_failed": False,
        },
    )
    run = airflow.wait_for_run(run, timeout=120)
    return Left(airflow, FinishedRun(airflow, run), called_back.xcoms)


@pytest.mark.parametrize("task_id", COMPLETED)
def test_the_ui_knows_the_result(left: Left, task_id: str) -> None:
    assert left.run.task(task_id).state == "success"
    video = left.run.xcoms(f"read_{task_id}")
    view = left.run.tab(task_id)
    assert view["result"]["state"] == "completed"
    url = view["result"]["video_url"]
    assert f"video-20s-backend-{task_id}" in url
    assert left.run.links(task_id)["Watch video"] == url
    assert video["return_value"] != url  # which is in the backend
    assert [float(money["amount"]) for money in view["result"]["cost"]] == [0.7]


def test_the_ui_knows_the_batch(left: Left) -> None:
    result = left.run.tab("batch")["result"]
    assert (result["state"], result["total"], result["completed"], result["failed"]) == ("completed", 2, 1, 1)


@pytest.mark.parametrize("task_id", FAILED)
def test_the_ui_knows_why_a_wait_failed(left: Left, task_id: str) -> None:
    result = left.run.tab(task_id)["result"]
    assert (result["state"], result["error_code"]) == ("failed", "content_policy_violation")


def test_the_page_lists_all_results(left: Left) -> None:
    page = left.airflow.client.page("/seeany/api/results?limit=200").json()
    listed = [result["task_id"] for result in page["results"] if result["dag_id"] == DAG_ID]
    assert sorted(listed) == sorted([*COMPLETED, *FAILED, "batch"])


@pytest.mark.parametrize("task_id", COMPLETED)
def test_the_user_s_values_are_in_the_backend_wherever_they_were_pushed(left: Left, task_id: str) -> None:
    values = left.run.xcoms(task_id)
    assert set(values) == {"return_value", "video_url", "cost"}
    assert {value for value in values.values() if not str(value).startswith(PREFIX)} == set()


def test_the_backend_has_nothing_else_and_nothing_is_left_behind(left: Left) -> None:
    instances = left.airflow.task_instances(left.run.run)
    values = [value for task in instances for value in left.run.all_xcoms(task.task_id).values()]
    named = {value.removeprefix(PREFIX) for value in values if isinstance(value, str) and value.startswith(PREFIX)}
    assert {file.name for file in left.folder.iterdir()} == named
    assert len(named) >= len(COMPLETED) * 3
