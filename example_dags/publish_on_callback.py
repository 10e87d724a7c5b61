"""
Two DAGs and a callback: the first creates a video and ends; SeeAny calls back, and that starts the second.

Nothing waits and nothing polls. It takes the options ``[seeany] callback_secret`` and ``[api] base_url``.
"""

from __future__ import annotations

from airflow.sdk import Asset, Param, dag, task

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator

VIDEOS = Asset("seeany_called_back")
CONNECTION = "seeany_developer"


@dag(schedule=None, params={"prompt": Param("a dancing cat, video-10s", type="string")}, tags=["seeany", "example"])
def seeany_create_video():
    SeeAnySubmitOperator(
        task_id="create",
        payload={
            "prompt": "{{ params.prompt }}",
            # The simulator's name for it; use that of your endpoint.
            "callback_url": f"{{{{ macros.seeany.callback_url('{CONNECTION}', asset='{VIDEOS.uri}') }}}}",
        },
        seeany_conn_id=CONNECTION,
        retries=3,
    )


@dag(schedule=[VIDEOS], tags=["seeany", "example"])
def seeany_publish_on_callback():
    @task
    def publish(triggering_asset_events) -> dict[str, str]:
        published = {}
        # Videos that are completed shortly after each other may start one run together.
        for event in triggering_asset_events[VIDEOS]:
            print(f"publishing {event.extra['video_url']} of SeeAny task {event.extra['seeany_task_id']}")
            published[event.extra["seeany_task_id"]] = event.extra["video_url"]
        return published

    # Airflow fills in what a task takes by the name of a value of its context.
    publish()


seeany_create_video()
seeany_publish_on_callback()
