"""
Handling a failure: SeeAny rejects some videos, and the DAG continues without them.

A task that SeeAny reports as failed fails the sensor at once and is never retried: the same id would fail again.
Airflow's trigger rules decide what runs then.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor


@dag(schedule=None, params={"seeany_task_id": Param("fails-10s", type="string")}, tags=["seeany", "example"])
def seeany_handle_failure():
    wait = SeeAnyTaskSensor(task_id="wait", seeany_task_id="{{ params.seeany_task_id }}")

    @task
    def publish(video_url: str) -> str:
        return video_url

    @task(trigger_rule="all_failed")
    def use_fallback() -> str:
        # The sensor's log has the reason: the error code and the platform's message.
        context = get_current_context()
        return f"a stock picture instead of {context['params']['seeany_task_id']}"

    publish(wait.output["video_url"])
    wait >> use_fallback()


seeany_handle_failure()
