"""What comes of a ring, in a database with Airflow's tables and with a SeeAny to ask: who is woken, and who is not."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import OperationalError

from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.callback.token import TaskInstanceKey, TokenClaims
from airflow_provider_seeany.web.callback import handler
from airflow_provider_seeany.web.callback.handler import CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.callback.resume import note_callback, resume, waits_for
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from tests.hostile import COMPLETED, FAILED, Answer, Caller, HostileServer, register, reply, reset, task
from tests.waits import TASK_SETTINGS, starts_triggers
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database, mark_failed, wait_anew

RINGER = TokenClaims(CONNECTION)
DONE = reply(200, {**COMPLETED, "id": "x"})
WOKEN, NOBODY_WAITS = CallbackResult(CallbackStatus.WOKEN, 1), CallbackResult(CallbackStatus.NOBODY_WAITS)
TO_BE_REPEATED = CallbackResult(retry_after=10)


@pytest.fixture(scope="module")
def _database() -> Iterator[None]:
    make_database()
    logging.disable(logging.NOTSET)
    yield
    with create_session(scoped=False) as session:
        session.execute(delete(DagRun))


@pytest.fixture(autouse=True)
def _only_own_waits(
    _database: None, hostile: HostileServer, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr(handler, "_questions", RateLimit(per_second=0.01, burst=3))
    connect(CONNECTION, host=hostile.url, extra={"request_timeout": 5})
    yield
    with create_session(scoped=False) as session:
        session.execute(delete(TaskInstance))  # and with them all XComs


def state_of(instance_id: Any) -> Any:
    with create_session(scoped=False) as session:
        return session.get_one(TaskInstance, instance_id).state


def mark_of(seeany_task_id: str) -> Any:
    with create_session(scoped=False) as session:
        return session.scalar(
            select(XComModel.value).where(XComModel.key == registration_key(CONNECTION, seeany_task_id))
        )


@starts_triggers
async def test_an_api_server_whose_certificates_are_missing_asks_for_the_ring_again_and_says_so(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_wait("x", 1)
    connect(CONNECTION, host="https://seeany.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")

    assert (await handle_callback(RINGER, ["x"])).retry_after
    assert re.search(r"REQUESTS_CA_BUNDLE.*/no/such/bundle\.pem", caplog.text)


@starts_triggers
async def test_all_that_wait_for_a_task_are_woken_by_one_ring_and_one_question(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2, worker_free=True), add_wait("y", 3)]
    hostile.script(DONE)

    assert await handle_callback(RINGER, ["x", "evt_1"]) == CallbackResult(CallbackStatus.WOKEN, 2)
    assert [state_of(each) for each in waits] == ["scheduled", "success", "deferred"]
    assert len(hostile.requests) == 1


async def test_a_task_that_has_not_ended_wakes_nobody(hostile: HostileServer) -> None:
    wait = add_wait("x", 1)
    hostile.script(task())

    assert await handle_callback(RINGER, ["x"]) == CallbackResult(CallbackStatus.STILL_RUNNING)
    assert state_of(wait) == "deferred"


async def test_without_a_wait_nothing_is_asked(hostile: HostileServer) -> None:
    add_wait("x", 1)

    assert await handle_callback(RINGER, ["y"]) == NOBODY_WAITS
    assert hostile.requests == []


@pytest.mark.parametrize("waiting", [None, TaskInstanceKey("waits", "run", "wait", 1)])
async def test_the_url_of_another_connection_wakes_nobody(
    hostile: HostileServer, connect: Callable[..., None], waiting: TaskInstanceKey | None
) -> None:
    connect("other", host=hostile.url)
    wait = add_wait("x", 1)

    assert await handle_callback(TokenClaims("other", waiting), ["x"]) == NOBODY_WAITS
    assert (state_of(wait), hostile.requests) == ("deferred", [])


async def test_a_flood_of_rings_for_a_running_task_does_not_use_up_what_may_be_asked(hostile: HostileServer) -> None:
    add_wait("x", 1)
    wait = add_wait("y", 2)
    hostile.script(task())
    hostile.script(reply(200, {**COMPLETED, "id": "y"}), task_id="y")

    received = await asyncio.gather(*[handle_callback(RINGER, ["x"]) for _ in range(20)])

    assert len(hostile.requests) == 3
    assert sum(each.is_rate_limited and each.retry_after > 0 for each in received) == 17
    assert await handle_callback(RINGER, ["y"]) == WOKEN
    assert state_of(wait) == "scheduled"


async def test_a_url_that_names_who_waits_needs_no_body(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("y", 2)]
    hostile.script(DONE)

    assert await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == WOKEN
    assert [state_of(each) for each in waits] == ["scheduled", "deferred"]


@pytest.mark.parametrize("answer", [reply(500), reply(404), reply(403), reply(200, b"<html>")])
async def test_a_seeany_in_trouble_leaves_the_wait_as_it_is(hostile: HostileServer, answer: Any) -> None:
    wait = add_wait("x", 1)
    hostile.script(answer)

    assert await handle_callback(RINGER, ["x"]) == TO_BE_REPEATED
    assert state_of(wait) == "deferred"
    hostile.script(DONE)
    assert await handle_callback(RINGER, ["x"]) == WOKEN


async def test_a_seeany_that_hangs_is_not_waited_for_for_long(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_wait("x", 1)
    hostile.script(register)
    monkeypatch.setattr(handler, "POLL_TIMEOUT", 0.2)

    assert await handle_callback(RINGER, ["x"]) == TO_BE_REPEATED
    assert "no answer within 0.2 s" in caplog.text


@pytest.mark.parametrize("order", [["x", "done"], ["done", "x"]], ids=str)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(500), CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)),
        (reply(404), CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)),
        (reply(200, b"<html>"), CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)),
        (reset, CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)),
        (register, CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)),
        (task(), WOKEN),
    ],
    ids=["500", "404", "unusable", "reset", "hangs", "running"],
)
async def test_one_task_that_cannot_be_asked_for_does_not_hide_another_that_has_ended(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, answer: Any, expected: CallbackResult, order: list[str]
) -> None:
    waits = [add_wait("x", 1), add_wait("done", 2)]
    hostile.script(answer)
    hostile.script(reply(200, {**COMPLETED, "id": "done"}), task_id="done")
    monkeypatch.setattr(handler, "POLL_TIMEOUT", 1)

    assert await handle_callback(RINGER, order) == expected
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


@pytest.mark.parametrize("order", [["x", "done"], ["done", "x"]], ids=str)
async def test_a_task_that_was_asked_about_too_often_does_not_hide_another_that_has_ended(
    hostile: HostileServer, order: list[str]
) -> None:
    waits = [add_wait("x", 1), add_wait("done", 2)]
    hostile.script(task())
    hostile.script(reply(200, {**COMPLETED, "id": "done"}), task_id="done")
    while not (await handle_callback(RINGER, ["x"])).is_rate_limited:
        pass

    received = await handle_callback(RINGER, order)

    assert (received.happened, received.task_instances, received.is_rate_limited) == (CallbackStatus.WOKEN, 1, True)
    assert received.retry_after > 0
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


async def test_two_tasks_are_asked_about_at_the_same_time(hostile: HostileServer) -> None:
    add_wait("x", 1)
    add_wait("y", 2)

    def once_both_are_asked_about(answer: Answer) -> Answer:
        async def answered(caller: Caller) -> None:
            await asyncio.to_thread(hostile.until, lambda: len(hostile.requests) == 2)
            await answer(caller)

        return answered

    hostile.script(once_both_are_asked_about(task()))
    hostile.script(once_both_are_asked_about(reply(200, {**COMPLETED, "id": "y"})), task_id="y")

    assert await handle_callback(RINGER, ["x", "y"]) == WOKEN


async def test_a_wait_that_cannot_be_resumed_does_not_hide_another_for_the_same_task(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2), add_wait("x", 3, first_poll_at=time.time() + 60)]
    hostile.script(DONE)
    real = handler.resume

    def resume(waiting: Any, outcome: Any) -> bool:
        if waiting.task_instance_id == waits[0]:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return real(waiting, outcome)

    monkeypatch.setattr(handler, "resume", resume)

    assert await handle_callback(RINGER, ["x"]) == CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10)
    assert [state_of(each) for each in waits] == ["deferred", "scheduled", "deferred"]


async def test_what_nobody_thought_of_asks_to_ring_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a bundle of certificates that is not there."""
    wait = add_wait("x", 1)
    monkeypatch.setattr(handler, "_client", Mock(side_effect=FileNotFoundError("no such bundle")))

    assert await handle_callback(RINGER, ["x"]) == TO_BE_REPEATED
    assert state_of(wait) == "deferred"
    assert "FileNotFoundError: no such bundle" in caplog.text


