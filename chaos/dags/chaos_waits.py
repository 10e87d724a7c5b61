"""The DAGs of the waits, with and without workers; each wait has a downstream task that records its run."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, get_parsing_context, task

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from chaos.plan import DAG_IDS, NOTES_VARIABLE, WAITS, PlannedWait


@task(trigger_rule="all_done")
def note(wait: str) -> None:
    """Record that the task after a wait ran, and the payload that it received."""
    payload = get_current_context()["ti"].xcom_pull(task_ids=wait)
    line = json.dumps({"wait": wait, "payload": payload}) + "\n"
    notes = os.open(os.environ[NOTES_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        # In one call: others write to the same file concurrently.
        os.write(notes, line.encode())
    finally:
        os.close(notes)


def waiting(planned: PlannedWait) -> SeeAnyTaskSensor | SeeAnyTaskResultOperator | SeeAnyTaskBatchSensor:
    """Create the task that waits. Retries are on, to check that none happens."""
    options: dict[str, Any] = {
        "task_id": planned.task_id,
        "timeout": planned.timeout,
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
    }
    if planned.kind == "batch":
        return SeeAnyTaskBatchSensor(seeany_task_ids=list(planned.seeany_task_ids), allow_failures=True, **options)
    kind = SeeAnyTaskSensor if planned.kind == "sensor" else SeeAnyTaskResultOperator
    return kind(seeany_task_id=planned.seeany_task_ids[0], worker_free=planned.worker_free, **options)


needed = get_parsing_context().dag_id
for dag_id in DAG_IDS:
    if needed in (None, dag_id):
        with DAG(dag_id, schedule=None, max_active_tasks=1000):
            for planned in WAITS:
                if planned.dag_id == dag_id:
                    waiting(planned) >> note.override(task_id=planned.downstream)(planned.task_id)
