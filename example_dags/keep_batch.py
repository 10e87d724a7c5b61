"""
Many videos as one batch: one task waits for all of them, the next one copies their files, also if some videos failed.

Up to 10 000 ids take one task instance and one trigger. ``many_videos.py`` has a task instance for each id instead.
"""

from __future__ import annotations

from tempfile import gettempdir
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor


@dag(
    schedule=None,
    params={
        "seeany_task_ids": Param(["video-5s-batch-a", "images-5s-2x-batch-b", "fails-5s-batch-c"], type="array"),
        # Or s3://my-bucket/videos, and for the download conn_id="aws_default".
        "path": Param(f"file://{gettempdir()}/seeany", type="string"),
    },
    tags=["seeany", "example"],
)
def seeany_keep_batch():
    wait = SeeAnyTaskBatchSensor(
        task_id="wait", seeany_task_ids="{{ params.seeany_task_ids }}", allow_failures=True, timeout=3600
    )

    download = SeeAnyDownloadOperator(
        task_id="download",
        result=wait.output,
        path="{{ params.path }}",
        files=["video", "images"],
        # What is stored already is not fetched again.
        retries=3,
        # Only for the simulator, which is on this machine. Leave it out for SeeAny.
        allow_private_addresses=True,
    )

    @task
    def report(batch: dict[str, Any]) -> dict[str, float]:
        for value in batch["tasks"]:
            # Typed; it reads the short rows of a large batch as well.
            done = SeeAnyTask.from_xcom(value)
            print(f"{done.id} cost {done.usage.cost} {done.usage.cost_unit}")
        for failure in batch["failures"]:
            print(f"{failure['id']} failed: {failure['reason']}")
        return batch["cost"]

    download >> report(wait.output)


seeany_keep_batch()
