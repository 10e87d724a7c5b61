"""The sensor in its three modes, and its skips."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from airflow_provider_seeany.api.outcome import (
    Crashed,
    Misconfigured,
    Outcome,
    TimedOut,
)
from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyAuthError,
    SeeAnyConnectionNotFound,
    SeeAnyError,
    SeeAnyRepeatedResponseError,
    SeeAnyTaskFailed,
    SeeAnyTaskIdError,
    SeeAnyTaskNotFound,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, about, page, reply, task
from tests.waits import LOST, TaskInstance, context, deferred, each_dialect, finished, wait

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("_connected")
SKIPS = ["soft_fail", "never_fail"]


def sensor(seeany_task_id: Any = "x", **more: Any) -> Any:
    """Return a sensor."""
    return wait(SeeAnyTaskSensor, seeany_task_id, **more)


@each_dialect
def test_a_poke_returns_whether_the_task_is_done_and_pushes_the_result(hostile: HostileServer) -> None:
    hostile.script(task(id=VIDEO), about(COMPLETED))
    poking = sensor(VIDEO, deferrable=False)
    ctx = context()

    assert poking.poke(ctx) is False
    assert ctx["ti"].pushed == {}
    done = poking.poke(ctx)

    assert done.is_done
    assert done.xcom_value["video_url"] == COMPLETED["video_url"]
    assert ctx["ti"].pushed["cost"] == 0.7


@each_dialect
def test_a_poking_sensor_waits_in_its_worker_until_the_task_is_done(hostile: HostileServer) -> None:
    hostile.script(task(), reply(500), task(), task(status="completed", video_url="https://h/v"))

    value = sensor(deferrable=False, poke_interval=0.01).execute(context())

    assert value["video_url"] == "https://h/v"
    assert len(hostile.requests) == 4


def test_a_poking_sensor_keeps_to_its_interval(hostile: HostileServer) -> None:
    hostile.script(task(estimated_remaining=1))
    poking = sensor(deferrable=False, poke_interval=12)
    poking.poke(context())

    assert poking._get_next_poke_interval(0.0, lambda: 0.0, 1) == 12


def test_a_poking_sensor_keeps_to_retry_after_once_and_then_to_its_interval_again(
    hostile: HostileServer,
) -> None:
    hostile.script(reply(429, b"", ("Retry-After", "77")), task())
    poking = sensor(deferrable=False, poke_interval=12)

    poking.poke(context())
    assert poking._get_next_poke_interval(0.0, lambda: 0.0, 1) == 77
    poking.poke(context())
    assert poking._get_next_poke_interval(0.0, lambda: 0.0, 2) == 12


def test_a_poking_sensor_backs_off_while_polls_fail(hostile: HostileServer) -> None:
    hostile.script(reply(503))
    poking = sensor(deferrable=False, poke_interval=10)
    intervals = []
    for count in range(8):
        poking.poke(context())
        intervals.append(poking._get_next_poke_interval(0.0, lambda: 0.0, count + 1))

    assert intervals == sorted(intervals)
    assert (intervals[0], intervals[-1]) == (10, 60)


@each_dialect
def test_a_rescheduling_sensor_gives_its_worker_back_for_its_interval(hostile: HostileServer) -> None:
    hostile.script(task())
    before = datetime.now(UTC)

    with pytest.raises(AirflowException) as left:
        sensor(deferrable=False, mode="reschedule", poke_interval=60).execute(context())

    assert type(left.value).__name__ == "AirflowRescheduleException"
    assert 60 <= (left.value.reschedule_date - before).total_seconds() < 80  # type: ignore[attr-defined]


@each_dialect
def test_a_poking_sensor_that_times_out_names_the_last_progress_and_is_not_retried(hostile: HostileServer) -> None:
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskTimeout, match=r"within 0\.2 s; last seen: processing 65 %"):
        sensor(deferrable=False, poke_interval=0.05, timeout=0.2).execute(context())


def test_a_timeout_that_a_poke_finds_is_reported_once(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as the cause of another timeout with less information."""
    hour_ago = datetime.fromtimestamp(time.time() - 3600, UTC)
    monkeypatch.setattr(TaskInstance, "get_first_reschedule_date", lambda self, context: hour_ago)
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskTimeout, match="last seen: processing 65 %") as error:
        sensor(deferrable=False, mode="reschedule", timeout=60).execute(context())

    assert "".join(format_exception(error.value)).count("last seen") == 1


FIRST_POLLS: dict[str, tuple[Any, type[SeeAnyError], str]] = {
    "failed": (about(FAILED), SeeAnyTaskFailed, "生成内容违反内容安全策略 (content_policy_violation)"),
    "refused key": (reply(401, {"code": "key", "message": "密钥无效"}), SeeAnyAuthError, "密钥无效 (key)"),
}


