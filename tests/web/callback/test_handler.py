"""What a callback does, in a database with Airflow's tables and with a SeeAny to poll: which waits it resumes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from airflow.models.asset import AssetActive, AssetModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import OperationalError

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback import handler
from airflow_provider_seeany.web.callback.handler import AssetStatus, CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.callback.resume import find_waits, note_callback, resume
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import COMPLETED, Caller, HostileServer, Responder, about, never_respond, reply, reset, task
from tests.statsd import metrics_on, options, receiving
from tests.waits import TASK_SETTINGS, each_dialect, starts_triggers
from tests.web.callback.waits_in_database import CONNECTION, add_wait, mark_failed, wait_anew

CLAIMS = TokenClaims(CONNECTION)
DONE = about({**COMPLETED, "id": "x"})
RESUMED, NO_WAIT = CallbackResult(CallbackStatus.RESUMED, 1), CallbackResult(CallbackStatus.NO_WAIT)
CALL_BACK_AGAIN = CallbackResult(retry_after=10)


@pytest.fixture(autouse=True)
def _limited(own_waits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_polls", RateLimit(per_second=0.01, burst=3))


def state_of(instance_id: Any) -> Any:
    with create_session(scoped=False) as session:
        return session.get_one(TaskInstance, instance_id).state


def registration_of(seeany_task_id: str) -> Any:
    with create_session(scoped=False) as session:
        return session.scalar(
            select(XComModel.value).where(XComModel.key == registration_key(CONNECTION, seeany_task_id))
        )


@starts_triggers
async def test_an_api_server_without_its_certificates_requests_another_callback_and_logs_why(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_wait("x", 1)
    connect(CONNECTION, host="https://seeany.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")

    assert (await handle_callback(CLAIMS, ["x"])).retry_after
    assert re.search(r"REQUESTS_CA_BUNDLE.*/no/such/bundle\.pem", caplog.text)


@each_dialect
@starts_triggers
async def test_one_callback_and_one_poll_resume_all_waits_for_a_task(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2, worker_free=True), add_wait("y", 3)]
    hostile.script(DONE)

    assert await handle_callback(CLAIMS, ["x", "evt_1"]) == CallbackResult(CallbackStatus.RESUMED, 2)
    assert [state_of(each) for each in waits] == ["scheduled", "success", "deferred"]
    assert len(hostile.requests) == 1


@starts_triggers
@pytest.mark.parametrize("names_task_instance", [False, True])
async def test_one_callback_and_one_poll_resume_the_waits_and_make_the_event_of_the_asset(
    hostile: HostileServer, names_task_instance: bool
) -> None:
    with create_session(scoped=False) as session:
        for table in (AssetModel, AssetActive):
            session.execute(delete(table))
            session.add(table(name="videos", uri="videos"))
    waits = [add_wait("x", 1), add_wait("x", 2, worker_free=True), add_wait("x", 3, first_poll_at=time.time() + 60)]
    hostile.script(reply(200, {**COMPLETED, "id": "x", "completed_at": int(time.time())}))
    named = TaskInstanceKey("waits", "run", "wait", 1) if names_task_instance else None

    result = await handle_callback(TokenClaims(CONNECTION, named, asset="videos"), [] if named else ["x"])

    assert result == CallbackResult(CallbackStatus.RESUMED, 2, asset=AssetStatus.EVENT)
    assert len(hostile.requests) == 1
    assert [state_of(each) for each in waits] == ["scheduled", "success", "deferred"]


@starts_triggers
async def test_a_wait_that_ends_without_a_worker_is_counted_here_and_once(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SEND_INTERVAL", 0.0)
    add_wait("x", 1)
    add_wait("x", 2, worker_free=True)
    add_wait("x", 3, end_from_trigger=True)
    hostile.script(DONE)

    with receiving() as (statsd, port), metrics_on(**options(port)):
        await handle_callback(CLAIMS, ["x"])
        await handle_callback(CLAIMS, ["x"])

        counts = [line for line in statsd.lines() if "duration" not in line]
    tags = f"conn_id={CONNECTION},mode"
    assert counts == [
        f"seeany.cost,{tags}=deferred,unit=CNY:0.7|c",
        f"seeany.cost,{tags}=worker_free,unit=CNY:0.7|c",
        f"seeany.requests,{tags}=callback:1|c",
        f"seeany.wait.completed,{tags}=deferred:1|c",
        f"seeany.wait.completed,{tags}=worker_free:1|c",
    ]


@each_dialect
async def test_a_task_that_has_not_ended_resumes_no_wait(hostile: HostileServer) -> None:
    wait = add_wait("x", 1)
    hostile.script(task())

    assert await handle_callback(CLAIMS, ["x"]) == CallbackResult(CallbackStatus.STILL_RUNNING)
    assert state_of(wait) == "deferred"


async def test_without_a_wait_nothing_is_polled(hostile: HostileServer) -> None:
    add_wait("x", 1)

    assert await handle_callback(CLAIMS, ["y"]) == NO_WAIT
    assert hostile.requests == []


@pytest.mark.parametrize("task_instance", [None, TaskInstanceKey("waits", "run", "wait", 1)])
async def test_the_url_of_another_connection_resumes_no_wait(
    hostile: HostileServer, connect: Callable[..., None], task_instance: TaskInstanceKey | None
) -> None:
    connect("other", host=hostile.url)
    wait = add_wait("x", 1)

    assert await handle_callback(TokenClaims("other", task_instance), ["x"]) == NO_WAIT
    assert (state_of(wait), hostile.requests) == ("deferred", [])


async def test_a_flood_of_callbacks_for_a_running_task_causes_few_polls(
    hostile: HostileServer,
) -> None:
    add_wait("x", 1)
    wait = add_wait("y", 2)
    hostile.script(task())
    hostile.script(reply(200, {**COMPLETED, "id": "y"}), task_id="y")

    results = await asyncio.gather(*[handle_callback(CLAIMS, ["x"]) for _ in range(20)])

    assert len(hostile.requests) == 3
    assert sum(each.is_rate_limited and each.retry_after > 0 for each in results) == 17
    assert await handle_callback(CLAIMS, ["y"]) == RESUMED
    assert state_of(wait) == "scheduled"


async def test_a_url_that_names_the_task_instance_needs_no_body(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("y", 2)]
    hostile.script(DONE)

    assert await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == RESUMED
    assert [state_of(each) for each in waits] == ["scheduled", "deferred"]


@each_dialect
@pytest.mark.parametrize("response", [reply(500), reply(404), reply(403), reply(200, b"<html>")])
async def test_an_upstream_error_leaves_the_wait_as_it_is(hostile: HostileServer, response: Any) -> None:
    wait = add_wait("x", 1)
    hostile.script(response)

    assert await handle_callback(CLAIMS, ["x"]) == CALL_BACK_AGAIN
    assert state_of(wait) == "deferred"
    hostile.script(DONE)
    assert await handle_callback(CLAIMS, ["x"]) == RESUMED


async def test_a_poll_that_hangs_times_out(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_wait("x", 1)
    hostile.script(never_respond)
    monkeypatch.setattr(handler, "POLL_TIMEOUT", 0.2)

    assert await handle_callback(CLAIMS, ["x"]) == CALL_BACK_AGAIN
    assert "no response within 0.2 s" in caplog.text


@each_dialect
@pytest.mark.parametrize("order", [["x", "done"], ["done", "x"]], ids=str)
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (reply(500), CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)),
        (reply(404), CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)),
        (reply(200, b"<html>"), CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)),
        (reset, CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)),
        (never_respond, CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)),
        (task(), RESUMED),
    ],
    ids=["500", "404", "invalid response", "reset", "hangs", "running"],
)
async def test_one_task_that_cannot_be_polled_does_not_hide_another_that_has_ended(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, response: Any, expected: CallbackResult, order: list[str]
) -> None:
    waits = [add_wait("x", 1), add_wait("done", 2)]
    hostile.script(response)
    hostile.script(about({**COMPLETED, "id": "done"}), task_id="done")
    monkeypatch.setattr(handler, "POLL_TIMEOUT", 1)

    assert await handle_callback(CLAIMS, order) == expected
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


@pytest.mark.parametrize("order", [["x", "done"], ["done", "x"]], ids=str)
async def test_a_task_that_is_rate_limited_does_not_hide_another_that_has_ended(
    hostile: HostileServer, order: list[str]
) -> None:
    waits = [add_wait("x", 1), add_wait("done", 2)]
    hostile.script(task())
    hostile.script(about({**COMPLETED, "id": "done"}), task_id="done")
    while not (await handle_callback(CLAIMS, ["x"])).is_rate_limited:
        pass

    result = await handle_callback(CLAIMS, order)

    assert (result.status, result.task_instances, result.is_rate_limited) == (CallbackStatus.RESUMED, 1, True)
    assert result.retry_after > 0
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


async def test_two_tasks_are_polled_concurrently(hostile: HostileServer) -> None:
    add_wait("x", 1)
    add_wait("y", 2)

    def once_both_are_polled(response: Responder) -> Responder:
        async def polled(caller: Caller) -> None:
            await asyncio.to_thread(hostile.until, lambda: len(hostile.requests) == 2)
            await response(caller)

        return polled

    hostile.script(once_both_are_polled(task()))
    hostile.script(once_both_are_polled(reply(200, {**COMPLETED, "id": "y"})), task_id="y")

    assert await handle_callback(CLAIMS, ["x", "y"]) == RESUMED


async def test_a_wait_that_cannot_be_resumed_does_not_hide_another_for_the_same_task(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2), add_wait("x", 3, first_poll_at=time.time() + 60)]
    hostile.script(DONE)
    real = handler.resume

    def resume(wait: Any, outcome: Any) -> bool:
        if wait.task_instance_id == waits[0]:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return real(wait, outcome)

    monkeypatch.setattr(handler, "resume", resume)

    assert await handle_callback(CLAIMS, ["x"]) == CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10)
    assert [state_of(each) for each in waits] == ["deferred", "scheduled", "deferred"]


async def test_an_unexpected_error_requests_another_callback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a bundle of certificates that is not there."""
    wait = add_wait("x", 1)
    monkeypatch.setattr(handler, "_client", Mock(side_effect=FileNotFoundError("no such bundle")))

    assert await handle_callback(CLAIMS, ["x"]) == CALL_BACK_AGAIN
    assert state_of(wait) == "deferred"
    assert "FileNotFoundError: no such bundle" in caplog.text


