"""What a real statsd server gets: each wait once, however it ends, each request, each cost and each callback."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    AirflowTaskTimeout,
    Stats,
    TaskDeferred,
)
from fastapi.testclient import TestClient

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.errors import ThrottledError
from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyTaskFailed
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import routes
from airflow_provider_seeany.web.callback.handler import AssetStatus, CallbackResult, CallbackStatus
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from tests.conftest import KEY
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, reply, task
from tests.statsd import Statsd, metrics_on, options, receiving
from tests.supervisor import Supervisor
from tests.waits import LOST, WORKER_FREE, batch_trigger, context, finished, starts_triggers, task_trigger, wait

pytestmark = pytest.mark.usefixtures("_connected")

CONNECTION = "conn_id=seeany_default"


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    """A server to which this process sends its metrics."""
    with receiving() as (server, port), metrics_on(**options(port)):
        yield server


def worker(*, try_number: int = 1, max_tries: int = 0, seconds_ago: float = 0.0) -> Any:
    """Return the context of a task instance that began some time ago."""
    made = context()
    made["ti"].start_date = datetime.fromtimestamp(time.time() - seconds_ago, UTC)
    made["ti"].try_number, made["ti"].max_tries = try_number, max_tries
    return made


def without_duration(lines: list[str]) -> list[str]:
    """Return the lines, each duration checked to be one, and its value left out."""
    return [re.sub(r"^(seeany\.wait\.duration.*:)[0-9.]+\|ms$", r"\1…|ms", line) for line in lines]


def completed(mode: str) -> list[str]:
    tags = f"{CONNECTION},mode={mode}"
    return [
        f"seeany.cost,{tags},unit=CNY:0.7|c",
        f"seeany.wait.completed,{tags}:1|c",
        f"seeany.wait.duration,{tags},state=completed:…|ms",
    ]


@pytest.mark.parametrize(
    ("kind", "how", "mode"),
    [
        (SeeAnyTaskSensor, {}, "deferred"),
        (SeeAnyTaskSensor, {"deferrable": False}, "poke"),
        (SeeAnyTaskSensor, {"deferrable": False, "mode": "reschedule"}, "reschedule"),
        (SeeAnyTaskResultOperator, {"deferrable": False}, "poke"),
    ],
)
def test_a_wait_that_a_worker_ends_is_counted_with_its_requests_and_its_cost(
    statsd: Statsd, hostile: HostileServer, kind: Any, how: dict[str, Any], mode: str
) -> None:
    hostile.script(reply(200, COMPLETED))

    wait(kind, VIDEO, **how).execute(worker())

    expected = [*completed(mode), f"seeany.requests,{CONNECTION},mode={mode}:1|c"]
    assert without_duration(statsd.lines()) == sorted(expected)


def test_a_deferred_wait_is_counted_once_by_the_worker_that_ends_it(statsd: Statsd, hostile: HostileServer) -> None:
    hostile.script(task(status="processing"))
    with pytest.raises(TaskDeferred):
        wait(SeeAnyTaskSensor).execute(worker())
    assert statsd.lines() == [f"seeany.requests,{CONNECTION},mode=deferred:1|c"]

    wait(SeeAnyTaskSensor).resume_execution(*finished(COMPLETED), worker(seconds_ago=90))

    without = [line for line in statsd.lines() if "duration" not in line]
    assert without == [line for line in completed("deferred") if "duration" not in line]


@starts_triggers
def test_the_duration_of_a_deferred_wait_is_that_of_all_its_parts(statsd: Statsd) -> None:
    wait(SeeAnyTaskSensor).resume_execution(*finished(COMPLETED), worker(seconds_ago=90))

    (duration,) = (line for line in statsd.lines() if "duration" in line)
    assert 90_000 <= float(duration.rpartition(":")[2].removesuffix("|ms")) < 600_000


def reported(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Return what Airflow calls a task with whose trigger has reported this."""
    return "execute_complete", {"event": {"type": kind, **fields}}


