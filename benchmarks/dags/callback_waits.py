"""A DAG per mode: parallel waits, each with a downstream task that returns the time at which its code began."""

from __future__ import annotations

import time

from airflow.sdk import DAG, task

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from benchmarks.callback import LOST_INTERVAL, WAITS, WAYS, seeany_task_id


@task
def began(url: str) -> float:
    """Return the current time."""
    return time.time()


for way, options in WAYS.items():
    with DAG(way, schedule=None, max_active_tasks=2 * WAITS):
        for number in range(WAITS):
            wait = SeeAnyTaskSensor(
                task_id=f"wait_{number}",
                seeany_task_id=seeany_task_id(way, number),
                seeany_conn_id=options.connection,
                worker_free=options.worker_free,
                expect_callback=options.expect_callback,
                callback_poll_interval=LOST_INTERVAL if options.connection == "silent" else 120,
                max_poll_interval=10,
            )
            began.override(task_id=f"began_{number}")(wait.output["video_url"])  # type: ignore[index]
