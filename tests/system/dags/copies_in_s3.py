"""Downloads to S3, one for each result of mapped waits."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.s3 import BUCKET

with DAG("copies_in_s3", schedule=None):
    wait = SeeAnyTaskSensor.partial(task_id="wait").expand(
        seeany_task_id=["video-0s-in-s3-a", "images-0s-2x-in-s3-b", "video-0s-in-s3-c"]
    )
    SeeAnyDownloadOperator.partial(
        task_id="keep",
        path=f"s3://{BUCKET}/{{{{ dag.dag_id }}}}/",
        conn_id="aws_studio",
        files=["video", "images"],
        allow_private_addresses=True,
    ).expand(result=wait.output)