@each_dialect
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("name", FIRST_POLLS)
def test_what_the_first_poll_finds_out_is_skipped_if_wanted_and_the_reason_is_logged(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture, name: str, deferrable: bool, skip: str
) -> None:
    response, kind, reason = FIRST_POLLS[name]
    hostile.script(response)

    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException):
        sensor(VIDEO, deferrable=deferrable, **{skip: True}).execute(context())

    assert f"Skipped instead of failed: {kind.__name__}: " in caplog.text
    assert reason in caplog.text
    assert max(line.levelno for line in caplog.records) == logging.WARNING


@each_dialect
@pytest.mark.parametrize("name", FIRST_POLLS)
def test_without_a_skip_option_the_first_poll_raises(hostile: HostileServer, name: str) -> None:
    response, kind, _ = FIRST_POLLS[name]
    hostile.script(response)

    with pytest.raises(kind):
        sensor(VIDEO).execute(context())


@pytest.mark.parametrize("skip", SKIPS)
def test_a_failure_seen_by_the_trigger_is_skipped_if_wanted_and_the_reason_is_logged(
    caplog: pytest.LogCaptureFixture, skip: str
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException):
        sensor(VIDEO, **{skip: True}).resume_execution(*finished(FAILED), context())

    assert "Skipped instead of failed: SeeAnyTaskFailed: " in caplog.text
    assert max(line.levelno for line in caplog.records) == logging.WARNING
    assert "生成内容违反内容安全策略 (content_policy_violation)" in caplog.text


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (TimedOut(last_snapshot="processing 65 %"), "last seen: processing 65 %"),
        (Misconfigured("no API key"), "no API key"),
        (Crashed("RuntimeError: odd"), "RuntimeError: odd"),
    ],
    ids=["timed out", "misconfigured", "crashed"],
)
def test_any_bad_end_seen_by_the_trigger_is_skipped_if_wanted(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, text: str, skip: str
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException):
        sensor(**{skip: True}).resume_execution("execute_complete", {"event": msgspec.to_builtins(outcome)}, context())

    assert text in caplog.text


@pytest.mark.parametrize("skip", SKIPS)
def test_a_deferral_that_airflow_ended_is_skipped_if_wanted_and_the_log_names_the_triggerer(
    caplog: pytest.LogCaptureFixture, skip: str
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException):
        sensor(**{skip: True}).resume_execution(*LOST, context())

    assert "is one running?" in caplog.text


def test_a_timeout_that_airflow_finds_in_a_worker_names_the_last_progress_when_it_skips(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.script(task(id=VIDEO, progress=65))

    with caplog.at_level(logging.INFO), pytest.raises(AirflowSkipException):
        sensor(VIDEO, deferrable=False, soft_fail=True, poke_interval=0.001, timeout=0.001).execute(context())

    assert "Skipped instead of failed: SeeAnyTaskTimeout: " in caplog.text
    assert "last seen: processing" in caplog.text


def test_a_transient_error_does_not_skip_a_sensor(hostile: HostileServer) -> None:
    hostile.script(reply(503))

    deferred(sensor(soft_fail=True))


def test_an_id_that_cannot_be_one_fails_before_any_request(hostile: HostileServer) -> None:
    with pytest.raises(SeeAnyTaskIdError, match="upstream task"):
        sensor("None").execute(context())

    assert hostile.connections == 0


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_missing_connection_is_named_and_may_be_retried(deferrable: bool) -> None:
    with pytest.raises(SeeAnyConnectionNotFound, match="'nowhere' was not found"):
        sensor(seeany_conn_id="nowhere", deferrable=deferrable).execute(context())


@pytest.mark.usefixtures("_invalid_responses_count_at_once")
def test_a_poking_sensor_fails_after_many_web_pages_in_a_row(hostile: HostileServer) -> None:
    hostile.script(page(200))

    with pytest.raises(SeeAnyRepeatedResponseError, match="HTML") as error:
        sensor(deferrable=False, poke_interval=0.001).execute(context())

    assert isinstance(error.value, SeeAnyApiError)


@each_dialect
def test_a_rescheduled_poke_counts_from_the_first_one(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replica does not know yet within 30 s of that is unknown for good later on."""
    hostile.script(reply(404))
    first: list[float] = [5.0]
    monkeypatch.setattr(
        TaskInstance,
        "get_first_reschedule_date",
        lambda self, context: datetime.fromtimestamp(time.time() - first[0], UTC),
    )
    rescheduled: dict[str, Any] = {"deferrable": False, "mode": "reschedule", "poke_interval": 5, "timeout": 60}
    with pytest.raises(AirflowException) as left:
        sensor(**rescheduled).execute(context())
    assert hasattr(left.value, "reschedule_date")

    first[0] = 31.0
    with pytest.raises(SeeAnyTaskNotFound):
        sensor(**rescheduled).execute(context())


def test_a_reschedule_keeps_to_retry_after(hostile: HostileServer) -> None:
    hostile.script(reply(429, b"", ("Retry-After", "500")))
    before = time.time()

    with pytest.raises(AirflowException) as left:
        sensor(deferrable=False, mode="reschedule", poke_interval=5).execute(context())

    assert left.value.reschedule_date.timestamp() >= before + 500  # type: ignore[attr-defined]