def batch_event(**fields: Any) -> tuple[str, dict[str, Any]]:
    """Return what Airflow calls a batch with whose trigger has finished."""
    outcome = {"total": 2, "completed": 2, "failed": 0, "cost": {"CNY": 1.4, "USD": 0.1, "?": 2}, "detail": "totals"}
    return reported("batch_result", tasks=[], failures=[], **{**outcome, **fields})


def test_a_batch_is_one_wait_and_each_currency_one_cost(statsd: Statsd, supervisor: Supervisor) -> None:
    sensor = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=["a", "b"])

    sensor.resume_execution(*batch_event(), worker())

    tags = f"{CONNECTION},mode=batch"
    assert statsd.counted("cost") == [f",{tags},unit={unit}|c" for unit in ("CNY:1.4", "USD:0.1", "none:2.0")]


NOT_FOUND = {"error_type": "PermanentError", "text": "", "http_status": 404}
ENDS: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "failed": (finished(FAILED), "failed,{},code=content_policy_violation"),
    "refused": (reported("refused", **NOT_FOUND), "failed,{},code=404"),
    "misconfigured": (reported("misconfigured", text=""), "failed,{},code=config_error"),
    "timed out": (reported("timed_out"), "timed_out,{}"),
    "lost by the triggerer": (LOST, "timed_out,{}"),
}


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_a_wait_that_ends_badly_for_good_is_counted_once_also_if_it_is_skipped(
    statsd: Statsd, end: str, soft_fail: bool
) -> None:
    event, expected = ENDS[end]
    with pytest.raises(AirflowSkipException if soft_fail else AirflowException):
        wait(SeeAnyTaskSensor, soft_fail=soft_fail).resume_execution(*event, worker(max_tries=3))

    waits = [line for line in statsd.counted("wait.*") if not line.startswith("duration")]
    assert waits == [expected.format(f"{CONNECTION},mode=deferred") + ":1|c"]


CRASHED = reported("crashed", text="KeyError: 'x'")


def test_a_try_that_is_followed_by_another_one_is_no_end_of_a_wait(statsd: Statsd) -> None:
    for try_number in (1, 2, 3):
        with pytest.raises(AirflowException):
            wait(SeeAnyTaskSensor).resume_execution(*CRASHED, worker(try_number=try_number, max_tries=2))
        assert len(statsd.counted("wait.failed")) == (1 if try_number == 3 else 0)


@pytest.mark.parametrize(
    ("ended_by", "tries", "counted"),
    [
        ("a user", {}, 1),
        ("a user", {"max_tries": 3}, 1),
        ("execution_timeout", {}, 1),
        ("execution_timeout", {"max_tries": 3}, 0),
        ("execution_timeout", {"try_number": 4, "max_tries": 3}, 1),
    ],
)
def test_a_wait_in_a_worker_that_a_user_or_a_time_limit_ends_is_counted_once_and_as_nothing_else(
    statsd: Statsd, hostile: HostileServer, ended_by: str, tries: dict[str, Any], counted: int
) -> None:
    hostile.script(task(status="processing"))
    waiting = wait(SeeAnyTaskResultOperator, deferrable=False)

    def kill(*_: object) -> None:
        if ended_by == "execution_timeout":
            raise AirflowTaskTimeout
        waiting.on_kill()
        waiting.on_kill()
        # The process may go on for a moment.
        raise SeeAnyConfigError("closed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", kill)
        try:
            waiting.execute(worker(**tries))
        except AirflowTaskTimeout:
            waiting.on_kill()
        except SeeAnyConfigError:
            pass

    assert statsd.counted("wait.*") == [f"killed,{CONNECTION},mode=poke:1|c"] * counted


@starts_triggers
@pytest.mark.parametrize("state", ["failed", "success", "deferred", "running"])
@pytest.mark.parametrize("mode", ["deferred", "worker_free", "batch"])
async def test_a_deferred_wait_that_a_user_ends_is_counted_in_the_triggerer(
    statsd: Statsd, supervisor: Supervisor, mode: str, state: str
) -> None:
    supervisor.state = state
    trigger: Any = task_trigger("x", start_from_trigger=mode == "worker_free", end_from_trigger=True)
    if mode == "batch":
        trigger = batch_trigger(["x"])
    trigger.task_instance = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="wait", map_index=-1, id="try-1", try_number=1
    )

    await trigger.on_kill()

    is_ended = state in ("failed", "success")
    assert statsd.counted("wait.*") == [f"killed,{CONNECTION},mode={mode}:1|c"] * is_ended


