"""What a task tells in the asset events of its outlets, whichever class it is of."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyTaskFailed
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, reply
from tests.submit.state import State
from tests.waits import COMPLETED_FIELDS, KINDS, context, finished, wait

pytestmark = pytest.mark.usefixtures("_connected", "supervisor")
each_kind = pytest.mark.parametrize("kind", KINDS)

VIDEOS = Asset("s3://studio/videos")
TOLD = {"seeany_task_id": COMPLETED["id"], **COMPLETED_FIELDS}


def context_with_events() -> Any:
    return {**context(), "outlet_events": OutletEventAccessors()}


def events(ctx: Any) -> dict[str, Any]:
    """Return the extra of each event, by its asset."""
    accessors = ctx["outlet_events"]
    direct = {asset.uri: accessors[asset].extra for asset in accessors if isinstance(asset, Asset)}
    aliases = (accessors[alias] for alias in accessors if isinstance(alias, AssetAlias))
    return direct | {event.dest_asset_key.uri: event.extra for alias in aliases for event in alias.asset_alias_events}


@each_kind
@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_the_event_of_an_outlet_has_the_id_and_the_fields_of_the_task(
    hostile: HostileServer, kind: Any, do_xcom_push: bool
) -> None:
    hostile.script(reply(200, COMPLETED))
    now, later = context_with_events(), context_with_events()

    wait(kind, VIDEO, outlets=[VIDEOS], do_xcom_push=do_xcom_push).execute(now)
    wait(kind, VIDEO, outlets=[VIDEOS], do_xcom_push=do_xcom_push).resume_execution(*finished(COMPLETED), later)

    assert events(now) == events(later) == {VIDEOS.uri: TOLD}


@each_kind
def test_an_alias_gets_an_event_of_an_asset_that_stands_for_the_task(kind: Any) -> None:
    ctx = context_with_events()

    wait(kind, VIDEO, outlets=[AssetAlias("videos")]).resume_execution(*finished(COMPLETED), ctx)

    assert events(ctx) == {"x-seeany://waits/wait": TOLD}


@each_kind
def test_what_the_author_of_the_dag_puts_into_an_event_stays(kind: Any) -> None:
    ctx, alias = context_with_events(), AssetAlias("videos")
    ctx["outlet_events"][VIDEOS].extra = {"cost": "secret", "campaign": 7}
    ctx["outlet_events"][alias].add(Asset("s3://studio/campaign"), extra={"campaign": 7})

    wait(kind, VIDEO, outlets=[VIDEOS, alias]).resume_execution(*finished(COMPLETED), ctx)

    assert events(ctx) == {
        VIDEOS.uri: {**TOLD, "cost": "secret", "campaign": 7},
        "s3://studio/campaign": {"campaign": 7},
    }


@each_kind
def test_a_failure_tells_the_outlets_nothing(kind: Any) -> None:
    ctx = context_with_events()

    with pytest.raises(SeeAnyTaskFailed):
        wait(kind, VIDEO, outlets=[VIDEOS]).resume_execution(*finished({**FAILED, "id": VIDEO}), ctx)

    assert events(ctx) == {}


@each_kind
def test_an_outlet_that_cannot_be_told_does_not_cost_the_result(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    ctx = context_with_events()
    outlets = ["no asset", VIDEOS]

    with caplog.at_level(logging.WARNING):
        assert wait(kind, VIDEO, outlets=outlets).resume_execution(*finished(COMPLETED), ctx)

    assert events(ctx) == {VIDEOS.uri: TOLD}
    assert "The asset event of 'no asset' does not tell what was made" in caplog.text


def batch_of(number: int) -> Any:
    ids = [f"v{index}" for index in range(number)]
    collected = ResultCollector(ids)
    for index, each in enumerate(ids):
        collected.add(index, SeeAnyTask.from_payload({**COMPLETED, "id": each, "video_url": f"https://cdn/{each}.mp4"}))
    return {"event": msgspec.to_builtins(collected.result())}


@pytest.mark.parametrize(
    ("number", "row"),
    [
        (2, {"id": "v0", "video_url": "https://cdn/v0.mp4", "cost": 0.7, "cost_unit": "CNY"}),
        (200, {"id": "v0", "video_url": "https://cdn/v0.mp4", "cost": 0.7, "cost_unit": "CNY"}),
        (1000, {"id": "v0"}),
    ],
    ids=["full", "table", "totals"],
)
def test_the_event_of_a_batch_has_its_totals_and_as_many_tasks_as_fit(number: int, row: dict[str, Any]) -> None:
    ctx = context_with_events()
    batch = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=["x"], outlets=[VIDEOS])

    batch.resume_execution("execute_complete", batch_of(number), ctx)

    (extra,) = events(ctx).values()
    assert (extra["total"], extra["completed"], extra["failed"], extra["partial"]) == (number, number, 0, 0)
    assert extra["cost"] == {"CNY": pytest.approx(0.7 * number)}
    assert extra["tasks"][0] == row
    assert len(extra["tasks"]) + extra.get("left_out", 0) == number


def test_a_submission_tells_the_id_and_with_its_wait_what_any_wait_tells(hostile: HostileServer) -> None:
    hostile.script(reply(200, COMPLETED))
    told = []
    for is_waiting in (False, True):
        ctx = {**context_with_events(), "task_state_store": State()}
        vars(ctx["ti"]).update(max_tries=0, try_number=1)
        parameters: dict[str, Any] = {"create": lambda: VIDEO, "wait": is_waiting, "outlets": [VIDEOS]}
        SeeAnySubmitOperator(task_id="submit", **parameters).execute(ctx)
        told.append(events(ctx))

    assert told == [{VIDEOS.uri: {"seeany_task_id": VIDEO}}, {VIDEOS.uri: TOLD}]