OURS = "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"
TEMPLATE = {
    "seeany_task_id": "{{ ti.xcom_pull('submit') }}",
    "seeany_conn_id": "{{ params.conn }}",
    "start_from_trigger": True,
}


def change_trigger(wait: Any, classpath: str = OURS, **arguments: Any) -> None:
    """Let a task instance wait with another trigger."""
    with create_session(scoped=False) as session:
        trigger = session.get_one(TaskInstance, wait).trigger
        trigger.classpath = classpath
        trigger.kwargs = {**trigger.kwargs, **arguments}


@pytest.mark.parametrize("first_poll_at", [0, 2**40], ids=["resumable", "too early"])
@pytest.mark.parametrize(
    "trigger",
    [
        {"classpath": "airflow.providers.standard.triggers.temporal.DateTimeTrigger"},
        {"classpath": "airflow_provider_seeany.triggers.batch.SeeAnyTaskBatchTrigger"},
        {"classpath": "dags.my.OwnSeeAnyTaskTrigger"},
        {"seeany_task_id": "another"},
        {"seeany_conn_id": "another"},
        {"seeany_task_id": "another", "start_from_trigger": True},
        {**TEMPLATE, "seeany_conn_id": "another"},
        {**TEMPLATE, "start_from_trigger": False},
        {"seeany_task_id": None},
        {"settings": msgspec.to_builtins(TASK_SETTINGS)},
        {"first_poll_at": "soon"},
    ],
    ids=str,
)
async def test_a_registration_on_a_task_instance_that_waits_for_something_else_is_ignored(
    hostile: HostileServer, trigger: dict[str, Any], first_poll_at: float
) -> None:
    wait = add_wait("x", 1, first_poll_at=first_poll_at)
    change_trigger(wait, **trigger)
    hostile.script(DONE)

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == NO_WAIT
    assert (state_of(wait), hostile.requests, registration_of("x")["received"]) == ("deferred", [], False)


