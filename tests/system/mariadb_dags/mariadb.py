"""Waits on an Airflow whose database is MariaDB: every way to wait, and batches of very many ids."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, get_parsing_context, task

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.mariadb import BATCHES, CALLS_BACK, CELLS, batch_ids
from tests.system.outcomes_dag import outcomes_dag
from tests.system.table import MODES

needed = get_parsing_context().dag_id
for mode in MODES:
    if needed in (None, f"outcomes_{mode}"):
        outcomes_dag(mode, CELLS)


@task
def submit(batch: str) -> list[str]:
    """Return the ids of a batch."""
    return batch_ids(batch)


with DAG("batches", schedule=None):
    for batch in BATCHES:
        SeeAnyTaskBatchSensor(
            task_id=batch,
            seeany_task_ids=submit.override(task_id=f"submit_{batch}")(batch),
            max_requests_per_second=500,
            timeout=60 if batch == "times_out" else 600,
            retries=2,
        )

video = Asset("mariadb_video")

with DAG("kinds", schedule=None):
    SeeAnySubmitOperator(task_id="submit", create=lambda: {"id": "video-0s-submit"}, wait=True, outlets=[video])
    # Only a callback can end them in time.
    called_back = {"seeany_conn_id": CALLS_BACK, "expect_callback": True, "callback_poll_interval": 600}
    SeeAnyTaskSensor(task_id="callback", seeany_task_id="video-25s-sensor", **called_back)
    SeeAnyTaskSensor(task_id="callback_worker_free", seeany_task_id="video-25s-free", worker_free=True, **called_back)

with DAG("started_by_asset", schedule=[video]):

    @task
    def read(triggering_asset_events: dict[Asset, list[object]]) -> list[object]:
        """Return what the event tells."""
        return [event.extra["seeany_task_id"] for events in triggering_asset_events.values() for event in events]

    read()