def test_a_task_that_was_not_created_is_no_wait(statsd: Statsd) -> None:
    def create() -> Any:
        raise SeeAnyConfigError("no key")

    operator = SeeAnySubmitOperator(task_id="submit", create=create)
    with pytest.raises(AirflowException):
        operator.execute({**worker(), "task_state_store": None})

    assert statsd.lines() == []


@starts_triggers
@pytest.mark.parametrize("do_xcom_push", [True, False])
async def test_a_wait_without_a_worker_is_counted_in_the_triggerer(
    statsd: Statsd, hostile: HostileServer, supervisor: Supervisor, do_xcom_push: bool
) -> None:
    hostile.script(task(status="processing"), reply(200, {**COMPLETED, "id": "x"}))

    assert (await end_of(do_xcom_push=do_xcom_push)).payload == ENDED

    requests = f"seeany.requests,{CONNECTION},mode=worker_free:2|c"
    assert without_duration(statsd.lines()) == sorted([*completed("worker_free"), requests])


@starts_triggers
async def test_a_wait_that_another_triggerer_has_ended_is_not_counted_again(
    statsd: Statsd, hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(200, {**COMPLETED, "id": "x"}))
    await end_of()
    assert len(statsd.counted("wait.completed")) == 1

    hostile.script(reply(200, {**COMPLETED, "id": "x"}))
    await end_of()

    assert statsd.counted("wait.*") == []


@starts_triggers
async def test_what_fails_without_a_worker_is_left_to_the_worker_to_count(
    statsd: Statsd, hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(200, {**FAILED, "id": "x"}))

    await end_of()

    assert statsd.counted("wait.*") == []


async def end_of(**more: Any) -> Any:
    """Run a trigger that ends its task itself."""
    trigger = task_trigger("x", poll_interval=0.01, deadline=time.time() + 20, **WORKER_FREE, **more)
    trigger.task_instance = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="wait", map_index=-1, id="try-1", try_number=1
    )
    (event,) = [event async for event in trigger.run()]
    return event


def test_a_request_that_is_throttled_or_repeated_is_counted_each_time(statsd: Statsd, hostile: HostileServer) -> None:
    hostile.script(reply(429), reply(500), reply(200, COMPLETED))

    SeeAnyHook().get_task(VIDEO)

    tags = f"{CONNECTION},mode=hook:1|c"
    assert statsd.lines() == [*[f"seeany.requests,{tags}"] * 3, f"seeany.requests.throttled,{tags}"]


BODY = b'{"id": "x"}'


