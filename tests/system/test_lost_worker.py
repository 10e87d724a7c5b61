"""Whole workers that are killed while they create a SeeAny task, which only Airflow's heartbeats tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from local_airflow import LocalAirflow
from tests.system.conftest import REPOSITORY
from tests.system.counting import counting

pytestmark = [
    pytest.mark.large,
    pytest.mark.system,
    pytest.mark.xdist_group("lost_worker"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps no state between tries before 3.3"),
]

HEARTBEATS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
}


def test_a_lost_worker_never_makes_a_task_be_created_twice(database_template: Path, tmp_path: Path) -> None:
    with (
        counting() as server,
        LocalAirflow(
            tmp_path / "home",
            Path(__file__).with_name("lost_worker_dags"),
            env={"PYTHONPATH": str(REPOSITORY), **HEARTBEATS},
            database_template=database_template,
            wait_for_dags=["lost_worker"],
        ) as airflow,
    ):
        run = airflow.wait_for_run(airflow.trigger_dag("lost_worker", conf={"url": server.url}), timeout=300)
        tasks = {each.task_id: (each.state, each.try_number) for each in airflow.task_instances(run)}

        assert tasks == {
            "before_the_call": ("failed", 2),
            "before_the_store": ("failed", 2),
            "after_the_store": ("success", 2),
        }
        assert server.created == {"before_the_store": 1, "after_the_store": 1}
        assert "SeeAnySubmissionUnknown" in airflow.log(run, "before_the_store", try_number=2)
