"""Publishing progress: in the background, at a limited rate, and without delaying the wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.triggers import progress as module
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.xcoms import TriggererXComs
from airflow_provider_seeany.xcoms.record import Progress
from tests.hostile import COMPLETED, POLL_TIMEOUT, HostileServer, reply, task
from tests.supervisor import Supervisor
from tests.waits import task_trigger

pytestmark = pytest.mark.skipif(not hasattr(XCom, "aset"), reason="triggers cannot push XComs before Airflow 3.3")

TASK = SimpleNamespace(id="019a-1", try_number=1, dag_id="d", task_id="t", run_id="r", map_index=None)


@pytest.fixture(autouse=True)
def _no_write_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProgressPublisher, "_any_at", 0.0)


@pytest.fixture
def pushed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = []

    async def asend(message: Any) -> Any:
        if message.type == "SetXCom":
            values.append({"key": message.key, **message.value, "map_index": message.map_index})
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    return values


def publisher(task_instance: Any = TASK, *, seeany_task_id: str = "vid") -> ProgressPublisher:
    xcoms = None if task_instance is None else TriggererXComs(task_instance)
    about = Progress(conn_id="c", at=0, seeany_task_id=seeany_task_id, began=1000, deadline=4600)
    return ProgressPublisher(xcoms, about, log=logging.getLogger())


def snapshot(progress: float) -> Snapshot:
    return Snapshot(status="processing", progress=progress, estimated_remaining=9)


async def test_it_publishes_the_progress_of_a_snapshot(pushed: list[dict[str, Any]]) -> None:
    async with publisher() as progress:
        progress.update(snapshot(40), next_poll_at=1020.7)
        await asyncio.sleep(0.01)
    (value,) = pushed
    assert (value["seeany_task_id"], value["began"], value["deadline"], value["next_poll_at"]) == (
        "vid",
        1000,
        4600,
        1020,
    )
    assert (value["key"], value["percent"], value["seconds_left"], value["map_index"]) == ("_seeany", 40, 9, -1)


async def test_it_publishes_changes_only_and_at_most_every_ten_seconds(
    pushed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    async with publisher() as progress:
        for second, percent in ((0, 10), (5, 20), (9.9, 30), (10, 40), (30, 40), (45, 50)):
            clock[0] = 100.0 + second
            progress.update(snapshot(percent))
            await asyncio.sleep(0.01)
    assert [value["percent"] for value in pushed] == [10, 40, 50]


async def test_hundreds_of_waits_together_write_once_a_second_each_as_often_as_the_others(
    pushed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    written = []
    async with AsyncExitStack() as stack:
        waits = [await stack.enter_async_context(publisher(seeany_task_id=str(number))) for number in range(200)]
        for moment in range(4 * 400):
            clock[0] = 100.0 + moment / 4
            for progress in waits:
                progress.update(snapshot(moment / 40))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            written.append(len(pushed))
    assert all(later - earlier <= 1 for earlier, later in zip(written, written[4:], strict=False))
    # Fewer would be safe for the database, too, but would show too little progress.
    assert len(pushed) >= 0.95 * 400
    assert {value["seeany_task_id"] for value in pushed} == {str(number) for number in range(200)}


async def test_a_wait_writes_as_often_as_alone_when_hundreds_of_others_have_ended(
    pushed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    for _ in range(200):
        async with publisher():
            pass
    async with publisher() as progress:
        for percent in (10, 20):
            progress.update(snapshot(percent))
            await asyncio.sleep(0.01)
            clock[0] += module.MIN_INTERVAL
    assert [value["percent"] for value in pushed] == [10, 20]


async def test_a_write_that_hangs_does_not_delay_the_polls_and_is_the_only_one(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    hangs = asyncio.Event()

    async def asend(message: Any) -> None:
        sent.append(message.type)
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(supervisor, "asend", asend)
    monkeypatch.setattr(module, "MIN_INTERVAL", 0)
    monkeypatch.setattr(module, "MAX_PER_SECOND", float("inf"))

    async def wait() -> None:
        async with publisher() as progress:
            progress.update(snapshot(1))
            await hangs.wait()
            progress.update(snapshot(2))
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await wait()

    # What was under way is cancelled with the wait.
    (writing,) = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait({writing}, timeout=POLL_TIMEOUT)
    assert writing.cancelled()
    assert len(sent) == 1


async def test_a_result_does_not_overtake_the_progress_that_is_being_written_when_the_wait_ends(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the progress would replace it."""
    order: list[str] = []
    is_under_way, is_handled = asyncio.Event(), asyncio.Event()

    async def asend(message: Any) -> Any:
        if message.type == "SetXCom":
            is_under_way.set()
            await is_handled.wait()
            order.append("progress")
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    async with publisher() as progress:
        progress.update(snapshot(40))
        await is_under_way.wait()
        # Only after the end of the wait, to which nothing is awaited from here.
        asyncio.get_running_loop().call_soon(is_handled.set)
    order.append("result")

    assert order == ["progress", "result"]
    assert supervisor.xcoms["_seeany"]["percent"] == 40


@pytest.mark.parametrize(("is_ended", "warnings"), [(False, 1), (True, 0)], ids=["failed", "not its own any more"])
async def test_a_write_that_fails_is_the_last_and_raises_nothing(
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_ended: bool,
    warnings: int,
) -> None:
    tried: list[str] = []
    supervisor.state = "success"

    async def asend(message: Any) -> Any:
        tried.append(message.type)
        if is_ended:
            return supervisor.send(message)
        raise OSError("away")

    monkeypatch.setattr(supervisor, "asend", asend)
    monkeypatch.setattr(module, "MIN_INTERVAL", 0)
    monkeypatch.setattr(module, "MAX_PER_SECOND", float("inf"))
    async with publisher() as progress:
        for percent in range(5):
            progress.update(snapshot(percent))
            await asyncio.sleep(0.01)
    assert len(tried) == 1
    assert caplog.text.count("no longer published") == warnings


@pytest.mark.parametrize("reason", ["option", "no XComs"])
async def test_it_can_be_switched_off(
    pushed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "option":
        monkeypatch.setenv("AIRFLOW__SEEANY__PUBLISH_PROGRESS", "False")
    async with publisher(None if reason == "no XComs" else TASK) as progress:
        progress.update(snapshot(1))
        await asyncio.sleep(0.01)
    assert pushed == []


@pytest.mark.parametrize("do_xcom_push", [True, False])
async def test_a_trigger_publishes_its_progress_only_if_the_task_pushes_xcoms(
    pushed: list[dict[str, Any]], hostile: HostileServer, connect: Callable[..., None], do_xcom_push: bool
) -> None:
    connect(host=hostile.url)
    hostile.script(task(progress=40), reply(200, {**COMPLETED, "id": "x"}))
    trigger = task_trigger(seeany_task_id="x", poll_interval=0.05, deadline=time.time() + 20, do_xcom_push=do_xcom_push)
    trigger.task_instance = TASK  # type: ignore[assignment]

    _ = [event async for event in trigger.run()]

    assert [value["key"] for value in pushed] == (["_seeany"] if do_xcom_push else [])
