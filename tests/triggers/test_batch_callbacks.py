"""The trigger of a batch that SeeAny calls back about: what it reads, and that it ends whatever it can read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.execution_time import task_runner

from airflow_provider_seeany.api import missed_callbacks
from airflow_provider_seeany.api.batch_result import BatchResult, decode_batch_outcome
from airflow_provider_seeany.api.missed_callbacks import MIN_SAMPLE
from airflow_provider_seeany.callback.batch import CALLED_BACK_KEY, BatchCallbacks, CalledBack, batch_key
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.triggers import batch_callbacks
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from tests.conftest import eventually
from tests.hostile import COMPLETED, POLL_TIMEOUT, PROCESSING, V1_TASK, Caller, HostileServer, Responder, reply
from tests.supervisor import Supervisor
from tests.waits import TaskInstance, batch_trigger, starts_triggers

IDS = [str(number) for number in range(100)]


class UnreliableSupervisor(Supervisor):
    """A supervisor whose database can be away."""

    is_away = False

    async def asend(self, message: Any) -> Any:
        if self.is_away and message.type == "GetXCom":
            raise RuntimeError("database is locked")
        return self.send(message)


@pytest.fixture
def supervisor(
    monkeypatch: pytest.MonkeyPatch, hostile: HostileServer, connect: Callable[..., None]
) -> UnreliableSupervisor:
    connect(host=hostile.url, extra={"request_timeout": 5})
    monkeypatch.setattr(batch_callbacks, "READ_INTERVAL", 0.02)
    monkeypatch.setattr(batch_callbacks, "MAX_PER_SECOND", 1000)
    supervisor = UnreliableSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def instance(try_id: str = "first") -> Any:
    made: Any = TaskInstance()
    made.id, made.try_number = try_id, 1
    return made


def callbacks(try_id: str = "first") -> BatchCallbacks:
    return BatchCallbacks(instance(try_id), seeany_conn_id="seeany_default")


def waiting(**more: Any) -> SeeAnyTaskBatchTrigger:
    given = {"expect_callback": True, "max_requests_per_second": 5000, "deadline": time.time() + 30, **more}
    made = batch_trigger(IDS, **given)
    made.task_instance = instance()
    return made


def call_back(supervisor: Supervisor, *ids: str) -> None:
    """Do what the api-server does."""
    noted = CalledBack(**supervisor.xcoms[CALLED_BACK_KEY])
    for each in ids:
        noted = noted.and_about(each)
    supervisor.xcoms[CALLED_BACK_KEY] = msgspec.to_builtins(noted)


def complete(server: HostileServer, *, after: int = 0) -> None:
    """Let the first requests, to whichever task, find it running, and all others find it completed."""

    def responder(seeany_task_id: str) -> Responder:
        async def respond(caller: Caller) -> None:
            body = PROCESSING if len(server.requests) <= after else COMPLETED
            await reply(200, {**body, "id": seeany_task_id})(caller)

        return respond

    for each in IDS:
        server.script(responder(each), task_id=each)


async def outcome_of(trigger: SeeAnyTaskBatchTrigger) -> Any:
    async with asyncio.timeout(POLL_TIMEOUT):
        (event,) = [event async for event in trigger.run()]
    return decode_batch_outcome(event.payload)


async def test_after_its_sample_it_polls_only_what_seeany_called_back_about(
    hostile: HostileServer, supervisor: UnreliableSupervisor
) -> None:
    callbacks().register(IDS)
    complete(hostile, after=MIN_SAMPLE)
    running = asyncio.create_task(outcome_of(waiting()))
    await eventually(hostile, lambda: len(hostile.requests) == MIN_SAMPLE)
    call_back(supervisor, IDS[1])
    await eventually(hostile, lambda: len(hostile.requests) == MIN_SAMPLE + 1)
    assert hostile.requests[-1].line == f"GET {V1_TASK}{IDS[1]} HTTP/1.1"

    call_back(supervisor, *IDS, "of no batch")

    result = await running
    assert isinstance(result, BatchResult)
    assert result.completed == len(IDS)
    assert len(hostile.requests) == MIN_SAMPLE + len(IDS)


async def test_a_trigger_that_is_made_again_polls_what_was_called_back_about_before(
    hostile: HostileServer, supervisor: UnreliableSupervisor
) -> None:
    callbacks().register(IDS)
    call_back(supervisor, *IDS)
    complete(hostile)

    assert (await outcome_of(waiting())).completed == len(IDS)


@pytest.mark.parametrize("why", ["deleted", "of another try", "unreadable", "database away"])
async def test_whatever_happens_to_what_it_reads_it_ends(
    hostile: HostileServer, supervisor: UnreliableSupervisor, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(missed_callbacks, "GRACE", 0.1)
    callbacks("second" if why == "of another try" else "first").register(IDS)
    supervisor.is_away = why == "database away"
    if why == "deleted":
        del supervisor.xcoms[CALLED_BACK_KEY]
    elif why == "unreadable":
        supervisor.xcoms[CALLED_BACK_KEY] = ["?"]
    complete(hostile)

    assert (await outcome_of(waiting())).completed == len(IDS)


async def test_callbacks_are_read_again_when_the_database_is_back(
    hostile: HostileServer, supervisor: UnreliableSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks().register(IDS)
    supervisor.is_away = True
    complete(hostile, after=MIN_SAMPLE)
    running = asyncio.create_task(outcome_of(waiting()))
    await eventually(hostile, lambda: len(hostile.requests) == MIN_SAMPLE)
    call_back(supervisor, *IDS)
    supervisor.is_away = False

    assert (await running).completed == len(IDS)
    assert capsys.readouterr().out.count("Callbacks are read later") == 1


async def test_a_trigger_without_a_task_instance_polls_as_usual(
    hostile: HostileServer, supervisor: UnreliableSupervisor
) -> None:
    """`airflow dags test` makes triggers without their task instances."""
    complete(hostile, after=len(IDS))
    made = waiting(poll_interval=0.05)
    made.task_instance = None  # type: ignore[assignment]

    assert (await outcome_of(made)).completed == len(IDS)
    assert len(hostile.requests) == 2 * len(IDS)


def context() -> Any:
    return {"ti": instance()}


def test_the_worker_registers_before_the_wait_leaves_it_and_deletes_all_of_it_at_the_end(
    supervisor: UnreliableSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=IDS, expect_callback=True, callback_poll_interval=60)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context())

    assert deferred.value.trigger.serialize()[1]["settings"]["expect_callback"] is True
    registered = set(supervisor.xcoms)
    assert {CALLED_BACK_KEY, batch_key("seeany_default")} <= registered
    assert "polling a few tasks every 60 s" in capsys.readouterr().out

    with suppress(Exception):
        sensor.resume_execution("execute_complete", {"event": {}}, context())
    assert not {CALLED_BACK_KEY, batch_key("seeany_default")} & set(supervisor.xcoms)


@starts_triggers
@pytest.mark.parametrize(
    ("state", "whose", "are_left"),
    [("success", "first", False), ("failed", "first", False), ("deferred", "first", True), ("failed", "second", True)],
)
async def test_all_of_it_is_deleted_when_a_user_ends_the_batch(
    supervisor: UnreliableSupervisor, state: str, whose: str, *, are_left: bool
) -> None:
    callbacks(whose).register(IDS)
    supervisor.state = state

    await waiting().on_kill()

    left = {CALLED_BACK_KEY, batch_key("seeany_default")} & set(supervisor.xcoms)
    assert len(left) == (2 if are_left else 0)


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 and newer call on_kill")
async def test_an_airflow_without_on_kill_warns_that_a_user_may_have_ended_it(
    hostile: HostileServer, supervisor: UnreliableSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """A callback never ends the trigger of a batch."""
    callbacks().register(IDS)
    complete(hostile, after=1000)
    running = asyncio.create_task(outcome_of(waiting()))
    await eventually(hostile, lambda: len(hostile.requests) == MIN_SAMPLE)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    (line,) = (line for line in capsys.readouterr().out.splitlines() if "may still finish" in line)
    assert "warning" in line
    assert "SeeAny called back" not in line
