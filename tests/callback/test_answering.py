"""What comes of a ring, in a database with Airflow's tables and with a SeeAny to ask: who is woken, and who is not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, text

from airflow_provider_seeany.callback import answering
from airflow_provider_seeany.callback.answering import AskedTooOften, Happened, Rung, SeeAnyDidNotAnswer, answer_ring
from airflow_provider_seeany.callback.doorbell import mark_key
from airflow_provider_seeany.callback.rate import RateLimit
from airflow_provider_seeany.callback.token import Ringer, WaitingTask
from tests.callback.waits_in_database import CONNECTION, add_wait, make_database, mark_failed, wait_anew
from tests.hostile import COMPLETED, HostileServer, hang, reply, task
from tests.waits import starts_triggers

RINGER = Ringer(CONNECTION)
DONE = reply(200, {**COMPLETED, "id": "x"})
WOKEN, NOBODY_WAITS = Rung(Happened.WOKEN, 1), Rung(Happened.NOBODY_WAITS)


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
    monkeypatch.setattr(answering, "_questions", RateLimit(per_second=0.01, burst=3))
    connect(CONNECTION, host=hostile.url, extra={"request_timeout": 5})
    yield
    with create_session(scoped=False) as session:
        session.execute(delete(TaskInstance))  # and with them all XComs


def state_of(instance_id: Any) -> Any:
    with create_session(scoped=False) as session:
        return session.get_one(TaskInstance, instance_id).state


@starts_triggers
async def test_an_api_server_whose_certificates_are_missing_asks_for_the_ring_again_and_says_so(
    connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wait("x", 1)
    connect(CONNECTION, host="https://seeany.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")

    with pytest.raises(SeeAnyDidNotAnswer, match=r"REQUESTS_CA_BUNDLE.*/no/such/bundle\.pem"):
        await answer_ring(RINGER, ["x"])


@starts_triggers
async def test_all_that_wait_for_a_task_are_woken_by_one_ring_and_one_question(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("x", 2, worker_free=True), add_wait("y", 3)]
    hostile.script(DONE)

    assert await answer_ring(RINGER, ["x", "evt_1"]) == Rung(Happened.WOKEN, 2)
    assert [state_of(each) for each in waits] == ["scheduled", "success", "deferred"]
    assert len(hostile.requests) == 1


async def test_a_task_that_has_not_ended_wakes_nobody(hostile: HostileServer) -> None:
    wait = add_wait("x", 1)
    hostile.script(task())

    assert await answer_ring(RINGER, ["x"]) == Rung(Happened.STILL_RUNNING)
    assert state_of(wait) == "deferred"


async def test_without_a_wait_nothing_is_asked(hostile: HostileServer) -> None:
    add_wait("x", 1)

    assert await answer_ring(RINGER, ["y"]) == NOBODY_WAITS
    assert hostile.requests == []


@pytest.mark.parametrize("waiting", [None, WaitingTask("waits", "run", "wait", 1)])
async def test_the_url_of_another_connection_wakes_nobody(
    hostile: HostileServer, connect: Callable[..., None], waiting: WaitingTask | None
) -> None:
    connect("other", host=hostile.url)
    wait = add_wait("x", 1)

    assert await answer_ring(Ringer("other", waiting), ["x"]) == NOBODY_WAITS
    assert (state_of(wait), hostile.requests) == ("deferred", [])


async def test_a_flood_of_rings_for_a_running_task_does_not_use_up_what_may_be_asked(hostile: HostileServer) -> None:
    add_wait("x", 1)
    wait = add_wait("y", 2)
    hostile.script(task())
    hostile.script(reply(200, {**COMPLETED, "id": "y"}), task_id="y")

    rung = await asyncio.gather(*[answer_ring(RINGER, ["x"]) for _ in range(20)], return_exceptions=True)

    assert len(hostile.requests) == 3
    assert sum(isinstance(each, AskedTooOften) for each in rung) == 17
    assert await answer_ring(RINGER, ["y"]) == WOKEN
    assert state_of(wait) == "scheduled"


async def test_a_url_that_names_who_waits_needs_no_body(hostile: HostileServer) -> None:
    waits = [add_wait("x", 1), add_wait("y", 2)]
    hostile.script(DONE)

    assert await answer_ring(Ringer(CONNECTION, WaitingTask("waits", "run", "wait", 1)), []) == WOKEN
    assert [state_of(each) for each in waits] == ["scheduled", "deferred"]


@pytest.mark.parametrize("answer", [reply(500), reply(404), reply(403), reply(200, b"<html>")])
async def test_a_seeany_in_trouble_leaves_the_wait_as_it_is(hostile: HostileServer, answer: Any) -> None:
    wait = add_wait("x", 1)
    hostile.script(answer)

    with pytest.raises(SeeAnyDidNotAnswer):
        await answer_ring(RINGER, ["x"])
    assert state_of(wait) == "deferred"
    hostile.script(DONE)
    assert await answer_ring(RINGER, ["x"]) == WOKEN


async def test_a_seeany_that_hangs_is_not_waited_for_for_long(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wait("x", 1)
    hostile.script(hang)
    monkeypatch.setattr(answering, "PATIENCE", 0.2)

    with pytest.raises(SeeAnyDidNotAnswer, match="no answer within"):
        await answer_ring(RINGER, ["x"])


async def test_while_the_database_is_locked_the_event_loop_goes_on(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)
    with create_session(scoped=False) as other:
        other.execute(text("BEGIN IMMEDIATE"))
        ringing = asyncio.create_task(answer_ring(RINGER, ["x"]))
        async with asyncio.timeout(10):
            while not (hostile.requests and answering._threads().borrowed_tokens):
                await asyncio.sleep(0.01)
        # Blocked, the loop would not get here, and the ring would find the database locked in the end.
        other.rollback()

    assert await ringing == WOKEN


async def test_a_ring_that_comes_too_early_is_noted_without_a_question(hostile: HostileServer) -> None:
    wait = add_wait("x", 1, first_look_at=time.time() + 60)

    assert await answer_ring(RINGER, ["x"]) == Rung(Happened.NOTED, 1)
    assert (state_of(wait), hostile.requests) == ("deferred", [])
    with create_session(scoped=False) as session:
        mark: Any = session.query(XComModel.value).filter(XComModel.key == mark_key(CONNECTION, "x")).scalar()
    assert mark["rung"] is True


async def test_of_two_rings_at_once_one_wakes_and_the_other_says_that_nobody_waits(hostile: HostileServer) -> None:
    add_wait("x", 1)
    hostile.script(DONE)

    rung = await asyncio.gather(answer_ring(RINGER, ["x"]), answer_ring(RINGER, ["x"]))

    assert sorted(each.happened for each in rung) == [Happened.NOBODY_WAITS, Happened.WOKEN]


@starts_triggers
async def test_what_an_earlier_try_waited_for_does_not_end_this_one(hostile: HostileServer) -> None:
    """A person marked the first try as failed, and cleared it to wait for a task that was created anew."""
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "new")
    hostile.script(DONE)
    hostile.script(reply(200, {**COMPLETED, "id": "new"}), task_id="new")

    assert await answer_ring(RINGER, ["x"]) == NOBODY_WAITS
    assert (state_of(this_try), hostile.requests) == ("deferred", [])
    assert await answer_ring(RINGER, ["new"]) == WOKEN


@starts_triggers
async def test_a_try_that_waits_for_the_same_task_again_is_woken(hostile: HostileServer) -> None:
    first_try = add_wait("x", 1, worker_free=True)
    mark_failed(first_try)
    this_try = wait_anew(first_try, "x")
    hostile.script(DONE)

    assert await answer_ring(RINGER, ["x"]) == WOKEN
    assert state_of(this_try) == "success"
