"""The DAGs of ``benchmarks.scale``: the same waits in each way, in one DAG or in many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.stub import task_id

INTERVAL = 5
"""Seconds between two polls, the peer's default."""

WAYS = {
    "sensor": "sensor",
    "worker_free": "worker-free",
    "mapped": "mapped sensor",
    "callback": "sensor, callback",
    "batch": "batch",
    "batch_callback": "batch, callback",
    "peer": "dbt Cloud",
    "peer_result": "dbt Cloud, with its result",
}
PEERS = tuple(way for way in WAYS if way.startswith("peer"))
CALLED_BACK = ("callback", "batch_callback")
BATCHES = ("batch", "batch_callback")


def installed_ways() -> list[str]:
    """Return the ways that can be measured here."""
    return [way for way in WAYS if way not in PEERS or find_spec("airflow.providers.dbt")]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The waits of one measurement.

    :param first: the number of the first wait, so that no other plan has the same ids.
    :param per_second: how many remote tasks end in a second.
    """

    way: str
    waits: int
    dags: int
    first: int
    per_second: float

    @property
    def dag_ids(self) -> list[str]:
        """The ids of its DAGs."""
        return [f"{self.way}_{self.first}_{number}" for number in range(self.dags)]

    @property
    def task_instances(self) -> int:
        """How many task instances wait."""
        return self.dags if self.way in BATCHES else self.waits

    def ids(self, dag: int) -> list[int]:
        """Return the ids of the remote tasks of a DAG; their ends are spread over all of the time."""
        return [
            task_id(self.first + number, ends_ms=round(1000 * number / self.per_second))
            for number in range(dag, self.waits, self.dags)
        ]

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and content of a file for each DAG, as a worker reads the whole file of its DAG."""
        for number, dag_id in enumerate(self.dag_ids):
            lines = (
                "# A DAG of Airflow.",
                "from benchmarks.scale_dags import Plan, dag_of",
                f"dag = dag_of({self!r}, {number})",
            )
            yield f"{dag_id}.py", "\n".join(lines)


def dag_of(plan: Plan, number: int) -> Any:
    """Return one of the DAGs of a plan."""
    from airflow.sdk import DAG

    with DAG(plan.dag_ids[number], schedule=None, max_active_tasks=100_000) as dag:
        _add_waits(plan.way, [str(each) for each in plan.ids(number)])
    return dag


def _add_waits(way: str, ids: list[str]) -> None:
    """Import only what the way needs: each worker that starts imports it."""
    if way in PEERS:
        _add_peers(way, ids)
        return
    intervals: dict[str, Any] = {"poke_interval": INTERVAL, "max_poll_interval": INTERVAL}
    if way in BATCHES:
        from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor

        SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=ids, expect_callback=way in CALLED_BACK, **intervals)
        return
    from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

    if way == "mapped":
        SeeAnyTaskSensor.partial(task_id="wait", **intervals).expand(seeany_task_id=ids)
        return
    options = {"worker_free": way == "worker_free", "expect_callback": way in CALLED_BACK}
    for each in ids:
        SeeAnyTaskSensor(task_id=f"wait_{each}", seeany_task_id=each, **options, **intervals)


def _add_peers(way: str, ids: list[str]) -> None:
    from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor

    class WithResult(DbtCloudJobRunSensor):  # type: ignore[misc]
        """Fetches the result of the run at its end, and pushes it."""

        def execute_complete(self, context: Any, event: Any = None) -> Any:
            super().execute_complete(context, event)
            return self.hook.get_job_run_artifact(self.run_id, "run_results.json", account_id=self.account_id).json()

    sensor = WithResult if way == "peer_result" else DbtCloudJobRunSensor
    for each in ids:
        sensor(task_id=f"wait_{each}", run_id=each, account_id=1, poke_interval=INTERVAL, deferrable=True)
