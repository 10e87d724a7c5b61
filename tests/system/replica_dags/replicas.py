"""Waits for callbacks, all at once."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system import replicas

with DAG("replicas", schedule=None, max_active_tasks=100):
    for task_id in replicas.ALL:
        SeeAnyTaskSensor(task_id=task_id, **replicas.options(task_id))
