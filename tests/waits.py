"""Sensors and operators called as Airflow's task runner calls them, without the task runner."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from typing import Any, cast

import msgspec
import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.definitions._internal.contextmanager import DagContext
from jinja2 import Undefined

from airflow_provider_seeany.api.settings import BatchSettings, TaskSettings, WaitSettings
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator
from tests.hostile import COMPLETED

KINDS: list[type[BaseTaskWaitOperator]] = [SeeAnyTaskSensor, SeeAnyTaskResultOperator]
each_dialect = pytest.mark.usefixtures("dialect")
starts_triggers = pytest.mark.skipif(
    not AIRFLOW_V_3_3_PLUS,
    reason="Airflow starts no trigger by itself before 3.3",
)
WORKER_FREE = {"start_from_trigger": True, "end_from_trigger": True}
"""The arguments of a trigger that Airflow starts without a worker."""
each_way_to_render = pytest.mark.parametrize(
    "option",
    [
        {"user_defined_macros": {"vid": str}},
        {"user_defined_filters": {"vid": str}},
        {"jinja_environment_kwargs": {"variable_start_string": "<<"}},
        {"template_undefined": Undefined},
        {"render_template_as_native_obj": True},
    ],
    ids=lambda option: next(iter(option)),
)
"""What a DAG sets of how templates are rendered, which a triggerer does not know."""
LOST = ("__fail__", {"error": "Trigger timeout"})
"""What Airflow calls a task with whose deferral it has ended itself."""

COMPLETED_FIELDS = {
    "video_url": COMPLETED["video_url"],
    "thumbnail_url": COMPLETED["thumbnail_url"],
    "cost": 0.7,
    "cost_unit": "CNY",
    "duration": 5,
    "resolution": "720p",
    "completed_at": "2025-06-03T00:02:00Z",
    "result_urls": [COMPLETED["video_url"]],
    "is_partial": False,
}
"""The fields of ``COMPLETED``, by the names that events of assets give them."""

PUSHED = {"video_url": COMPLETED["video_url"], "cost": 0.7}
"""What a wait for ``COMPLETED`` pushes besides its return value."""


class TaskInstance:
    """Keeps what is pushed for downstream tasks."""

    dag_id, run_id, task_id, map_index = "waits", "run", "wait", -1
    id, try_number = "019a0000-0000-7000-8000-000000000001", 1

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
    """Return a sensor or operator that logs where pytest captures it."""
    with nullcontext() if DagContext.get_current() else DAG("waits", schedule=None):
        waiting = cast(Any, kind)(**{"task_id": "wait", "seeany_task_id": seeany_task_id, **more})
    waiting._cached_logger = logging.getLogger("tests.waits")
    return waiting


def mapped_wait(kind: type[BaseTaskWaitOperator], seeany_task_id: Any = "x", **more: Any) -> Any:
    """Return a wait as a worker makes it of a mapped one."""
    with nullcontext() if DagContext.get_current() else DAG("waits", schedule=None):
        mapped = cast(Any, kind).partial(**{"task_id": "wait", **more}).expand(seeany_task_id=[seeany_task_id])
    waiting = mapped.unmap({"seeany_task_id": seeany_task_id})
    waiting._cached_logger = logging.getLogger("tests.waits")
    return waiting


def interval(kind: type[BaseTaskWaitOperator], seconds: Any) -> dict[str, Any]:
    """Return the parameter that says how often to poll."""
    return {"poke_interval" if kind is SeeAnyTaskSensor else "poll_interval": seconds}


SETTINGS: dict[str, Any] = {
    "poll_interval": 10,
    "max_poll_interval": 30,
    "timeout": 3600,
    "do_xcom_push": True,
    "accept_partial": True,
}
TASK_SETTINGS = TaskSettings(**SETTINGS, expect_callback=False, callback_poll_interval=120)
BATCH_SETTINGS = BatchSettings(
    **SETTINGS, max_requests_per_second=50, max_concurrent_requests=20, fail_fast=False, allow_failures=False
)


def trigger_arguments(defaults: WaitSettings, given: dict[str, Any]) -> dict[str, Any]:
    """Return a trigger's arguments; those that are settings may be given beside the others."""
    settings = msgspec.to_builtins(defaults)
    own = {name: given[name] for name in given if name not in settings}
    if own.get("deadline") is not None:
        settings["timeout"] = max(own["deadline"] - time.time(), 1)
    settings |= {name: given[name] for name in given if name in settings}
    return {"settings": settings, **own}


def task_trigger(seeany_task_id: Any = "x", **given: Any) -> SeeAnyTaskTrigger:
    """Return a trigger, by default of a wait that began just now."""
    if "callback_poll_interval" in given:
        given = {"expect_callback": True, **given}
    return SeeAnyTaskTrigger(**trigger_arguments(TASK_SETTINGS, {"seeany_task_id": seeany_task_id, **given}))


def batch_trigger(seeany_task_ids: Any, **given: Any) -> SeeAnyTaskBatchTrigger:
    """Return the trigger of a batch, by default of a wait that began just now."""
    return SeeAnyTaskBatchTrigger(**trigger_arguments(BATCH_SETTINGS, {"seeany_task_ids": seeany_task_ids, **given}))


def deferred(waiting: Any) -> tuple[SeeAnyTaskTrigger, TaskDeferred]:
    """Execute what must defer, as a worker does, and return its trigger and the deferral itself."""
    with pytest.raises(TaskDeferred) as left:
        waiting.prepare_for_execution().execute(context())
    assert left.value.method_name == "execute_complete"
    assert isinstance(left.value.trigger, SeeAnyTaskTrigger)
    return left.value.trigger, left.value


def finished(payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what Airflow calls a task with whose trigger has finished."""
    return "execute_complete", {"event": {"type": "finished", "payload": payload}}
