"""A partial result, in every way to wait: a success that says so, or a failure that lists the files that were made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany.exceptions import SeeAnyTaskFailed
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.xcoms.raw import decode_json
from tests.hostile import PARTIAL, PARTIAL_URLS, HostileServer, about, task
from tests.supervisor import Supervisor
from tests.waits import TaskInstance, context, deferred, interval, mapped_wait, wait

pytestmark = pytest.mark.usefixtures("dialect", "_connected")

WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "poke": (SeeAnyTaskSensor, {"deferrable": False}),
    "reschedule": (SeeAnyTaskSensor, {"deferrable": False, "mode": "reschedule"}),
    "deferred": (SeeAnyTaskSensor, {}),
    "deferred, ended by a worker": (SeeAnyTaskSensor, {"on_success_callback": print}),
    "mapped": (SeeAnyTaskSensor, {}),
    "worker-free": (SeeAnyTaskSensor, {"worker_free": True}),
    "operator": (SeeAnyTaskResultOperator, {}),
    "operator, in its worker": (SeeAnyTaskResultOperator, {"deferrable": False}),
    "operator, worker-free": (SeeAnyTaskResultOperator, {"worker_free": True}),
    "operator that does not wait": (SeeAnyTaskResultOperator, {"wait_for_completion": False}),
}
ENDED_BY_A_TRIGGER = (
    ("deferred", "mapped", "worker-free", "operator", "operator, worker-free") if AIRFLOW_V_3_3_PLUS else ()
)
"""The ways in which no worker ends a wait that succeeds."""

each_way = pytest.mark.parametrize(
    "way", [way for way, (_, given) in WAYS.items() if AIRFLOW_V_3_3_PLUS or not given.get("worker_free")]
)


def play(way: str, server: HostileServer, supervisor: Supervisor, ctx: Any, **more: Any) -> dict[str, Any]:
    """Wait until the end, in a triggerer if the way has one, and return all that is pushed."""
    kind, given = WAYS[way]
    given = {**given, **interval(kind, 0.01), **more}
    server.script(about(PARTIAL))
    waiting = (mapped_wait if way == "mapped" else wait)(kind, **given)
    if given.get("worker_free"):
        trigger = SeeAnyTaskTrigger(**waiting.start_trigger_args.trigger_kwargs)
    elif given.get("deferrable", True) and given.get("wait_for_completion", True):
        server.script(task(), about(PARTIAL))
        trigger, _ = deferred(waiting)
        trigger.first_poll_at = None
    else:
        returned = waiting.execute(ctx)
        return {**ctx["ti"].pushed, "return_value": getattr(returned, "xcom_value", returned)}
    event = fired(trigger)
    if event.payload == ENDED:
        assert way in ENDED_BY_A_TRIGGER
        return {key: value for key, value in supervisor.xcoms.items() if not key.startswith("_")}
    returned = waiting.resume_execution("execute_complete", {"event": event.payload}, ctx)
    assert way not in ENDED_BY_A_TRIGGER
    return {**ctx["ti"].pushed, "return_value": returned}


def fired(trigger: SeeAnyTaskTrigger) -> TriggerEvent:
    """Run a trigger to its end and return its event."""
    trigger.task_instance = TaskInstance()  # type: ignore[assignment]

    async def run() -> TriggerEvent:
        (event,) = [event async for event in trigger.run()]
        return event

    return asyncio.run(run())


def record_in(supervisor: Supervisor) -> dict[str, Any]:
    (record,) = [decode_json(value) for key, value in supervisor.xcoms.items() if key.startswith("_seeany_")]
    assert isinstance(record, dict)
    return record


@each_way
def test_a_partial_result_is_a_success_that_says_so(way: str, hostile: HostileServer, supervisor: Supervisor) -> None:
    pushed = play(way, hostile, supervisor, context())

    assert pushed.pop("return_value").items() >= {**PARTIAL, "is_partial": True}.items()
    assert pushed == {"cost": 0.4, "result_urls": PARTIAL_URLS}
    record = record_in(supervisor)
    assert (record["state"], record["is_partial"], record["results"]) == ("completed", True, 2)
    assert record["error_message"] == "4 张图片中有 2 张生成失败"


@each_way
def test_where_it_is_not_accepted_it_fails_for_good_and_lists_what_was_made(
    way: str, hostile: HostileServer, supervisor: Supervisor
) -> None:
    ctx = context()

    with pytest.raises(SeeAnyTaskFailed) as failed:
        play(way, hostile, supervisor, ctx, accept_partial=False)

    assert isinstance(failed.value, AirflowFailException)
    for part in ("2 were made", "4 张图片中有 2 张生成失败 (image_failed)", *PARTIAL_URLS):
        assert part in str(failed.value)
    assert failed.value.task.is_partial
    assert ctx["ti"].pushed == {}
    record = record_in(supervisor)
    assert (record["state"], record["is_partial"], record["result_urls"]) == ("failed", True, PARTIAL_URLS)
    assert [key for key in supervisor.xcoms if not key.startswith("_")] == []


def test_soft_fail_skips_where_it_is_not_accepted(hostile: HostileServer, supervisor: Supervisor) -> None:
    with pytest.raises(AirflowSkipException):
        play("poke", hostile, supervisor, context(), accept_partial=False, soft_fail=True)

    assert record_in(supervisor)["result_urls"] == PARTIAL_URLS
