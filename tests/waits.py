"""Sensors and operators called as Airflow's task runner calls them, without the task runner."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator

KINDS: list[type[BaseTaskWaitOperator]] = [SeeAnyTaskSensor, SeeAnyTaskResultOperator]
starts_triggers = pytest.mark.skipif(
    not AIRFLOW_V_3_3_PLUS,
    reason="Airflow starts no trigger by itself before 3.3",
)
LOST = ("__fail__", {"error": "Trigger timeout"})
"""What Airflow calls a task with whose deferral it has ended itself."""


class TaskInstance:
    """Keeps what is pushed for downstream tasks."""

    dag_id, run_id, task_id, map_index = "waits", "run", "wait", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        assert not key.startswith("_"), "what is the UI's own goes past the XCom backend"
        self.pushed[key] = value

    def get_first_reschedule_date(self, context: Any) -> None:
        """Say that this is the first time."""


def context() -> Any:
    """Return as much of a context as a wait uses."""
    return {"ti": TaskInstance()}


def wait(kind: type[BaseTaskWaitOperator], seeany_task_id: Any = "x", **more: Any) -> Any:
    """Return a sensor or operator that logs where pytest looks."""
    with nullcontext() if DagContext.get_current() else DAG("waits", schedule=None):
        waiting = cast(Any, kind)(**{"task_id": "wait", "seeany_task_id": seeany_task_id, **more})
    waiting._cached_logger = logging.getLogger("tests.waits")
    return waiting


def interval(kind: type[BaseTaskWaitOperator], seconds: Any) -> dict[str, Any]:
    """Return the parameter that says how often to ask."""
    return {"poke_interval" if kind is SeeAnyTaskSensor else "poll_interval": seconds}


def deferred(waiting: Any) -> tuple[SeeAnyTaskTrigger, TaskDeferred]:
    """Execute what must defer, and return its trigger and all of what it told Airflow."""
    with pytest.raises(TaskDeferred) as left:
        waiting.execute(context())
    assert left.value.method_name == "execute_complete"
    assert isinstance(left.value.trigger, SeeAnyTaskTrigger)
    return left.value.trigger, left.value


def finished(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what Airflow calls a task with whose trigger has seen the end."""
    return "execute_complete", {"event": {"type": "finished", "payload": answer}}