async def test_a_trigger_that_cannot_be_read_does_not_hide_another_wait(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2)]
    with create_session(scoped=False) as session:
        session.get_one(TaskInstance, waits[0]).trigger.encrypted_kwargs = "of another Fernet key"
    hostile.script(DONE)

    assert await handle_callback(CLAIMS, ["x"]) == RESUMED
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


@starts_triggers
async def test_a_wait_whose_arguments_only_the_triggerer_renders_is_resumed(hostile: HostileServer) -> None:
    wait = add_wait("x", 1, worker_free=True)
    change_trigger(wait, **TEMPLATE)
    hostile.script(DONE)

    assert await handle_callback(CLAIMS, ["x"]) == RESUMED
    assert state_of(wait) == "success"


async def test_an_id_that_was_rendered_as_a_number_is_the_same_id(hostile: HostileServer) -> None:
    wait = add_wait("42", 1)
    change_trigger(wait, seeany_task_id=42)
    hostile.script(reply(200, {**COMPLETED, "id": "42"}))

    assert await handle_callback(CLAIMS, ["42"]) == RESUMED
    assert state_of(wait) == "scheduled"


async def test_a_registration_that_cannot_be_encoded_is_no_error(hostile: HostileServer) -> None:
    add_wait("x", 1)
    with create_session(scoped=False) as session:
        session.execute(update(XComModel).values(value={**registration_of("x"), "seeany_task_id": "\ud800"}))

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == NO_WAIT


