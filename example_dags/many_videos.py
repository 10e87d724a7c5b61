"""
Many videos: one mapped wait for each id, all at the same time, then one task that reads all results.

Hundreds of these waits fit into one triggerer; a worker is busy only at the start and at the end of each.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator


@dag(
    schedule=None,
    params={"seeany_task_ids": Param(["video-10s-a", "video-15s-b", "images-20s-4x-c"], type="array")},
    tags=["seeany", "example"],
)
def seeany_many_videos():
    @task
    def submitted(params: dict[str, Any]) -> list[str]:
        # In a real DAG this task creates the videos and returns their ids.
        return params["seeany_task_ids"]

    # The operator waits too, so a sensor before it is not needed.
    results = SeeAnyTaskResultOperator.partial(task_id="result").expand(seeany_task_id=submitted())

    # Also when some of them failed: the others still cost money.
    @task(trigger_rule="all_done")
    def summarise(payloads: list[dict[str, Any]]) -> dict[str, str]:
        totals: dict[str, Decimal] = {}
        for usage in (payload.get("usage", {}) for payload in payloads):
            # Per currency, and in decimals: floats do not add up exactly.
            unit = usage.get("cost_unit", "no currency")
            totals[unit] = totals.get(unit, Decimal(0)) + Decimal(str(usage.get("cost", 0)))
        return {unit: str(total) for unit, total in totals.items()}

    summarise(results.output)


seeany_many_videos()
