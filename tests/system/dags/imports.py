"""A wait whose workers tell what they import of the provider."""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk import DAG


def imported() -> set[str]:
    """Return the modules of the provider that this process has imported."""
    return {name for name in sys.modules if name.startswith("airflow_provider_seeany")}


BEFORE = imported()

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor  # noqa: E402


class TellingSensor(SeeAnyTaskSensor):
    """Pushes the names of the modules that were imported since the DAG file was begun."""

    def execute(self, context: Any) -> Any:
        """Wait in the first worker."""
        try:
            return super().execute(context)
        finally:
            context["ti"].xcom_push(key="first", value=sorted(imported() - BEFORE))

    def execute_complete(self, context: Any, event: Any) -> Any:
        """Continue in the second worker."""
        try:
            return super().execute_complete(context, event)
        finally:
            context["ti"].xcom_push(key="second", value=sorted(imported() - BEFORE))


with DAG("imports", schedule=None):
    TellingSensor(task_id="wait", seeany_task_id="video-10s-imports", poke_interval=5)
