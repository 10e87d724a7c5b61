"""Records each iteration of the loop in a triggerer's supervisor; turns the provider's preparation off on request."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LoopWatch(AirflowPlugin):
    """Watches a triggerer."""

    name = "first_wait_loop_watch"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Wrap the supervisor's heartbeat."""
        if "airflow.cli.commands.triggerer_command" not in sys.modules:
            return
        from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

        from airflow_provider_seeany.triggers import supervisor_api

        if os.environ["FIRST_WAIT_PREPARED"] == "0":
            supervisor_api.prepare = lambda: None
        watched: Any = TriggerRunnerSupervisor
        heartbeat = watched.heartbeat

        def recorded(self: Any) -> None:
            with open(os.environ["FIRST_WAIT_ITERATIONS"], "a", encoding="ascii") as iterations:
                iterations.write(f"{time.time()}\n")
            heartbeat(self)

        watched.heartbeat = recorded
