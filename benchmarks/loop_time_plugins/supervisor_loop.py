"""Records when the loop of a triggerer's supervisor runs, with or without the provider's preparation."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class SupervisorLoop(AirflowPlugin):
    """Records the loops of a triggerer."""

    name = "supervisor_loop"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Replace the heartbeat, which each loop sends."""
        if "airflow.cli.commands.triggerer_command" not in sys.modules:
            return
        from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

        from airflow_provider_seeany.triggers import supervisor_api

        if os.environ["PREPARES_FIRST_WAIT"] == "0":
            supervisor_api.prepare = lambda: None
        supervisor: Any = TriggerRunnerSupervisor
        heartbeat = supervisor.heartbeat

        def recorded(self: Any) -> None:
            with open(os.environ["LOOP_TIMES"], "a", encoding="ascii") as times:
                times.write(f"{time.time()}\n")
            heartbeat(self)

        supervisor.heartbeat = recorded