async def test_the_requests_of_an_event_loop_are_sent_together_and_none_is_lost(
    statsd: Statsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SEND_INTERVAL", 0.0)
    for number in (30, 2):
        for _ in range(number):
            with metrics.request_counter("seeany_default", "deferred"):
                pass
        assert statsd.lines() == []
        is_due = asyncio.Event()
        asyncio.get_running_loop().call_later(0, is_due.set)
        await is_due.wait()
        assert statsd.counted("requests") == [f",{CONNECTION},mode=deferred:{number}|c"]


def test_what_a_loop_that_ends_has_counted_is_sent(statsd: Statsd, hostile: HostileServer) -> None:
    hostile.script(reply(429), reply(200, COMPLETED))

    asyncio.run(SeeAnyHook().aget_task(VIDEO))

    tags = f"{CONNECTION},mode=hook"
    assert statsd.lines() == [f"seeany.requests,{tags}:2|c", f"seeany.requests.throttled,{tags}:1|c"]


SECRET = "the-secret-of-the-callbacks-0123456789"
GOOD, FORGED = (sign_token(TokenClaims("studio"), secret=secret) for secret in (SECRET, SECRET + "!"))


@pytest.mark.parametrize(
    ("token", "body", "result", "counted"),
    [
        (FORGED, BODY, None, "result=rejected"),
        (GOOD, b"", None, "conn_id=studio,result=rejected"),
        (GOOD, BODY, CallbackResult(), "conn_id=studio,result=no_wait"),
        (GOOD, BODY, CallbackResult(CallbackStatus.RESUMED, 1), "conn_id=studio,result=resumed"),
        (GOOD, BODY, CallbackResult(asset=AssetStatus.EVENT), "conn_id=studio,result=asset_event"),
        (GOOD, BODY, CallbackResult(retry_after=10), "conn_id=studio,result=error"),
        (
            GOOD,
            BODY,
            CallbackResult(retry_after=1, is_rate_limited=True),
            "conn_id=studio,result=rate_limited",
        ),
    ],
    ids=["forged", "no id", "no wait", "resumed", "asset", "error", "rate-limited"],
)
def test_a_callback_is_counted_by_what_became_of_it(
    statsd: Statsd, monkeypatch: pytest.MonkeyPatch, token: str, body: bytes, result: Any, counted: str
) -> None:
    async def handle(*_: object) -> Any:
        return result

    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setattr(routes, "handle_callback", handle)
    monkeypatch.setattr(routes, "_callbacks", RateLimit())
    TestClient(create_app()).post(f"/callback/{token}", content=body)

    assert statsd.counted("callback.received") == [f",{counted}:1|c"]


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("content_policy_violation", "content_policy_violation"),
        ("Content_Policy", "content_policy"),
        ("429", "429"),
        ("-1", "-1"),
        ("E1001", "e1001"),
        ("vid_20260603_001", "other"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "other"),
        ("1748908920", "other"),
        ("违反内容安全策略", "other"),
        ("a,b=c:1|c", "other"),
        ("x" * 41, "other"),
        ("", "other"),
        (None, "task_failed"),
    ],
)
def test_a_code_of_the_service_is_a_tag_only_if_there_can_be_few_of_its_kind(code: str | None, tag: str) -> None:
    error = SeeAnyTaskFailed.__new__(SeeAnyTaskFailed)

    assert metrics.code_tag(code, error) == tag


@pytest.mark.parametrize(("unit", "tag"), [("CNY", "CNY"), ("?", "none"), ("积分", "other"), ("a=1,b", "other")])
def test_a_currency_is_a_tag_only_if_it_is_a_word(unit: str, tag: str) -> None:
    assert metrics.unit_tag(unit) == tag


def test_the_id_of_a_connection_cannot_make_the_metric_invalid(statsd: Statsd) -> None:
    with metrics.request_counter("工作室,a=b:1|c", "hook"):
        pass

    assert statsd.counted("requests") == [",conn_id=____a_b_1_c,mode=hook:1|c"]


def test_no_metric_holds_the_key_or_the_id_of_a_task(statsd: Statsd, hostile: HostileServer) -> None:
    hostile.script(reply(200, {**FAILED, "error": {"code": KEY, "message": KEY}}))

    with pytest.raises(SeeAnyTaskFailed):
        wait(SeeAnyTaskSensor, VIDEO).execute(worker())

    lines = statsd.lines()
    assert any("code=other" in line for line in lines)
    assert not any(secret in line for line in lines for secret in (KEY.lower(), KEY, VIDEO))


def test_a_backend_that_fails_does_not_fail_the_wait(
    statsd: Statsd, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("count must be a positive value")

    monkeypatch.setattr(Stats, "incr", staticmethod(fail))
    hostile.script(reply(200, COMPLETED))

    assert wait(SeeAnyTaskSensor, VIDEO).execute(worker())


def test_with_metrics_off_nothing_is_computed_or_sent(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile.script(reply(200, COMPLETED))
    with receiving() as (server, port), metrics_on(**{**options(port), "AIRFLOW__METRICS__STATSD_ON": "False"}):
        with monkeypatch.context() as patch:
            patch.setattr(metrics, "_send", lambda *_: pytest.fail("it was sent"))
            # Of this context nothing but the XComs can be used.
            wait(SeeAnyTaskSensor, VIDEO).execute(context())
            with pytest.raises(ThrottledError), metrics.request_counter("seeany_default", "hook"):
                raise ThrottledError("")

        assert server.lines() == []
