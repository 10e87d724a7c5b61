"""Waits on an Airflow with several of each process: how they end, and while one of each is killed."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import requests
from airflow.sdk import DAG, Asset, get_current_context, get_parsing_context

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.outcomes_dag import outcomes_dag
from tests.system.scaled_out import CALLS_BACK, CELLS, HANGS, HELD, QUEUE, held_id
from tests.system.table import MODES

needed = get_parsing_context().dag_id
for mode in MODES:
    if needed in (None, f"outcomes_{mode}"):
        outcomes_dag(mode, CELLS)


def hang(*_: Any) -> None:
    """Wait in the first try until the worker is killed."""
    print(HANGS)
    while get_current_context()["ti"].try_number == 1:
        signal.pause()


def create(url: str, label: str, hangs: bool) -> Any:
    """Create a task at the counting server."""
    response = requests.post(f"{url}/{label}", json={}, timeout=30)
    response.raise_for_status()
    if hangs:
        hang()
    return response.json()


def submit(label: str, *, hangs: bool = False, **options: Any) -> SeeAnySubmitOperator:
    """Create a task under a label by which it is counted."""
    op_kwargs = {"url": "{{ dag_run.conf['url'] }}", "label": label, "hangs": hangs}
    return SeeAnySubmitOperator(task_id=label, create=create, op_kwargs=op_kwargs, **options)


with DAG("kinds", schedule=None):
    SeeAnyTaskBatchSensor(
        task_id="batch", seeany_task_ids=[f"video-{number % 4}s-batch-{number}" for number in range(20)]
    )
    submit("submit", wait=True)
    called_back: dict[str, Any] = {
        "seeany_conn_id": CALLS_BACK,
        "expect_callback": True,
        # Only a callback can end them in time.
        "callback_poll_interval": 600,
    }
    SeeAnyTaskSensor(task_id="callback", seeany_task_id="video-25s-sensor", **called_back)
    SeeAnyTaskResultOperator(
        task_id="callback_worker_free", seeany_task_id="video-25s-worker-free", worker_free=True, **called_back
    )


with DAG("faults", schedule=None, default_args={"retry_delay": timedelta(seconds=1)}):
    on_one_worker: dict[str, Any] = {"queue": QUEUE}
    poke: dict[str, Any] = {"seeany_conn_id": HELD, "deferrable": False, "poke_interval": 1, **on_one_worker}
    SeeAnyTaskSensor(task_id="poke_retried", seeany_task_id=held_id("poke_retried"), retries=1, **poke)
    SeeAnyTaskSensor(task_id="poke_failed", seeany_task_id=held_id("poke_failed"), retries=0, **poke)
    submit("before_the_store", hangs=True, retries=1, **on_one_worker)
    submit("after_the_store", post_execute=hang, retries=1, **on_one_worker)

    held: dict[str, Any] = {"seeany_conn_id": HELD, "retries": 0, "max_poll_interval": 5}
    SeeAnyTaskSensor(task_id="sensor", seeany_task_id=held_id("sensor"), **held)
    SeeAnyTaskSensor(task_id="worker_free", seeany_task_id=held_id("worker_free"), worker_free=True, **held)
    SeeAnyTaskResultOperator(task_id="operator", seeany_task_id=held_id("operator"), **held)
    SeeAnyTaskBatchSensor(task_id="batch", seeany_task_ids=[held_id("batch")], **held)
    SeeAnyTaskSensor(task_id="routed", seeany_task_id=held_id("routed"), queue=QUEUE, **held)
    # The SeeAny task of this one ends while there is no Redis, and it needs a worker at its end.
    SeeAnyTaskSensor(
        task_id="meanwhile",
        seeany_task_id=held_id("meanwhile"),
        outlets=[Asset("meanwhile")],
        **{**held, "retries": 3, "retry_delay": timedelta(seconds=15)},
    )
