"""
Two DAGs and an asset: when a video is completed, the second DAG starts, and reads URL and cost from the asset's event.

The second DAG need not know which DAG or task made the video.
"""

from __future__ import annotations

from airflow.sdk import Asset, Param, dag, task

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

VIDEOS = Asset("seeany_videos")


@dag(schedule=None, params={"seeany_task_id": Param("video-10s-asset", type="string")}, tags=["seeany", "example"])
def seeany_make_video():
    # Only a success makes an event. With an outlet it takes a worker at its end, also if `worker_free` is on.
    SeeAnyTaskSensor(task_id="wait", seeany_task_id="{{ params.seeany_task_id }}", outlets=[VIDEOS])


@dag(schedule=[VIDEOS], tags=["seeany", "example"])
def seeany_publish_videos():
    @task
    def publish(triggering_asset_events) -> list[str]:
        published = []
        # Videos that are completed shortly after each other may start one run together.
        for event in triggering_asset_events[VIDEOS]:
            print(f"publishing {event.extra['video_url']}, which cost {event.extra['cost']} {event.extra['cost_unit']}")
            published.append(event.extra["video_url"])
        return published

    # Airflow fills in what a task takes by the name of a value of its context.
    publish()


seeany_make_video()
seeany_publish_videos()
