"""A callback about a task of a batch, in a database with Airflow's tables: noted for its trigger, and no more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_provider_seeany.callback.batch import CALLED_BACK_KEY, CalledBack
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback import handler
from airflow_provider_seeany.web.callback.batches import find_batches, note_callback
from airflow_provider_seeany.web.callback.handler import CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.xcoms.record_key import hash_part
from tests.hostile import COMPLETED, HostileServer, about
from tests.web.callback.waits_in_database import CONNECTION, add_batch, add_wait

CLAIMS = TokenClaims(CONNECTION)
NO_WAIT = CallbackResult(CallbackStatus.NO_WAIT)


@pytest.fixture(autouse=True)
def _limited(own_waits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_batch_notes", RateLimit(per_second=0.01, burst=3))


def noted_for(instance: Any) -> CalledBack:
    query = select(XComModel.value).where(XComModel.key == CALLED_BACK_KEY, XComModel.map_index == instance.map_index)
    with create_session(scoped=False) as session:
        return msgspec.convert(session.scalar(query), CalledBack)


async def test_a_callback_is_noted_for_each_batch_with_the_task_and_polls_nothing(hostile: HostileServer) -> None:
    batches = [add_batch(["x", "y"], 1), add_batch(["z", "x"], 2), add_batch(["y"], 3)]

    assert await handle_callback(CLAIMS, ["x", "evt_1"]) == CallbackResult(CallbackStatus.NOTED, 2)
    assert [noted_for(each).since(0) for each in batches] == [[hash_part("x")], [hash_part("x")], []]
    assert hostile.requests == []


async def test_one_callback_serves_a_batch_and_a_wait_for_the_same_task(hostile: HostileServer) -> None:
    add_wait("x", 1)
    batch = add_batch(["x", "y"], 2)
    hostile.script(about({**COMPLETED, "id": "x"}))

    assert (await handle_callback(CLAIMS, ["x"])).status == CallbackStatus.RESUMED
    assert noted_for(batch).since(0) == [hash_part("x")]


@pytest.mark.parametrize("ids", [["unknown"], ["x' OR '1'='1"], ["%"], ["_"], ['x"'], [""]], ids=repr)
async def test_a_callback_about_no_task_of_a_batch_is_ignored(ids: list[str]) -> None:
    batch = add_batch(["x", "y"], 1)

    assert await handle_callback(CLAIMS, ids) == NO_WAIT
    assert noted_for(batch).number == 0


async def test_a_callback_through_another_connection_is_ignored() -> None:
    batch = add_batch(["x"], 1, conn_id="another")

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert noted_for(batch).number == 0


@pytest.mark.parametrize("state", ["success", "failed", "scheduled", "up_for_retry", None])
async def test_a_callback_after_the_end_of_a_batch_is_ignored(state: str | None) -> None:
    batch = add_batch(["x"], 1)
    with create_session(scoped=False) as session:
        session.execute(update(TaskInstance).values(state=state))

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert noted_for(batch).number == 0


async def test_what_an_earlier_try_has_left_is_ignored() -> None:
    batch = add_batch(["x"], 1)
    with create_session(scoped=False) as session:
        session.get_one(TaskInstance, batch.id).prepare_db_for_next_try(session)
        session.execute(update(TaskInstance).values(state="deferred"))

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT
    assert noted_for(batch).number == 0


@pytest.mark.parametrize("value", [None, [], "x", {"number": 1}, {"task_instance_id": "1", "tasks": 5}], ids=repr)
async def test_an_xcom_that_a_dag_pushed_is_ignored(value: Any) -> None:
    add_batch(["x"], 1)
    with create_session(scoped=False) as session:
        session.execute(update(XComModel).where(XComModel.key == CALLED_BACK_KEY).values(value=value))

    assert await handle_callback(CLAIMS, ["x"]) == NO_WAIT


async def test_callbacks_about_one_task_that_come_too_fast_are_refused() -> None:
    batch = add_batch(["x", "y"], 1)

    results = [await handle_callback(CLAIMS, ["x"]) for _ in range(5)]

    assert [result.is_rate_limited for result in results] == [False, False, False, True, True]
    assert noted_for(batch).number == 3
    assert (await handle_callback(CLAIMS, ["y"])).status == CallbackStatus.NOTED


def test_no_callback_is_lost_to_one_that_comes_at_the_same_time() -> None:
    ids = [f"v{number}" for number in range(40)]
    batch = add_batch(ids, 1)
    (found,) = find_batches(CONNECTION, ids[0])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(partial(note_callback, found), ids))

    assert sorted(noted_for(batch).since(0) or []) == sorted(map(hash_part, ids))
