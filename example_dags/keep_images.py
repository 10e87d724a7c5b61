"""
From a prompt to files of your own: create an image set, wait for it, copy its files, publish the copies.

The connection's API is ``developer``, whose payload this is. For another endpoint give ``create``, a function of your
own, instead of ``payload``. The end of the prompt tells the simulator what to make.
"""

from __future__ import annotations

from tempfile import gettempdir
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor


@dag(
    schedule=None,
    params={
        "prompt": Param("a red shoe on a white table, images-10s", type="string"),
        # Or s3://my-bucket/images, and for the download conn_id="aws_default".
        "path": Param(f"file://{gettempdir()}/seeany", type="string"),
    },
    default_args={"seeany_conn_id": "seeany_developer", "retries": 3},
    tags=["seeany", "example"],
)
def seeany_keep_images():
    # A retry reuses the id of what an earlier try has created, so it does not pay again.
    submit = SeeAnySubmitOperator(
        task_id="submit",
        payload={
            "aiTypeId": 113,
            "aiType": "smartImg",
            "prompt": "{{ params.prompt }}",
            "imgNum": 2,
            "imgRatio": "1:1",
            "size": "2K",
        },
    )

    wait = SeeAnyTaskSensor(
        task_id="wait",
        seeany_task_id=submit.output,
        # The only estimate of this API. In a template, as submit.output["wait_time"] fails where a response has none.
        expected_duration="{{ ti.xcom_pull('submit', key='wait_time') }}",
    )

    # The URLs of the result expire; the copies do not.
    download = SeeAnyDownloadOperator(
        task_id="download",
        result=wait.output,
        path="{{ params.path }}",
        # Only for the simulator, which is on this machine. Leave it out for SeeAny.
        allow_private_addresses=True,
    )

    @task
    def publish(files: list[dict[str, Any]]) -> list[str]:
        for file in files:
            print(f"publishing {file['path']}, {file['size']} bytes")
        return [file["path"] for file in files]

    publish(download.output)


seeany_keep_images()