OURS = "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"
TEMPLATE = {
    "seeany_task_id": "{{ ti.xcom_pull('submit') }}",
    "seeany_conn_id": "{{ params.conn }}",
    "end_from_trigger": True,
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
        {"seeany_task_id": "another", "end_from_trigger": True},
        {**TEMPLATE, "seeany_conn_id": "another"},
        {**TEMPLATE, "end_from_trigger": False},
        {"seeany_task_id": None},
        {"settings": msgspec.to_builtins(TASK_SETTINGS)},
        {"first_poll_at": "soon"},
    ],
    ids=str,
)
async def test_a_mark_on_a_task_instance_that_waits_for_something_else_is_not_believed(
    hostile: HostileServer, trigger: dict[str, Any], first_poll_at: float
) -> None:
    wait = add_wait("x", 1, first_poll_at=first_poll_at)
    change_trigger(wait, **trigger)
    hostile.script(DONE)

    assert await handle_callback(RINGER, ["x"]) == NOBODY_WAITS
    assert (
        await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == NOBODY_WAITS
    )
    assert (state_of(wait), hostile.requests, mark_of("x")["received"]) == ("deferred", [], False)


async def test_a_trigger_that_nobody_can_read_does_not_hide_another_wait(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2)]
    with create_session(scoped=False) as session:
        session.get_one(TaskInstance, waits[0]).trigger.encrypted_kwargs = "of another Fernet key"
    hostile.script(DONE)

    assert await handle_callback(RINGER, ["x"]) == WOKEN
    assert [state_of(each) for each in waits] == ["deferred", "scheduled"]


