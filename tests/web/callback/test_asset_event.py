"""A callback for an asset: which SeeAny task gives it an event, once, in a database with Airflow's tables."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel, DagScheduleAssetReference
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update

from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback import handler
from airflow_provider_seeany.web.callback.handler import AssetStatus, CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from tests.hostile import FAILED, PARTIAL, HostileServer, reply, task

pytestmark = pytest.mark.usefixtures("_asset")

CONNECTION = "studio"
ASSET = "s3://studio/videos"
CLAIMS = TokenClaims(CONNECTION, asset=ASSET)
EVENT, DUPLICATE = CallbackResult(asset=AssetStatus.EVENT), CallbackResult(asset=AssetStatus.DUPLICATE)


@pytest.fixture(autouse=True)
def _asset(
    database: None, hostile: HostileServer, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An asset, and a DAG that is scheduled on it."""
    logging.disable(logging.NOTSET)
    monkeypatch.setattr(handler, "_polls", RateLimit())
    monkeypatch.setattr(handler, "_polls_for_assets", RateLimit())
    connect(CONNECTION, host=hostile.url, extra={"request_timeout": 5})
    with create_session(scoped=False) as session:
        session.merge(DagModel(dag_id="consumer", bundle_name="tests", is_paused=False, is_stale=False))
        asset = AssetModel(name="videos", uri=ASSET, group="asset")
        session.add(asset)
        session.flush()
        session.add_all(
            [AssetActive(name="videos", uri=ASSET), DagScheduleAssetReference(asset_id=asset.id, dag_id="consumer")]
        )
    yield
    with create_session(scoped=False) as session:
        for table in (AssetDagRunQueue, AssetEvent, DagScheduleAssetReference, AssetActive, AssetModel):
            session.execute(delete(table))


def completed(**more: Any) -> dict[str, Any]:
    return {**task_payload("completed"), "completed_at": int(time.time()), "video_url": "https://cdn/x.mp4", **more}


def task_payload(status: str) -> dict[str, Any]:
    return {"id": "x", "status": status, "usage": {"cost": 0.7, "cost_unit": "CNY"}}


def extras() -> list[Any]:
    with create_session(scoped=False) as session:
        return list(session.scalars(select(AssetEvent.extra).order_by(AssetEvent.id)))


def queued() -> list[str]:
    """Return the DAGs that the scheduler will start because of the asset."""
    with create_session(scoped=False) as session:
        return list(session.scalars(select(AssetDagRunQueue.target_dag_id)))


@pytest.mark.parametrize("named", [ASSET, "videos"], ids=["by URI", "by name"])
async def test_a_task_that_is_completed_makes_an_event_that_starts_the_dag(hostile: HostileServer, named: str) -> None:
    hostile.script(reply(200, completed()))

    assert await handle_callback(TokenClaims(CONNECTION, asset=named), ["x"]) == EVENT
    (extra,) = extras()
    assert (extra["seeany_task_id"], extra["video_url"], extra["cost"]) == ("x", "https://cdn/x.mp4", 0.7)
    assert queued() == ["consumer"]
    assert len(hostile.requests) == 1


async def test_a_repeated_callback_makes_no_second_event_and_polls_nothing(hostile: HostileServer) -> None:
    hostile.script(reply(200, completed()))
    await handle_callback(CLAIMS, ["x"])

    assert [await handle_callback(CLAIMS, ["x"]) for _ in range(3)] == [DUPLICATE] * 3
    assert (len(extras()), len(hostile.requests)) == (1, 1)


@pytest.mark.parametrize("odd", ["任务_1", 'a"b\\c', "100%_/x"])
async def test_a_repeated_callback_about_an_odd_id_makes_no_second_event(hostile: HostileServer, odd: str) -> None:
    longer = f"{odd}2"
    for each in (odd, longer):
        hostile.script(reply(200, completed(id=each)), task_id=quote(each, safe=""))

    results = [await handle_callback(CLAIMS, [each]) for each in (longer, odd, odd)]

    assert results == [EVENT, EVENT, DUPLICATE]


