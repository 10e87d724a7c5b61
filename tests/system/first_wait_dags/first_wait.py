"""SeeAny's waits, and one of another kind that needs nothing of Airflow's database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Context, task

from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor


class Pause(BaseOperator):
    """Wait a second in the triggerer."""

    def execute(self, context: Context) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="back")

    def back(self, context: Context, event: Any) -> None:
        pass


with DAG("first_wait", schedule=None):

    @task
    def submit() -> str:
        return "video-20s-worker-free"

    SeeAnyTaskSensor(task_id="sensor", seeany_task_id="video-20s-sensor", poke_interval=2)
    SeeAnyTaskBatchSensor(task_id="batch", seeany_task_ids=["video-20s-batch"], poke_interval=2)
    # What its template pulls is fetched before the trigger runs.
    SeeAnyTaskSensor(task_id="worker_free", seeany_task_id=submit(), poke_interval=2, worker_free=True)

with DAG("others", schedule=None):
    Pause(task_id="pause")
