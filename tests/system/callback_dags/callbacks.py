"""Waits that SeeAny's callback resumes, beside one that polls, and a task with a callback URL in a template."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

COMMON = {"seeany_conn_id": "calls_back", "expect_callback": True, "timeout": 300}
DEVELOPER = {**COMMON, "seeany_conn_id": "calls_back_developer"}

with DAG("callbacks", schedule=None):
    SeeAnyTaskSensor(task_id="polling", seeany_task_id="video-25s-polling", seeany_conn_id="silent")
    SeeAnyTaskSensor(task_id="classic", seeany_task_id="video-25s-classic", **COMMON)
    SeeAnyTaskSensor(task_id="worker_free", seeany_task_id="video-25s-worker-free", worker_free=True, **COMMON)
    for name in ("operator", "sibling"):
        # Both before the others, so that both are deferred when SeeAny calls back.
        SeeAnyTaskResultOperator(task_id=name, seeany_task_id="video-25s-operator", priority_weight=100, **COMMON)
    SeeAnyTaskSensor.partial(task_id="mapped", worker_free=True, **COMMON).expand(
        seeany_task_id=["video-25s-mapped-1", "video-25s-mapped-2"]
    )
    SeeAnyTaskSensor(task_id="developer", seeany_task_id="images-25s-2x-developer", **DEVELOPER)
    SeeAnyTaskSensor(
        task_id="developer_worker_free", seeany_task_id="partial-25s-4x-developer", worker_free=True, **DEVELOPER
    )
    SeeAnyTaskSensor(task_id="failed", seeany_task_id="fails-25s-classic", retries=2, **COMMON)
    SeeAnyTaskSensor(
        task_id="failed_worker_free", seeany_task_id="fails-25s-free", worker_free=True, retries=2, **COMMON
    )
    # SeeAny calls back before the deferral may end.
    SeeAnyTaskSensor(task_id="early", seeany_task_id="video-2s-early", **COMMON)
    # Has ended by the first poll.
    SeeAnyTaskSensor(task_id="at_once", seeany_task_id="video-0s-at-once", **COMMON)
    for name, worker_free in (("lost", False), ("lost_worker_free", True)):
        SeeAnyTaskSensor(
            task_id=name,
            seeany_task_id=f"video-10s-{name}",
            worker_free=worker_free,
            callback_poll_interval=15,
            **{**COMMON, "seeany_conn_id": "silent"},
        )

    @task
    def start(ids: list[str]) -> list[str]:
        """Start simulated tasks, each by a first request."""
        hook = SeeAnyHook("calls_back")
        for each in ids:
            hook.get_task(each)
        return ids

    SeeAnyTaskBatchSensor(
        task_id="batch",
        seeany_task_ids=start([f"video-{25 + number / 10:g}s-batch-{number}" for number in range(200)]),
        # Soon after the simulated tasks have begun: it has to expect callbacks before the first one comes.
        priority_weight=100,
        **COMMON,
    )

    @task
    def url(from_template: str) -> str:
        """Return what the template gave."""
        return from_template

    url("{{ macros.seeany.callback_url('calls_back', dag_id=dag.dag_id, run_id=run_id, task_id='classic') }}")
