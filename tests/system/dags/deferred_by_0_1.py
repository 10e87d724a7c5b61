"""A wait whose first try is deferred as version 0.1.0 did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.triggers.test_upgrade import BY_0_1, TASK


class StoredBy01(SeeAnyTaskTrigger):
    """Stores what version 0.1.0 stored."""

    def __init__(self) -> None:
        super().__init__(seeany_task_id=BY_0_1["seeany_task_id"], settings={})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return it."""
        return TASK, BY_0_1


class DeferredBy01(SeeAnyTaskSensor):
    """Defers its first try that way; a retry waits as it does now."""

    def execute(self, context: Any) -> Any:
        """Wait."""
        if context["ti"].try_number == 1:
            self.defer(trigger=StoredBy01(), method_name="execute_complete")
        return super().execute(context)


with DAG("deferred_by_0_1", schedule=None, default_args={"retry_delay": timedelta(seconds=1)}):
    DeferredBy01(task_id="retried", seeany_task_id="video-0s-retried", retries=1)
    DeferredBy01(task_id="not_retried", seeany_task_id="video-0s-not-retried", retries=0)
