"""What a wait for one task leaves to its trigger, and what a worker makes of its event: sensor and operator alike."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import (
    SeeAnyError,
    SeeAnyTaskFailed,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, Responder, about, page, reply, task
from tests.waits import KINDS, LOST, PUSHED, context, deferred, each_dialect, finished, interval, wait

pytestmark = pytest.mark.usefixtures("_connected")
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_dialect
@each_kind
def test_a_running_task_is_left_to_the_triggerer_with_all_arguments(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(progress=65, estimated_remaining=42))
    before = time.time()

    trigger, left = deferred(
        wait(kind, timeout=1800, max_poll_interval=45, expected_duration="90.0", **interval(kind, 12))
    )

    after = time.time()
    _, stored = trigger.serialize()
    assert before + 1800 <= stored.pop("deadline") <= after + 1800
    assert before + 5 <= stored.pop("first_poll_at") <= after + 10
    assert before <= stored["last_snapshot"].pop("at") <= after
    assert stored == {
        "seeany_task_id": "x",
        "seeany_conn_id": "seeany_default",
        "settings": {
            "poll_interval": 12,
            "max_poll_interval": 45,
            "timeout": 1800,
            "do_xcom_push": True,
            "accept_partial": True,
            "expect_callback": False,
            "callback_poll_interval": 120,
        },
        "expected_duration": 90,
        "last_snapshot": {"status": "processing", "progress": 65, "estimated_remaining": 42},
        "start_from_trigger": False,
        "end_from_trigger": AIRFLOW_V_3_3_PLUS,
    }
    assert left.timeout == timedelta(seconds=1800) + timedelta(minutes=5)
    assert len(hostile.requests) == 1


@each_dialect
@each_kind
@pytest.mark.parametrize("response", [reply(500), page(200)], ids=["transient", "invalid"])
def test_a_first_poll_without_a_task_is_left_to_the_triggerer(
    hostile: HostileServer, kind: Any, response: Responder
) -> None:
    hostile.script(response)

    trigger, _ = deferred(wait(kind))

    assert trigger.last_snapshot is None


@each_kind
def test_the_trigger_does_not_poll_before_retry_after(hostile: HostileServer, kind: Any) -> None:
    hostile.script(reply(429, b"", ("Retry-After", "600")))
    before = time.time()

    trigger, _ = deferred(wait(kind))

    assert trigger.first_poll_at is not None
    assert trigger.first_poll_at >= before + 600


@each_kind
def test_what_the_trigger_saw_is_delivered_without_another_poll(hostile: HostileServer, kind: Any) -> None:
    ctx = context()

    value = wait(kind, VIDEO).resume_execution(*finished(COMPLETED), ctx)

    assert value["video_url"] == COMPLETED["video_url"]
    assert ctx["ti"].pushed == PUSHED
    assert hostile.connections == 0


@each_kind
@pytest.mark.parametrize("rendered", [None, "None", "", "other"])
def test_a_result_is_delivered_whatever_the_template_renders_to_by_then(kind: Any, rendered: Any) -> None:
    ctx = context()

    wait(kind, rendered).resume_execution(*finished(COMPLETED), ctx)

    assert ctx["ti"].pushed == PUSHED


@each_kind
def test_a_failure_that_the_trigger_saw_is_never_retried(kind: Any) -> None:
    with pytest.raises(SeeAnyTaskFailed, match="生成内容违反内容安全策略") as error:
        wait(kind, VIDEO).resume_execution(*finished(FAILED), context())

    assert isinstance(error.value, AirflowFailException)


@each_kind
def test_a_deferral_that_airflow_ended_is_a_timeout_that_names_the_triggerer(kind: Any) -> None:
    with pytest.raises(SeeAnyTaskTimeout, match="the triggerer did not report in time; is one running") as error:
        wait(kind, timeout=90).resume_execution(*LOST, context())

    assert isinstance(error.value, AirflowSensorTimeout)
    assert "task x was not done within 90 s" in str(error.value)


@each_kind
@pytest.mark.parametrize("event", [{}, {"type": "later"}, {"type": "finished"}, {"type": "finished", "payload": None}])
def test_an_event_of_another_version_is_named_and_retried(kind: Any, event: dict[str, Any]) -> None:
    with pytest.raises(SeeAnyError, match=r"task x .*same version of airflow-provider-seeany\?") as error:
        wait(kind).resume_execution("execute_complete", {"event": event}, context())

    assert not isinstance(error.value, AirflowFailException | AirflowSensorTimeout)


@each_kind
def test_a_trigger_that_crashed_gives_its_reason_and_is_retried(kind: Any) -> None:
    event = {"type": "crashed", "text": "RuntimeError: odd"}

    with pytest.raises(SeeAnyError, match="task x broke off: RuntimeError: odd") as error:
        wait(kind).resume_execution("execute_complete", {"event": event}, context())

    assert not isinstance(error.value, AirflowFailException | AirflowSensorTimeout)


UNRENDERED = {"type": "unrendered"}


@each_dialect
@each_kind
def test_a_wait_whose_trigger_was_given_templates_ends_in_a_worker_if_the_task_is_done(
    hostile: HostileServer, kind: Any
) -> None:
    hostile.script(about(COMPLETED))
    waiting = wait(kind, COMPLETED["id"])

    result = waiting.resume_execution("execute_complete", {"event": {**UNRENDERED, "began": time.time()}}, context())

    assert result.items() >= SeeAnyTask.from_payload(COMPLETED).as_json().items()


@each_dialect
@each_kind
def test_a_wait_whose_trigger_was_given_templates_continues_for_the_time_that_is_left(
    hostile: HostileServer, kind: Any
) -> None:
    hostile.script(task(progress=5))
    began = time.time() - 600

    with pytest.raises(TaskDeferred) as left:
        wait(kind, "x", timeout=3600).resume_execution(
            "execute_complete", {"event": {**UNRENDERED, "began": began}}, context()
        )

    trigger = left.value.trigger
    assert isinstance(trigger, SeeAnyTaskTrigger)
    assert (trigger.seeany_task_id, trigger.deadline, trigger.start_from_trigger) == ("x", began + 3600, False)


@each_kind
def test_a_wait_whose_trigger_was_given_templates_times_out(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(progress=5))

    with pytest.raises(SeeAnyTaskTimeout):
        wait(kind, "x", timeout=60).resume_execution(
            "execute_complete", {"event": {**UNRENDERED, "began": time.time() - 61}}, context()
        )
