"""Notes each turn of the loop in a triggerer's supervisor, and switches off what the provider does if told to."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class PollQueue(AirflowPlugin):
    """Watches a triggerer."""

    name = "first_wait_turns"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Replace what is to be watched."""
        if "airflow.cli.commands.triggerer_command" not in sys.modules:
            return
        from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

        from airflow_provider_seeany.triggers import supervisor_api

        if os.environ["FIRST_WAIT_PREPARED"] == "0":
            supervisor_api.prepare = lambda: None
        watched: Any = TriggerRunnerSupervisor
        heartbeat = watched.heartbeat

        def noted(self: Any) -> None:
            with open(os.environ["FIRST_WAIT_TURNS"], "a", encoding="ascii") as turns:
                turns.write(f"{time.time()}\n")
            heartbeat(self)

        watched.heartbeat = noted
