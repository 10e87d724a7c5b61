"""
Many concurrent waits, a handled failure, and the total cost: the DAG of ``make demo``.

One of the waits uses a connection for the other dialect of the API, and differs in nothing else.
The ids are parameters of the run. Their defaults are ids of the simulator, and describe the scenario.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from airflow.sdk import Context, Param, dag, get_current_context, task

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

# The platform recommends 10 s. The demo uses less with the simulator, to show more progress.
POLL_SECONDS = float(os.environ.get("SEEANY_DEMO_POLL_SECONDS", "10"))
SINGLES = {"shoes": "seeany_default", "bag": "seeany_default", "developer": "seeany_developer"}
KEYS = ("video_url", "cost", "result_urls")


def keep_failure(context: Context) -> None:
    """Push why a task failed, for the task that handles it."""
    error = context["exception"]
    context["ti"].xcom_push(key="failure", value={"exception": type(error).__name__, "text": str(error)})


@dag(
    schedule=None,
    params={
        "shoes": Param("video-8s-shoes", type="string"),
        "bag": Param("video-11s-bag", type="string"),
        "developer": Param("images-14s-2x-poster", type="string"),
        "many": Param(["video-9s-chair", "images-12s-4x-sofa", "video-15s-desk"], type="array"),
        "refused": Param("fails-7s-refused", type="string"),
    },
    tags=["seeany", "demo"],
)
def seeany_demo() -> None:
    """Wait for everything at once, then add up the cost."""

    @task
    def submitted() -> list[str]:
        # In a real DAG this task creates the videos and returns their ids.
        return list(get_current_context()["params"]["many"])

    @task
    def receive(payload: Any, wait: str) -> dict[str, Any]:
        """Return what a downstream task received: the whole payload, and each XCom by its key."""
        ti = get_current_context()["ti"]
        # An image set has no video_url: fields missing from the response are not pushed.
        found = {key: ti.xcom_pull(task_ids=wait, key=key, map_indexes=ti.map_index) for key in KEYS}
        xcoms = {key: value for key, value in found.items() if value is not None}
        return {"wait": wait, "map_index": ti.map_index, "payload": payload, "xcoms": xcoms}

    @task(trigger_rule="all_failed")
    def handle(wait: str) -> dict[str, str]:
        """Continue after the failure, and return its reason."""
        failure: dict[str, str] = get_current_context()["ti"].xcom_pull(task_ids=wait, key="failure")
        return failure

    @task
    def collect(singles: Any, many: Any, failure: Any) -> dict[str, Any]:
        """Add up the costs by currency, as decimals."""
        received = [*singles, *many]
        totals: dict[str, Decimal] = {}
        for each in received:
            cost = each["xcoms"].get("cost")
            if cost is not None:
                unit = each["payload"]["usage"]["cost_unit"]
                totals[unit] = totals.get(unit, Decimal(0)) + Decimal(str(cost))
        return {
            "received": received,
            "failure": failure,
            "totals": {unit: str(total) for unit, total in totals.items()},
        }

    singles = []
    for name, conn_id in SINGLES.items():
        wait = SeeAnyTaskSensor(
            task_id=f"wait_{name}",
            seeany_task_id=f"{{{{ params.{name} }}}}",
            seeany_conn_id=conn_id,
            poke_interval=POLL_SECONDS,
        )
        singles.append(receive.override(task_id=f"receive_{name}")(payload=wait.output, wait=f"wait_{name}"))

    wait_many = SeeAnyTaskResultOperator.partial(task_id="wait_many", poll_interval=POLL_SECONDS).expand(
        seeany_task_id=submitted()
    )
    many = receive.override(task_id="receive_many").partial(wait="wait_many").expand(payload=wait_many.output)

    wait_refused = SeeAnyTaskSensor(
        task_id="wait_refused",
        seeany_task_id="{{ params.refused }}",
        poke_interval=POLL_SECONDS,
        on_failure_callback=keep_failure,
    )
    handled = handle(wait="wait_refused")
    wait_refused >> handled

    collect(singles, many, handled)


seeany_demo()
