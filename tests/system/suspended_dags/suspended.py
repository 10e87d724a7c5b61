"""Waits whose SeeAny tasks are others at the second try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.suspended import BATCH, WAITS, batch_ids, seeany_task_id

# A short delay, for a wait that is in a worker when it is cleared.
with DAG("suspended", schedule=None, max_active_tasks=100, default_args={"retry_delay": timedelta(seconds=1)}):

    @task(multiple_outputs=True)
    def submit() -> dict[str, Any]:
        """Return the ids of new SeeAny tasks."""
        try_number = get_current_context()["ti"].try_number
        ids: dict[str, Any] = {task_id: seeany_task_id(task_id, try_number) for task_id in WAITS}
        return {**ids, BATCH: batch_ids(try_number)}

    submitted = submit()
    for task_id, options in WAITS.items():
        SeeAnyTaskSensor(task_id=task_id, seeany_task_id=submitted[task_id], poke_interval=1, **options)
    SeeAnyTaskBatchSensor(task_id=BATCH, seeany_task_ids=submitted[BATCH], poke_interval=1)
