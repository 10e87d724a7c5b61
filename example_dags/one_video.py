"""
One video: wait for a SeeAny task, push its result, use it downstream.

The id comes from the call that created the task. Here it is a parameter of the run; its default is an id of the
simulator (``python -m airflow_provider_seeany.simulator``): a video that takes 20 seconds.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor


@dag(schedule=None, params={"seeany_task_id": Param("video-20s-one", type="string")}, tags=["seeany", "example"])
def seeany_one_video():
    seeany_task_id = "{{ params.seeany_task_id }}"

    # Waits in the triggerer: no worker is held, however long the video takes.
    wait = SeeAnyTaskSensor(task_id="wait", seeany_task_id=seeany_task_id, timeout=3600)

    # The task is done by now, so this returns at once. (It would wait, too: a sensor before it is optional.)
    result = SeeAnyTaskResultOperator(task_id="result", seeany_task_id=seeany_task_id)

    @task
    def publish(video_url: str, cost: float) -> str:
        print(f"publishing {video_url}, which cost {cost}")
        return video_url

    wait >> result
    publish(result.output["video_url"], result.output["cost"])


seeany_one_video()