async def test_of_simultaneous_callbacks_one_makes_the_event(hostile: HostileServer) -> None:
    hostile.script(reply(200, completed()))

    results = await asyncio.gather(*(handle_callback(CLAIMS, ["x"]) for _ in range(8)))

    assert sorted(result.asset or "" for result in results) == ["duplicate"] * 7 + ["event"]
    assert len(extras()) == 1


async def test_each_task_makes_an_event_of_its_own(hostile: HostileServer) -> None:
    for each in ("x", "y"):
        hostile.script(reply(200, completed(id=each)), task_id=each)
        assert await handle_callback(CLAIMS, [each]) == EVENT

    assert [extra["seeany_task_id"] for extra in extras()] == ["x", "y"]


TWO_NAMES = {"id": 7, "task_uuid": "wtask_1"}
CALLBACKS = {
    "one with both": [["7", "wtask_1"]],
    "both, twice": [["7", "wtask_1"], ["7", "wtask_1"]],
    "one with each": [["7"], ["wtask_1"]],
    "one with each, the other way round": [["wtask_1"], ["7"]],
    "one, then both": [["wtask_1"], ["7", "wtask_1"]],
}


@pytest.mark.parametrize("api", ["v1", "developer"])
@pytest.mark.parametrize("callbacks", CALLBACKS.values(), ids=CALLBACKS)
async def test_a_task_with_two_names_makes_one_event(
    hostile: HostileServer, connect: Callable[..., None], api: str, callbacks: list[list[str]]
) -> None:
    connect(CONNECTION, host=hostile.url, extra={"api": api})
    for name in ("7", "wtask_1"):
        asked = {"id": name} if api == "v1" else {}
        payload = completed(task_id=7, **TWO_NAMES | asked)
        hostile.script(reply(200, payload if api == "v1" else {"code": 0, "data": payload}), task_id=name)

    results = [await handle_callback(CLAIMS, names) for names in callbacks]

    assert results == [EVENT, DUPLICATE][: len(callbacks)]
    assert len(extras()) == 1


async def test_a_callback_with_two_names_makes_one_event_whatever_seeany_calls_the_task(
    hostile: HostileServer,
) -> None:
    """The event has the name that the API uses: of a body the last, as that of the service's database comes first."""
    for each in ("7", "wtask_1"):
        hostile.script(reply(200, completed(id=each)), task_id=each)

    results = await asyncio.gather(*(handle_callback(CLAIMS, ["7", "wtask_1"]) for _ in range(4)))

    assert sorted(result.asset or "" for result in results) == ["duplicate"] * 3 + ["event"]
    assert [extra["seeany_task_id"] for extra in extras()] == ["wtask_1"]


async def test_a_caller_cannot_take_the_event_from_another_task(hostile: HostileServer) -> None:
    for each in ("x", "y"):
        hostile.script(reply(200, completed(id=each, task_id="an order of both")), task_id=each)
    await handle_callback(CLAIMS, ["y", "x"])

    assert await handle_callback(CLAIMS, ["y"]) == EVENT
    assert [extra["seeany_task_id"] for extra in extras()] == ["x", "y"]


async def test_the_event_of_a_task_with_the_asset_as_its_outlet_does_not_count(hostile: HostileServer) -> None:
    """Such as that of the operator which has created the SeeAny task."""
    hostile.script(reply(200, completed()))
    with create_session(scoped=False) as session:
        asset_id = session.scalar(select(AssetModel.id))
        session.add(AssetEvent(asset_id=asset_id, extra={"seeany_task_id": "x"}, source_dag_id="producer"))

    assert await handle_callback(CLAIMS, ["x"]) == EVENT


@pytest.mark.parametrize("extra", [{"x": "x"}, {"seeany_task_id": ["x"]}, {"other_ids": 7, "about": "x"}])
async def test_an_event_that_a_user_made_with_anything_in_it_does_no_harm(
    hostile: HostileServer, extra: dict[str, Any]
) -> None:
    hostile.script(reply(200, completed()))
    with create_session(scoped=False) as session:
        session.add(AssetEvent(asset_id=session.scalar(select(AssetModel.id)), extra=extra))

    assert await handle_callback(CLAIMS, ["x"]) == EVENT


