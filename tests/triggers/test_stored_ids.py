"""Batches of so many ids that they are stored in an XCom."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time import task_runner

from airflow_provider_seeany.api.batch_result import BatchResult, decode_batch_outcome
from airflow_provider_seeany.api.outcome import Misconfigured
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.triggers import stored_ids
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from airflow_provider_seeany.triggers.stored_ids import IDS_KEY, StoredIds
from tests.supervisor import Supervisor
from tests.waits import TaskInstance, batch_trigger, starts_triggers

MYSQL_TEXT = 65_535
MANY = [f"video-0s-stored-{number:06}" for number in range(10_000)]
FEW = MANY[:1000]


def context(try_id: str = "first") -> Any:
    task_instance: Any = TaskInstance()
    task_instance.id = try_id
    return {"ti": task_instance}


def arguments(ids: list[str], try_id: str = "first", **more: Any) -> dict[str, Any]:
    """Return what Airflow stores of the trigger of a batch."""
    sensor = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=ids, max_requests_per_second=20_000, **more)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context(try_id))
    kwargs: dict[str, Any] = deferred.value.trigger.serialize()[1]
    return kwargs


def trigger_with_stored_ids() -> SeeAnyTaskBatchTrigger:
    """Return the trigger of a batch as a triggerer has it."""
    task_instance = context()["ti"]
    stored = StoredIds.of(task_instance)
    stored.store(MANY)
    trigger = batch_trigger([], stored_ids=msgspec.to_builtins(stored))
    trigger.task_instance = task_instance
    return trigger


async def outcome_of(kwargs: dict[str, Any]) -> Any:
    trigger = SeeAnyTaskBatchTrigger(**{**kwargs, "first_poll_at": None, "deadline": time.time() + 60})
    (event,) = [event async for event in trigger.run()]
    return decode_batch_outcome(event.payload)


@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_the_arguments_of_the_largest_batch_fit_into_mysql_when_encrypted(
    supervisor: Supervisor, do_xcom_push: bool
) -> None:
    from airflow.models.trigger import Trigger

    stored = Trigger.encrypt_kwargs(arguments(MANY, do_xcom_push=do_xcom_push))
    assert len(stored) < MYSQL_TEXT
    assert len(Trigger.encrypt_kwargs(arguments([f"任务-{number:06}" for number in range(1300)]))) < MYSQL_TEXT


def test_few_ids_stay_in_the_arguments(supervisor: Supervisor) -> None:
    kwargs = arguments(FEW)
    assert kwargs["seeany_task_ids"] == FEW
    assert IDS_KEY not in supervisor.xcoms
    assert kwargs["stored_ids"] is None


async def test_the_trigger_waits_for_what_the_worker_stored_and_again_in_another_triggerer(
    supervisor: Supervisor, simulator_url: str, connect: Any
) -> None:
    connect(host=simulator_url)
    kwargs = json.loads(json.dumps(arguments(MANY[:1500])))
    assert kwargs["seeany_task_ids"] == []

    for _ in range(2):
        result = await outcome_of(kwargs)
        assert isinstance(result, BatchResult)
        assert (result.total, result.completed) == (1500, 1500)


@pytest.mark.parametrize("seconds", [300.0, 0.0], ids=["for a moment", "for long"])
async def test_the_trigger_reads_the_ids_when_airflow_s_database_is_available_again(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    monkeypatch.setattr(reauth, "CONNECTION_RETRY_SECONDS", seconds)
    monkeypatch.setattr(stored_ids, "RETRY_INTERVAL", 0.0)
    stored = StoredIds.of(context()["ti"])
    stored.store(MANY)
    failures = iter(range(3))

    async def asend(message: Any) -> Any:
        for _ in failures:
            raise OSError("the database is away")
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    reading = stored.read(logging.getLogger())

    if seconds:
        assert await reading == MANY
        assert caplog.text.count("read later") == 1
    else:
        with pytest.raises(OSError, match="away"):
            await reading


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "of another try"])
async def test_the_trigger_does_not_wait_for_the_ids_of_another_try(supervisor: Supervisor, gone: bool) -> None:
    kwargs = arguments(MANY)
    if gone:
        supervisor.xcoms.clear()
    else:
        arguments(MANY[5000:] + FEW, try_id="second")

    outcome = await outcome_of(kwargs)

    assert isinstance(outcome, Misconfigured)
    assert "Clear the task" in outcome.text


@pytest.mark.parametrize("event", [{"type": "crashed", "text": "why"}, {"type": "misconfigured", "text": "no key"}])
def test_the_worker_in_which_the_batch_ends_deletes_the_ids(supervisor: Supervisor, event: dict[str, Any]) -> None:
    arguments(MANY)
    assert IDS_KEY in supervisor.xcoms

    with pytest.raises(Exception, match=event["text"]):
        SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=MANY).resume_execution(
            "execute_complete", {"event": event}, context()
        )

    assert IDS_KEY not in supervisor.xcoms


def test_ids_that_a_trigger_could_not_read_stay_in_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=Supervisor().send), raising=False)
    assert arguments(MANY)["seeany_task_ids"] == MANY


@starts_triggers
@pytest.mark.parametrize(
    ("state", "whose", "are_left"),
    [
        *((state, "first", False) for state in ("success", "failed", "skipped", "removed", "up_for_retry")),
        *((state, "first", True) for state in ("deferred", "scheduled", "queued", "running", None)),
        ("failed", "second", True),
    ],
)
async def test_the_ids_are_deleted_when_a_user_ends_the_batch(
    monkeypatch: pytest.MonkeyPatch, state: str | None, whose: str, *, are_left: bool
) -> None:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    trigger = trigger_with_stored_ids()
    supervisor.xcoms[IDS_KEY]["task_instance_id"] = whose
    supervisor.state = state

    await trigger.on_kill()

    assert (IDS_KEY in supervisor.xcoms) is are_left


class BusySupervisor(Supervisor):
    """It responds to triggers once it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.responds = asyncio.Event()

    async def asend(self, message: Any) -> Any:
        """Handle a trigger's message."""
        await self.responds.wait()
        return self.send(message)


@starts_triggers
async def test_the_ids_are_deleted_though_airflow_cancels_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does each second while a busy supervisor has not responded."""
    supervisor = BusySupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    trigger = trigger_with_stored_ids()
    supervisor.state = "failed"

    killed = asyncio.create_task(trigger.on_kill())
    await asyncio.sleep(0)
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    supervisor.responds.set()

    async with asyncio.timeout(5):
        while IDS_KEY in supervisor.xcoms:
            await asyncio.sleep(0)
