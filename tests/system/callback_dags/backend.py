"""Waits of every kind, and a task that reads what each of them returned."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

CALLED_BACK: dict[str, Any] = {"seeany_conn_id": "calls_back", "expect_callback": True}
WAITS: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False, "poke_interval": 1},
    "deferred": {},
    "worker_free": {"worker_free": True},
    "worker_free_again": {"worker_free": True},
    "called_back": CALLED_BACK,
    "called_back_worker_free": {"worker_free": True, **CALLED_BACK},
}

with DAG("backend", schedule=None, max_active_tasks=100):

    @task
    def read(task_id: str, key: str) -> Any:
        """Return an XCom of another task."""
        return get_current_context()["ti"].xcom_pull(task_ids=task_id, key=key)

    for task_id, options in WAITS.items():
        wait = SeeAnyTaskSensor(
            task_id=task_id, seeany_task_id=f"video-20s-backend-{task_id}", **{"seeany_conn_id": "silent", **options}
        )
        wait >> read.override(task_id=f"read_{task_id}")(task_id, "video_url")
    batch = SeeAnyTaskBatchSensor(
        task_id="batch",
        seeany_task_ids=["video-15s-backend-batch", "fails-15s-backend-batch"],
        seeany_conn_id="silent",
        allow_failures=True,
    )
    batch >> read.override(task_id="read_batch")("batch", "return_value")
    for name, worker_free in (("failed", False), ("failed_worker_free", True)):
        SeeAnyTaskSensor(
            task_id=name, seeany_task_id=f"fails-20s-backend-{name}", seeany_conn_id="silent", worker_free=worker_free
        )
