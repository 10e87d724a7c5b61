"""A DAG that creates a SeeAny task and ends, and one that SeeAny's callback about it starts."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator

VIDEOS = Asset("s3://studio/videos")

with DAG("creates", schedule=None):
    for name in ("video", "fails"):
        SeeAnySubmitOperator(task_id=name, payload={"prompt": f"{name}-5s"}, seeany_conn_id="starts_dags")

with DAG("started_by_callback", schedule=[VIDEOS]):

    @task
    def read(triggering_asset_events: Any = None) -> list[Any]:
        """Return what the events tell."""
        return [event.extra for event in triggering_asset_events[VIDEOS]]

    read()
