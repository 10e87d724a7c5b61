"""The same wait in three modes, each with a downstream task, and that task alone; for ``benchmarks.whole_waits``."""

from __future__ import annotations

from importlib.util import find_spec

from airflow.sdk import DAG, Param, task

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

INTERVAL = 2


@task
def after(task_id: str) -> float:
    """Return the seconds since the end of the remote task."""
    import time

    from benchmarks.stub import ends_at

    return time.time() - ends_at(int(task_id))


def _dag(dag_id: str) -> DAG:
    # With a default: Airflow 3.3.2's triggerer crashes on a parameter without one when a wait starts in it.
    return DAG(dag_id, schedule=None, max_active_runs=100, params={"id": Param("", type="string")})


with _dag("nothing"):
    after("{{ params.id }}")

for dag_id, worker_free in (("classic", False), ("worker_free", True)):
    with _dag(dag_id) as dag:
        SeeAnyTaskSensor(
            task_id="wait",
            seeany_task_id="{{ params.id }}",
            poke_interval=INTERVAL,
            max_poll_interval=INTERVAL,
            worker_free=worker_free,
        ) >> after("{{ params.id }}")
    globals()[dag_id] = dag

if find_spec("airflow.providers.dbt"):
    from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor

    with _dag("dbt_cloud"):
        DbtCloudJobRunSensor(
            task_id="wait",
            run_id="{{ params.id }}",
            account_id=1,
            poke_interval=INTERVAL,
            deferrable=True,
        ) >> after("{{ params.id }}")