@starts_triggers
async def test_a_wait_whose_arguments_only_the_triggerer_renders_is_woken(hostile: HostileServer) -> None:
    wait = add_wait("x", 1, worker_free=True)
    change_trigger(wait, **TEMPLATE)
    hostile.script(DONE)

    assert await handle_callback(RINGER, ["x"]) == WOKEN
    assert state_of(wait) == "success"


async def test_an_id_that_was_rendered_as_a_number_is_the_same_id(hostile: HostileServer) -> None:
    wait = add_wait("42", 1)
    change_trigger(wait, seeany_task_id=42)
    hostile.script(reply(200, {**COMPLETED, "id": "42"}))

    assert await handle_callback(RINGER, ["42"]) == WOKEN
    assert state_of(wait) == "scheduled"


async def test_a_mark_that_no_text_can_be_made_of_is_no_error(hostile: HostileServer) -> None:
    add_wait("x", 1)
    with create_session(scoped=False) as session:
        session.execute(update(XComModel).values(value={**mark_of("x"), "seeany_task_id": "\ud800"}))

    assert await handle_callback(RINGER, ["x"]) == NOBODY_WAITS
    assert (
        await handle_callback(TokenClaims(CONNECTION, TaskInstanceKey("waits", "run", "wait", 1)), []) == NOBODY_WAITS
    )


def new_try(wait: Any, seeany_task_id: str) -> str:
    """Let another try of the task instance wait, and return what its mark names."""
    return str(wait_anew(wait, seeany_task_id))


