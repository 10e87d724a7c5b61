"""Every kind of wait, for `airflow dags test` and `airflow tasks test`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

# Each ends only after the worker's first poll: what is deferred is polled in the trigger, too.
SENSORS: dict[str, dict[str, Any]] = {
    "deferrable": {},
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "expect_callback": {"expect_callback": True, "callback_poll_interval": 1},
    "worker_free": {"worker_free": True},
}


def add_waits(conn_id: str) -> None:
    """Add a wait of each kind to the DAG."""
    for name, how in SENSORS.items():
        SeeAnyTaskSensor(
            task_id=name, seeany_task_id=f"video-3s-{name}", seeany_conn_id=conn_id, poke_interval=1, timeout=90, **how
        )
    SeeAnyTaskResultOperator(
        task_id="operator", seeany_task_id="video-3s-operator", seeany_conn_id=conn_id, poll_interval=1, timeout=90
    )
    SeeAnySubmitOperator(
        task_id="submit",
        create=lambda: "video-3s-submit",
        wait=True,
        seeany_conn_id=conn_id,
        poll_interval=1,
        timeout=90,
    )
    SeeAnyTaskBatchSensor(
        task_id="batch",
        seeany_task_ids=["video-3s-batch", "video-0s-batch"],
        seeany_conn_id=conn_id,
        poke_interval=1,
        timeout=90,
    )


with DAG("by_hand", schedule=None, default_args={"retry_delay": timedelta(seconds=1)}):
    add_waits("seeany_default")

with DAG("by_hand_misspelt", schedule=None):
    add_waits("seeany_misspelt")
