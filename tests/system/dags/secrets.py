"""Waits through a server that quotes the key wherever it can, and waits that a user has to end."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.echoes import ECHOED, ECHOES, HELD

with DAG("secrets", schedule=None):
    for mode, names in ECHOED.items():
        for name in names:
            kind = SeeAnyTaskResultOperator if mode == "operator" else SeeAnyTaskSensor
            kind(
                task_id=f"{name}_{mode}",
                seeany_task_id=name,
                seeany_conn_id="seeany_echo",
                timeout=20,
                deferrable=mode != "poke",
                worker_free=mode == "worker_free",
                **{"poll_interval" if mode == "operator" else "poke_interval": 1},
            )
    SeeAnyTaskBatchSensor(
        task_id="batch", seeany_task_ids=list(ECHOES), seeany_conn_id="seeany_echo", timeout=20, poke_interval=1
    )

with DAG("held", schedule=None):
    SeeAnyTaskSensor(task_id="poke", seeany_task_id=HELD["poke"], deferrable=False, poke_interval=1)
    SeeAnyTaskSensor(task_id="deferred", seeany_task_id=HELD["deferred"])
    SeeAnyTaskSensor(task_id="worker_free", seeany_task_id=HELD["worker_free"], worker_free=True)
    SeeAnyTaskBatchSensor(task_id="batch", seeany_task_ids=[HELD["batch"], "video-0s-held"])
    SeeAnyTaskSensor(task_id="resumed", seeany_task_id=HELD["resumed"])
