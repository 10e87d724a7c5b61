"""What the sensor and the operator promise alike, and what only the operator does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_seeany.api.task import RESULT_FIELDS, SeeAnyTask
from airflow_provider_seeany.exceptions import (
    SeeAnyConnectionNotFound,
    SeeAnyError,
    SeeAnyRequestError,
    SeeAnyResponseError,
    SeeAnyTaskFailed,
    SeeAnyTaskNotFound,
    SeeAnyTaskNotReady,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, Responder, page, reply, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, LOST, context, deferred, finished, interval, wait

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("_connected")
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def _connected(hostile: HostileServer, connect: Connect) -> None:
    connect(host=hostile.url, extra={"request_timeout": 5})


PUSHED = {
    "video_url": COMPLETED["video_url"],
    "thumbnail_url": COMPLETED["thumbnail_url"],
    "cost": 0.7,
    "cost_unit": "CNY",
    "duration": 5,
    "resolution": "720p",
    "completed_at": "2025-06-03T00:02:00Z",
    "result_urls": [COMPLETED["video_url"]],
}


# The first poll, in the worker.


@each_kind
def test_an_id_that_native_rendering_made_a_number_is_waited_for_and_recorded(
    hostile: HostileServer, supervisor: Supervisor, kind: Any
) -> None:
    hostile.script(task(id="20260603001"), reply(404))
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        waiting = wait(kind, "{{ params.id }}")
    waiting.render_template_fields({"params": {"id": "20260603001"}})
    assert waiting.seeany_task_id == 20260603001

    assert deferred(waiting)[0].seeany_task_id == "20260603001"
    ctx = context()
    with pytest.raises(SeeAnyTaskFailed):
        waiting.resume_execution(*finished({**FAILED, "id": 20260603001}), ctx)

    assert hostile.requests[0].target == "/v1/tasks/20260603001"
    assert any(record.get("seeany_task_id") == "20260603001" for record in supervisor.xcoms.values())


@each_kind
def test_a_timeout_whose_last_response_held_the_video_is_recorded_with_it(
    hostile: HostileServer, supervisor: Supervisor, kind: Any
) -> None:
    hostile.script(task(status="delivered", video_url="https://h/v"))
    ctx = context()

    with pytest.raises(SeeAnyTaskTimeout, match="https://h/v"):
        wait(kind, deferrable=False, timeout=0.05, **interval(kind, 0.02)).execute(ctx)

    assert any(record.get("first_result") == "https://h/v" for record in supervisor.xcoms.values())


@each_kind
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_that_is_done_is_delivered_at_once(hostile: HostileServer, kind: Any, deferrable: bool) -> None:
    hostile.script(reply(200, COMPLETED))
    ctx = context()

    value = wait(kind, VIDEO, deferrable=deferrable).execute(ctx)

    assert value == {**COMPLETED, "completed_at": "2025-06-03T00:02:00Z"}
    assert ctx["ti"].pushed == PUSHED
    assert tuple(PUSHED) == RESULT_FIELDS
    assert len(hostile.requests) == 1


@each_kind
def test_an_image_set_is_delivered_with_the_urls_of_its_images(simulator_url: str, connect: Connect, kind: Any) -> None:
    connect(host=simulator_url)
    ctx = context()

    wait(kind, "images-0s-3x-operators").execute(ctx)

    assert len(ctx["ti"].pushed["result_urls"]) == 3
    assert ctx["ti"].pushed["cost"] == 0.6
    assert "video_url" not in ctx["ti"].pushed


@each_kind
def test_a_running_task_is_left_to_the_triggerer_with_all_arguments(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(progress=65, estimated_remaining=42))
    before = time.time()

    trigger, left = deferred(wait(kind, timeout=1800, max_poll_interval=45, **interval(kind, 12)))

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
            "expect_callback": False,
            "callback_poll_interval": 120,
        },
        "last_snapshot": {"status": "processing", "progress": 65, "estimated_remaining": 42},
        "end_from_trigger": False,
    }
    assert left.timeout == timedelta(seconds=1800) + timedelta(minutes=5)
    assert len(hostile.requests) == 1


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
def test_no_xcom_is_pushed_if_none_is_wanted(hostile: HostileServer, kind: Any) -> None:
    hostile.script(reply(200, COMPLETED))
    now, later = context(), context()

    wait(kind, VIDEO, do_xcom_push=False).execute(now)
    wait(kind, VIDEO, do_xcom_push=False).resume_execution(*finished(COMPLETED), later)

    assert now["ti"].pushed == later["ti"].pushed == {}


@each_kind
def test_what_the_response_lacks_is_not_pushed(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(status="completed", video_url="https://h/v", resolution=None, usage={"cost": 0}))
    ctx = context()

    wait(kind).execute(ctx)

    assert ctx["ti"].pushed == {"video_url": "https://h/v", "cost": 0, "result_urls": ["https://h/v"]}


# After the deferral, in another worker.


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


# Without waiting, and waiting in a worker.


def test_an_operator_that_does_not_wait_is_retried_while_the_task_is_running(hostile: HostileServer) -> None:
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskNotReady, match="task x is not done yet: processing 65 %") as error:
        wait(SeeAnyTaskResultOperator, wait_for_completion=False).execute(context())

    assert not isinstance(error.value, AirflowFailException | AirflowSensorTimeout)
    assert len(hostile.requests) == 1


NOT_WAITING: dict[str, tuple[Responder, type[SeeAnyError], bool]] = {
    "failed": (task(status="failed", error={"message": "no"}), SeeAnyTaskFailed, False),
    "not found": (reply(404), SeeAnyTaskNotFound, False),
    "refused": (reply(400), SeeAnyRequestError, False),
    "invalid": (page(200), SeeAnyResponseError, True),
    "transient": (reply(500), SeeAnyError, True),
}


@pytest.mark.parametrize("name", NOT_WAITING)
def test_an_operator_that_does_not_wait_is_retried_after_transient_errors_only(
    hostile: HostileServer, name: str
) -> None:
    response, kind, is_retried = NOT_WAITING[name]
    hostile.script(response)

    with pytest.raises(kind) as error:
        wait(SeeAnyTaskResultOperator, wait_for_completion=False).execute(context())

    assert isinstance(error.value, AirflowFailException | AirflowSensorTimeout) != is_retried
    assert "x" in str(error.value)


def test_an_operator_that_does_not_wait_delivers_a_task_that_is_done(hostile: HostileServer) -> None:
    hostile.script(reply(200, COMPLETED))
    ctx = context()

    wait(SeeAnyTaskResultOperator, VIDEO, wait_for_completion=False).execute(ctx)

    assert ctx["ti"].pushed == PUSHED


def test_an_operator_can_wait_in_its_worker(hostile: HostileServer) -> None:
    hostile.script(task(), reply(500), page(200), task(status="completed", video_url="https://h/v"))
    ctx = context()

    wait(SeeAnyTaskResultOperator, deferrable=False, poll_interval=0.01).execute(ctx)

    assert ctx["ti"].pushed["video_url"] == "https://h/v"
    assert len(hostile.requests) == 4


def test_an_operator_that_times_out_in_its_worker_names_the_last_progress(hostile: HostileServer) -> None:
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskTimeout, match="last seen: processing 65 %"):
        wait(SeeAnyTaskResultOperator, deferrable=False, poll_interval=0.05, timeout=0.2).execute(context())


def test_a_missing_connection_is_named_and_retried() -> None:
    with pytest.raises(SeeAnyConnectionNotFound, match="'nowhere' was not found") as error:
        wait(SeeAnyTaskResultOperator, seeany_conn_id="nowhere").execute(context())

    assert not isinstance(error.value, AirflowFailException)


# A user ends a wait in a worker.


@each_kind
def test_a_wait_that_a_user_ends_in_a_worker_logs_that_the_task_continues(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    hostile.script(task())
    waiting = wait(kind, deferrable=False)
    assert waiting.poll(context()) is None

    waiting.on_kill()

    assert "SeeAny task x was ended" in caplog.text
    assert "may still finish and cost money" in caplog.text
    hostile.until(lambda: hostile.open == 0)


@each_kind
def test_a_wait_that_a_user_ends_before_its_first_poll_logs_nothing(
    caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    wait(kind, "{{ not_rendered_yet }}").on_kill()

    assert caplog.text == ""


# What a DAG file can get wrong.

PARAMETERS = [
    (SeeAnyTaskSensor, "poke_interval"),
    (SeeAnyTaskSensor, "timeout"),
    (SeeAnyTaskSensor, "max_poll_interval"),
    (SeeAnyTaskResultOperator, "poll_interval"),
    (SeeAnyTaskResultOperator, "timeout"),
    (SeeAnyTaskResultOperator, "max_poll_interval"),
]
BAD_SECONDS = [0, -1, float("nan"), float("inf"), "3", True, None, timedelta(0), timedelta(seconds=-1)]


@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
@pytest.mark.parametrize("seconds", BAD_SECONDS, ids=repr)
def test_invalid_seconds_are_refused_by_name_when_the_dag_file_is_parsed(kind: Any, name: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number of seconds above 0"):
        wait(kind, **{name: seconds})


@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
@pytest.mark.parametrize("seconds", [90, 90.0, timedelta(minutes=1.5)], ids=repr)
def test_seconds_can_be_a_number_or_a_timedelta(kind: Any, name: str, seconds: Any) -> None:
    assert getattr(wait(kind, **{name: seconds}), name) == 90


UNRENDERED = {"type": "unrendered"}


@each_kind
def test_a_wait_whose_trigger_was_given_templates_ends_in_a_worker_if_the_task_is_done(
    hostile: HostileServer, kind: Any
) -> None:
    hostile.script(reply(200, COMPLETED))
    waiting = wait(kind, COMPLETED["id"])

    result = waiting.resume_execution("execute_complete", {"event": {**UNRENDERED, "began": time.time()}}, context())

    assert result == SeeAnyTask.from_payload(COMPLETED).as_json()


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
    assert (trigger.seeany_task_id, trigger.deadline, trigger.end_from_trigger) == ("x", began + 3600, False)


@each_kind
def test_a_wait_whose_trigger_was_given_templates_times_out(hostile: HostileServer, kind: Any) -> None:
    hostile.script(task(progress=5))

    with pytest.raises(SeeAnyTaskTimeout):
        wait(kind, "x", timeout=60).resume_execution(
            "execute_complete", {"event": {**UNRENDERED, "began": time.time() - 61}}, context()
        )
