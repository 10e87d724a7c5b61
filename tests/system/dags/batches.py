"""Batches of SeeAny tasks: where the ids come from, and each way in which a batch can end."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor

DEVELOPER = ("images-1s-2x", "partial-2s-4x", "video-1s", "busy-0s", "partial-1s-1x", "fails-1s", "unknown")
"""What the tasks of a batch in the dialect of developers do: the first four are completed."""

with DAG("batches", schedule=None):

    @task
    def submit() -> list[str]:
        return [f"video-{number % 4}s-batch-{number}" for number in range(60)]

    @task
    def submit_one(number: int) -> str:
        return f"video-0s-batch-mapped-{number}"

    @task
    def read(result: dict[str, Any]) -> list[str]:
        """Return what reached a downstream task."""
        return [row["video_url"] for row in result["tasks"]]

    submitted = submit()
    wait = SeeAnyTaskBatchSensor(task_id="xcom_arg", seeany_task_ids=submitted)
    read(wait.output)
    submitted >> SeeAnyTaskBatchSensor(task_id="template", seeany_task_ids="{{ ti.xcom_pull(task_ids='submit') }}")
    submitted >> SeeAnyTaskBatchSensor(
        task_id="json", seeany_task_ids="{{ ti.xcom_pull(task_ids='submit') | tojson }}", poke_interval=2
    )
    SeeAnyTaskBatchSensor(task_id="mapped_upstream", seeany_task_ids=submit_one.expand(number=[1, 2, 3]))
    SeeAnyTaskBatchSensor(task_id="empty", seeany_task_ids=[])
    SeeAnyTaskBatchSensor(task_id="large", seeany_task_ids=[f"video-0s-batch-large-{n}" for n in range(600)])

    mixed = ["video-0s-batch-mixed", "fails-0s-batch-mixed", "unknown-batch-mixed"]
    SeeAnyTaskBatchSensor(task_id="failed", seeany_task_ids=mixed, retries=2)
    SeeAnyTaskBatchSensor(task_id="failed_soft", seeany_task_ids=mixed, retries=2, soft_fail=True)
    SeeAnyTaskBatchSensor(task_id="allowed", seeany_task_ids=mixed, allow_failures=True)
    SeeAnyTaskBatchSensor(
        task_id="fail_fast", seeany_task_ids=["never-batch-fast", "fails-0s-batch-fast"], fail_fast=True, retries=2
    )
    SeeAnyTaskBatchSensor(
        task_id="fail_fast_late",
        seeany_task_ids=["never-batch-late", "video-0s-batch-late", "fails-9s-batch-late"],
        fail_fast=True,
        poke_interval=2,
        max_poll_interval=2,
    )
    SeeAnyTaskBatchSensor(
        task_id="very_large",
        # Long ids, so that a few hundred of them are too large already.
        seeany_task_ids=[f"video-0s-batch-very-large-{number:0200}" for number in range(400)],
        max_requests_per_second=300,
        do_xcom_push=False,
    )
    SeeAnyTaskBatchSensor(task_id="failed_silently", seeany_task_ids=mixed, do_xcom_push=False)
    SeeAnyTaskBatchSensor(
        task_id="failed_large",
        seeany_task_ids=[*(f"video-0s-batch-kept-{number}" for number in range(600)), "fails-0s-batch-kept"],
    )
    SeeAnyTaskBatchSensor(
        task_id="timeout_soft",
        seeany_task_ids=["video-0s-batch-soft", "never-batch-soft"],
        timeout=12,
        soft_fail=True,
    )
    SeeAnyTaskBatchSensor(
        task_id="timeout", seeany_task_ids=["video-0s-batch-timeout", "never-batch-timeout"], timeout=12, retries=2
    )
    SeeAnyTaskBatchSensor(
        task_id="unauthorized", seeany_task_ids=["video-0s-x"], seeany_conn_id="seeany_bad_key", retries=2
    )
    SeeAnyTaskBatchSensor(
        task_id="developer",
        seeany_task_ids=[f"{what}-batch-developer" for what in DEVELOPER],
        seeany_conn_id="seeany_developer",
        allow_failures=True,
    )
    SeeAnyTaskBatchSensor(
        task_id="developer_partial_refused",
        seeany_task_ids=["images-1s-batch-refused", "partial-2s-batch-refused"],
        seeany_conn_id="seeany_developer",
        accept_partial=False,
        retries=2,
    )
    SeeAnyTaskBatchSensor(
        task_id="developer_unauthorized",
        seeany_task_ids=["video-0s-x"],
        seeany_conn_id="seeany_developer_bad_key",
        retries=2,
    )
    SeeAnyTaskBatchSensor(task_id="bad_id", seeany_task_ids=["video-0s-x", ""], retries=2)
