"""
Makes a triggerer that has just started as fast as one that has been running.

A triggerer gets connections from an API of its own, which it builds when a trigger first asks for one: some 10 s
on a small machine, in which no trigger does anything. In daily life nobody notices.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, BaseOperator, Context

from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger


class WarmUp(BaseOperator):
    """Let a trigger ask once."""

    def execute(self, context: Context) -> None:
        """Leave for the triggerer at once."""
        self.defer(trigger=SeeAnyTaskTrigger(seeany_task_id="video-0s-warm-up"), method_name="back")

    def back(self, context: Context, event: dict[str, Any]) -> None:
        """Come back; what the trigger found does not matter."""


with DAG("warm_up", schedule=None, tags=["demo"]):
    WarmUp(task_id="warm_up")