async def test_a_partial_result_makes_an_event_that_says_so(hostile: HostileServer) -> None:
    hostile.script(reply(200, PARTIAL))

    assert await handle_callback(CLAIMS, ["x"]) == EVENT
    assert extras()[0]["is_partial"] is True


LONG_AGO = int((datetime.now(UTC) - timedelta(days=8)).timestamp())
NO_EVENT = {
    "failed": (reply(200, {**FAILED, "id": "x"}), CallbackResult(asset=AssetStatus.FAILED)),
    "running": (task(), CallbackResult(asset=AssetStatus.STILL_RUNNING)),
    "a replay": (reply(200, completed(completed_at=LONG_AGO)), CallbackResult(asset=AssetStatus.TOO_OLD)),
    "unknown": (reply(404), CallbackResult(asset=AssetStatus.NO_TASK, retry_after=10)),
    "a refused key": (reply(401), CallbackResult(retry_after=10)),
    "an error": (reply(500), CallbackResult(retry_after=10)),
}


@pytest.mark.parametrize(("response", "result"), NO_EVENT.values(), ids=NO_EVENT)
async def test_without_a_new_result_there_is_no_event(
    hostile: HostileServer, response: Any, result: CallbackResult
) -> None:
    hostile.script(response)

    assert await handle_callback(CLAIMS, ["x"]) == result
    assert (extras(), queued()) == ([], [])


async def test_a_replay_after_the_event_is_forgotten_starts_nothing(hostile: HostileServer) -> None:
    hostile.script(reply(200, completed()), reply(200, completed(completed_at=LONG_AGO)))
    await handle_callback(CLAIMS, ["x"])
    with create_session(scoped=False) as session:
        session.execute(update(AssetEvent).values(timestamp=datetime.now(UTC) - timedelta(days=30)))

    assert await handle_callback(CLAIMS, ["x"]) == CallbackResult(asset=AssetStatus.TOO_OLD)


async def test_a_replay_about_a_task_without_a_time_starts_nothing_either(hostile: HostileServer) -> None:
    hostile.script(reply(200, completed(completed_at=None)))
    await handle_callback(CLAIMS, ["x"])
    with create_session(scoped=False) as session:
        session.execute(update(AssetEvent).values(timestamp=datetime.now(UTC) - timedelta(days=30)))

    assert await handle_callback(CLAIMS, ["x"]) == DUPLICATE
    assert len(extras()) == 1


async def test_another_id_in_the_body_that_is_no_task_changes_nothing(hostile: HostileServer) -> None:
    hostile.script(reply(404), task_id="evt_1")
    hostile.script(reply(200, completed()), task_id="x")

    assert await handle_callback(CLAIMS, ["evt_1", "x"]) == EVENT


@pytest.mark.parametrize("claims", [TokenClaims(CONNECTION, asset="s3://another"), CLAIMS], ids=["unknown", "inactive"])
async def test_an_asset_that_no_dag_uses_gets_no_event_and_nothing_is_polled(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture, claims: TokenClaims
) -> None:
    if claims is CLAIMS:
        with create_session(scoped=False) as session:
            session.execute(delete(AssetActive))

    assert await handle_callback(claims, ["x"]) == CallbackResult(asset=AssetStatus.NO_ASSET)
    assert (hostile.requests, extras()) == ([], [])
    assert f"SeeAny called back for asset {claims.asset!r}, which no DAG uses" in caplog.text


async def test_a_url_without_an_asset_makes_no_event(hostile: HostileServer) -> None:
    assert await handle_callback(TokenClaims(CONNECTION), ["x"]) == CallbackResult(CallbackStatus.NO_WAIT)
    assert hostile.requests == []


async def test_callers_who_choose_ids_cause_a_limited_number_of_polls(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "_polls_for_assets", RateLimit(per_second=0.01, burst=3))
    hostile.script(reply(404))

    results = [await handle_callback(CLAIMS, [f"guess-{number}"]) for number in range(5)]

    assert len(hostile.requests) == 3
    assert [result.is_rate_limited for result in results] == [False] * 3 + [True] * 2
