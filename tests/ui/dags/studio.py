"""Waits in every state, for a browser to show."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor


def fail_afterwards(context: Any, result: Any) -> None:
    """Fail what has its result."""
    raise RuntimeError("after the result")


with DAG("shoe_videos", schedule=None):
    finished = SeeAnyTaskSensor(
        task_id="finished", seeany_task_id="video-3s-red-shoes", deferrable=False, poke_interval=1
    )
    SeeAnyDownloadOperator(
        task_id="kept",
        result=finished.output,
        path=f"file://{os.environ['AIRFLOW_HOME']}/kept",
        allow_private_addresses=True,
    )
    # The simulator is at a private address.
    SeeAnyDownloadOperator(task_id="lost", result=finished.output, path=f"file://{os.environ['AIRFLOW_HOME']}/lost")
    SeeAnyTaskSensor.partial(task_id="colours").expand(seeany_task_id=["video-3s-blue-shoes", "video-3s-green-shoes"])
    SeeAnyTaskSensor(task_id="under_way", seeany_task_id="video-900s-winter-boots")
    SeeAnyTaskSensor(task_id="poking", seeany_task_id="never-clogs", deferrable=False, poke_interval=5)
    SeeAnyTaskSensor(task_id="failed", seeany_task_id="fails-3s-forbidden", deferrable=False, poke_interval=1)
    SeeAnyTaskSensor(task_id="timed_out", seeany_task_id="never-slippers", timeout=8)
    SeeAnyTaskSensor(task_id="image_set", seeany_task_id="images-3s-5x-sandals", deferrable=False, poke_interval=1)
    refused = SeeAnyTaskBatchSensor(task_id="refused", seeany_task_ids=[f"fails-0s-boot-{n}" for n in range(1, 31)])
    refused >> SeeAnyTaskSensor(task_id="passed_over", seeany_task_id="video-3s-laces")
    SeeAnyTaskBatchSensor(
        task_id="batch",
        seeany_task_ids=[
            *(f"video-0s-sneaker-{n}" for n in range(1, 8)),
            "images-0s-3x-sneaker-8",
            "fails-0s-sneaker-9",
        ],
        allow_failures=True,
    )

    SeeAnyTaskBatchSensor(task_id="mixed", seeany_task_ids=["video-0s-heel", "fails-0s-heel-2", "images-0s-2x-heel-3"])
    SeeAnyTaskSensor(task_id="skipped", seeany_task_id="fails-0s-socks", soft_fail=True)
    SeeAnyTaskSensor(
        task_id="retrying",
        seeany_task_id="video-3s-moccasins",
        seeany_conn_id="not_there",
        retries=1,
        retry_delay=timedelta(hours=1),
    )
    SeeAnyTaskSensor(task_id="failed_later", seeany_task_id="video-0s-clogs", post_execute=fail_afterwards)

    @task
    def foreign() -> None:
        """Do nothing with SeeAny."""

    foreign()

with DAG("weekly_campaign", schedule=None):
    SeeAnyTaskSensor.partial(task_id="wait").expand(seeany_task_id=["video-0s-campaign"])

with DAG("product_teasers", schedule=None):
    SeeAnyTaskSensor.partial(task_id="wait").expand(seeany_task_id=["video-0s-teaser"])