@starts_triggers
@pytest.mark.parametrize(
    "rings", [note_callback, lambda found: resume(found, Finished(COMPLETED))], ids=["note", "resume"]
)
def test_a_ring_for_one_try_leaves_the_mark_of_the_next_as_it_is(rings: Callable[[Any], bool]) -> None:
    first_try = add_wait("x", 1)
    (found,) = waits_for(CONNECTION, ["x"])
    this_try = new_try(first_try, "x")

    assert rings(found) is False
    assert (mark_of("x")["task_instance_id"], mark_of("x")["received"]) == (this_try, False)


async def test_while_the_database_is_locked_the_event_loop_goes_on(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)
    with create_session(scoped=False) as other:
        other.execute(text("BEGIN IMMEDIATE"))
        ringing = asyncio.create_task(handle_callback(RINGER, ["x"]))
        async with asyncio.timeout(10):
            while not (hostile.requests and handler._database.busy):
                await asyncio.sleep(0.01)
        # Blocked, the loop would not get here, and the ring would find the database locked in the end.
        other.rollback()

    assert await ringing == WOKEN


async def test_a_ring_that_comes_too_early_is_noted_without_a_question(hostile: HostileServer) -> None:
    wait = add_wait("x", 1, first_poll_at=time.time() + 60)

    assert await handle_callback(RINGER, ["x"]) == CallbackResult(CallbackStatus.NOTED, 1)
    assert (state_of(wait), hostile.requests) == ("deferred", [])
    assert mark_of("x")["received"] is True


async def test_of_two_rings_at_once_one_wakes_and_the_other_says_that_nobody_waits(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)

    received = await asyncio.gather(handle_callback(RINGER, ["x"]), handle_callback(RINGER, ["x"]))

    assert sorted(each.happened for each in received) == [CallbackStatus.NOBODY_WAITS, CallbackStatus.WOKEN]


@starts_triggers
async def test_what_an_earlier_try_waited_for_does_not_end_this_one(hostile: HostileServer) -> None:
    """A person marked the first try as failed, and cleared it to wait for a task that was created anew."""
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "new")
    hostile.script(DONE)
    hostile.script(reply(200, {**COMPLETED, "id": "new"}), task_id="new")

    assert await handle_callback(RINGER, ["x"]) == NOBODY_WAITS
    assert (state_of(this_try), hostile.requests) == ("deferred", [])
    assert await handle_callback(RINGER, ["new"]) == WOKEN


@starts_triggers
async def test_a_try_that_waits_for_the_same_task_again_is_woken(hostile: HostileServer) -> None:
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "x")
    hostile.script(DONE)

    assert await handle_callback(RINGER, ["x"]) == WOKEN
    assert state_of(this_try) == "success"


@pytest.mark.parametrize("where", ["in a trigger", "in its first worker"])
async def test_a_note_that_the_wait_may_have_come_too_late_for_asks_to_ring_again(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The database took so long that the wait has looked for a note by then."""
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

    assert await handle_callback(RINGER, ["x"]) == TO_BE_REPEATED


@starts_triggers
@pytest.mark.parametrize("pushes", [True, False], ids=["values", "links only"])
async def test_a_ring_that_ends_a_wait_in_a_worker_takes_what_its_trigger_kept_for_itself(
    hostile: HostileServer, *, pushes: bool
) -> None:
    wait = add_wait("x", 1, worker_free=True, do_xcom_push=pushes)
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, wait)
        here = {name: getattr(instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
        claim = {"owner": {"task_instance_id": str(wait), "try_number": 1}}
        XComModel.set(key=PROGRESS_KEY, value=claim, serialize=False, session=session, **here)
    hostile.script(reply(200, {**FAILED, "id": "x"}))

    assert await handle_callback(RINGER, ["x"]) == WOKEN
    with create_session(scoped=False) as session:
        assert session.scalars(select(XComModel.key).where(XComModel.key == PROGRESS_KEY)).all() == []
