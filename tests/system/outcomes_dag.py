"""Makes the DAGs that run the table: one for each way to wait, with a task for each outcome."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, task

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.table import CELLS, SENSOR_MODES, Cell

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

OPTIONS: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False, "mode": "poke", "poke_interval": 1},
    # A busy scheduler can lose a task that is due again within seconds (apache/airflow#72716). The first poll of
    # a trigger is late enough with the interval that is the default, which also goes for what follows.
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "deferred": {},
    "mapped": {},
    "worker_free": {"worker_free": True},
    "operator": {},
    "operator_blocking": {"deferrable": False, "poll_interval": 1},
    "operator_worker_free": {"worker_free": True},
}


def wait_for(seeany_task_id: str, *, mode: str, **options: Any) -> BaseOperator | MappedOperator:
    """Make a task that waits in this way."""
    kind = SeeAnyTaskSensor if mode in SENSOR_MODES else SeeAnyTaskResultOperator
    if mode == "mapped":
        return kind.partial(**OPTIONS[mode], **options).expand(seeany_task_id=[seeany_task_id])
    return kind(seeany_task_id=seeany_task_id, **OPTIONS[mode], **options)


@task
def read(video_url: str | list[str]) -> str | list[str]:
    """Return what reached a downstream task."""
    return video_url if isinstance(video_url, str) else list(video_url)


def outcomes_dag(mode: str, cells: Iterable[Cell] = CELLS) -> None:
    """Make the DAG that runs the outcomes in one mode. Retries are on, to see that none is made."""
    with DAG(f"outcomes_{mode}", schedule=None):
        for cell in cells:
            if cell.mode != mode:
                continue
            wait = wait_for(
                cell.seeany_task_id,
                mode=mode,
                task_id=cell.task_id,
                seeany_conn_id=cell.conn_id,
                timeout=20 if cell.outcome == "timeout" else 120,
                retries=2,
                retry_delay=timedelta(seconds=1),
                **({"soft_fail": True} if cell.soft_fail else {}),
                **({"accept_partial": False} if cell.outcome == "partial_refused" else {}),
            )
            if cell == Cell("v1", mode, "completed"):
                read(wait.output["video_url"])
