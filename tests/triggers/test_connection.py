"""A connection that is missing, broken or replaced while its trigger waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_seeany.api.outcome import (
    Finished,
    Misconfigured,
    Refused,
    TimedOut,
)
from airflow_provider_seeany.hooks import reauth
from tests.conftest import KEY, eventually
from tests.hostile import (
    HostileServer,
    accepting,
    after,
    reply,
    task,
)
from tests.triggers.runs import outcome_of, trigger

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("_connected")


BAD_CONNECTIONS: dict[str, dict[str, Any]] = {
    "no key": {"password": None},
    "a bad key": {"password": f"Bearer {KEY}"},
    "a bad address": {"host": "http://elsewhere.example"},
    "a bad port": {"host": "127.0.0.1", "port": 99_999},
    "a bad time limit": {"extra": {"request_timeout": "soon"}},
    "an extra that is no object": {"extra": "[1]"},
}


@pytest.mark.parametrize("name", BAD_CONNECTIONS)
async def test_a_connection_that_cannot_be_used_is_reported_by_its_name(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(reauth, "CONNECTION_RETRY_SECONDS", 0.0)
    connect("studio", **BAD_CONNECTIONS[name])

    outcome = await outcome_of(trigger(seeany_conn_id="studio"))

    assert isinstance(outcome, Misconfigured)
    assert "'studio'" in outcome.text


async def test_a_missing_connection_is_reported_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reauth, "CONNECTION_RETRY_SECONDS", 0.0)

    outcome = await outcome_of(trigger(seeany_conn_id="no_such_connection"))

    assert isinstance(outcome, Misconfigured)
    assert "'no_such_connection' was not found, or could not be read" in outcome.text


async def test_a_connection_that_appears_meanwhile_is_used(
    hostile: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secrets backend that is down for a moment must not end a wait after an hour."""
    hostile.script(task(status="completed"))
    monkeypatch.setattr(reauth, "FIRST_CONNECTION_RETRY_SECONDS", 0.0)  # that of a wait that has not polled yet
    waiting = asyncio.create_task(outcome_of(trigger(seeany_conn_id="studio")))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    connect("studio", host=hostile.url)

    assert isinstance(await waiting, Finished)


async def test_a_connection_missing_up_to_the_deadline_is_named_in_the_timeout() -> None:
    outcome = await outcome_of(trigger(seeany_conn_id="no_such_connection", deadline=time.time() + 0.2))

    assert isinstance(outcome, TimedOut)
    assert outcome.last_error is not None
    assert "'no_such_connection' was not found, or could not be read" in outcome.last_error


@pytest.mark.parametrize("broken", [{"password": None}, {"extra": "[1]"}], ids=["no key", "a broken extra"])
async def test_a_connection_that_is_mended_meanwhile_is_used(
    hostile: HostileServer, connect: Connect, broken: dict[str, Any]
) -> None:
    hostile.script(task(status="completed"))
    connect("studio", host=hostile.url, **broken)
    waiting = asyncio.create_task(outcome_of(trigger(seeany_conn_id="studio")))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    connect("studio", host=hostile.url)

    assert isinstance(await waiting, Finished)


NEW_KEY = "sk-new-0123456789abcdefghijklmnopqrstuvwxyz"


async def test_a_replaced_key_is_picked_up(hostile: HostileServer, connect: Connect) -> None:
    replaced = after(lambda: connect(host=hostile.url, password=NEW_KEY), task())
    hostile.script(task(), replaced, accepting(NEW_KEY, task(status="completed"), otherwise=reply(401)))

    assert isinstance(await outcome_of(trigger()), Finished)
    # The connections that were made with the old key are closed, too.
    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_replaced_address_is_picked_up_with_the_key(
    hostile: HostileServer, other_host: HostileServer, connect: Connect
) -> None:
    hostile.script(task(), after(lambda: connect(host=other_host.url, password=NEW_KEY), reply(401)))
    other_host.script(task(status="completed"))

    assert isinstance(await outcome_of(trigger()), Finished)
    assert [request.all("Authorization") for request in other_host.requests] == [[f"Bearer {NEW_KEY}"]]


async def test_a_key_that_was_not_replaced_ends_the_wait_at_its_first_refusal(hostile: HostileServer) -> None:
    hostile.script(task(), reply(401), task(status="completed"))

    outcome = await outcome_of(trigger())

    assert isinstance(outcome, Refused)
    assert len(hostile.requests) == 2


async def test_a_new_key_that_is_refused_too_ends_the_wait(hostile: HostileServer, connect: Connect) -> None:
    hostile.script(task(), after(lambda: connect(host=hostile.url, password=NEW_KEY), reply(401)))

    outcome = await outcome_of(trigger())

    assert isinstance(outcome, Refused)
    assert [request.all("Authorization") for request in hostile.requests[-2:]] == [
        [f"Bearer {KEY}"],
        [f"Bearer {NEW_KEY}"],
    ]
    await eventually(hostile, lambda: hostile.open == 0)


async def test_waits_that_share_the_old_key_all_pick_up_the_new_one(hostile: HostileServer, connect: Connect) -> None:
    ids = [f"t{number}" for number in range(20)]
    replaced = after(lambda: connect(host=hostile.url, password=NEW_KEY), reply(401))
    for task_id in ids:
        end = accepting(NEW_KEY, task(id=task_id, status="completed"), otherwise=replaced)
        hostile.script(task(id=task_id), end, task_id=task_id)

    outcomes = await asyncio.gather(*(outcome_of(trigger(task_id, poll_interval=0.3)) for task_id in ids))

    assert all(isinstance(outcome, Finished) for outcome in outcomes)
    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_key_refused_while_the_connection_is_missing_is_not_the_end(
    hostile: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may be deleted first in order to be replaced."""
    monkeypatch.setattr(reauth, "MIN_RELOAD_INTERVAL", 0.0)
    deleted = after(lambda: monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT"), reply(401))
    hostile.script(task(), deleted, accepting(NEW_KEY, task(status="completed"), otherwise=reply(401)))
    waiting = asyncio.create_task(outcome_of(trigger()))
    await eventually(hostile, lambda: len(hostile.requests) >= 4)
    connect(host=hostile.url, password=NEW_KEY)

    assert isinstance(await waiting, Finished)


async def test_a_connection_that_stays_missing_after_a_refused_key_is_named(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reauth, "CONNECTION_RETRY_SECONDS", 0.1)
    deleted = after(lambda: monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT"), reply(401))
    hostile.script(task(), deleted, reply(401))

    outcome = await outcome_of(trigger())

    assert isinstance(outcome, Misconfigured)
    assert "'seeany_default' was not found" in outcome.text
    await eventually(hostile, lambda: hostile.open == 0)
