"""One wait."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

with DAG("first_wait", schedule=None):
    SeeAnyTaskSensor(task_id="wait", seeany_task_id="video-20s-first", poke_interval=5)