def new_try(wait: Any, seeany_task_id: str) -> str:
    """Let another try of the task instance wait, and return the id in its registration."""
    return str(wait_anew(wait, seeany_task_id))


@starts_triggers
@pytest.mark.parametrize(
    "act", [note_callback, lambda found: resume(found, Finished(COMPLETED))], ids=["note", "resume"]
)
def test_a_callback_for_one_try_leaves_the_registration_of_the_next_as_it_is(act: Callable[[Any], bool]) -> None:
    first_try = add_wait("x", 1)
    (found,) = find_waits(TokenClaims(CONNECTION), ["x"])
    this_try = new_try(first_try, "x")

    assert act(found) is False
    assert (registration_of("x")["task_instance_id"], registration_of("x")["received"]) == (this_try, False)


async def test_while_the_database_is_locked_the_event_loop_continues(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)
    with create_session(scoped=False) as other:
        other.execute(text("BEGIN IMMEDIATE"))
        callback = asyncio.create_task(handle_callback(CLAIMS, ["x"]))
        async with asyncio.timeout(10):
            while not (hostile.requests and handler._database.busy):
                await asyncio.sleep(0.01)
        # Blocked, the loop would not get here, and the callback would find the database locked in the end.
        other.rollback()

    assert await callback == RESUMED


async def test_a_callback_that_comes_too_early_is_noted_without_a_poll(hostile: HostileServer) -> None:
    wait = add_wait("x", 1, first_poll_at=time.time() + 60)

    assert await handle_callback(CLAIMS, ["x"]) == CallbackResult(CallbackStatus.NOTED, 1)
    assert (state_of(wait), hostile.requests) == ("deferred", [])
    assert registration_of("x")["received"] is True


async def test_of_two_callbacks_at_once_one_resumes_the_wait_and_the_other_finds_none(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)

    results = await asyncio.gather(handle_callback(CLAIMS, ["x"]), handle_callback(CLAIMS, ["x"]))

    assert sorted(each.status for each in results) == [CallbackStatus.NO_WAIT, CallbackStatus.RESUMED]


@starts_triggers
async def test_what_an_earlier_try_waited_for_does_not_end_this_one(hostile: HostileServer) -> None:
    """A user marked the first try as failed, and cleared it to wait for a new SeeAny task."""
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "new")
    hostile.script(DONE)
    hostile.script(reply(200, {**COMPLETED, "id": "new"}), task_id="new")

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert (state_of(this_try), hostile.requests) == ("deferred", [])
    assert await handle_callback(CLAIMS, ["new"]) == RESUMED


@starts_triggers
async def test_a_try_that_waits_for_the_same_task_again_is_resumed(hostile: HostileServer) -> None:
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "x")
    hostile.script(DONE)

    assert await handle_callback(CLAIMS, ["x"]) == RESUMED
    assert state_of(this_try) == "success"


@pytest.mark.parametrize("where", ["in a trigger", "in its first worker"])
async def test_a_note_that_may_have_come_too_late_for_the_wait_requests_another_callback(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The database took so long that the trigger has read the registration by then."""
    wait = add_wait("x", 1, first_poll_at=time.time() + 60)
    if where == "in its first worker":
        with create_session(scoped=False) as session:
            session.execute(
                update(TaskInstance).where(TaskInstance.id == wait).values(state="running", next_method=None)
            )

    def slowly(waiting: Any) -> bool:
        is_there = note_callback(waiting)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 63)
        return is_there

    monkeypatch.setattr(handler, "note_callback", slowly)

    assert await handle_callback(CLAIMS, ["x"]) == CALL_BACK_AGAIN
