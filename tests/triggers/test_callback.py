"""A trigger whose wait SeeAny's callback may end: its registration, its few polls, and its restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.execution_time import task_runner

from airflow_provider_seeany.api.outcome import Finished, decode_outcome
from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers import task as trigger_module
from airflow_provider_seeany.triggers.channel import ChannelError, Success
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.hostile import COMPLETED, POLL_TIMEOUT, Caller, HostileServer, reply, task
from tests.supervisor import Supervisor
from tests.waits import WORKER_FREE, starts_triggers, task_trigger

WHERE = {"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": 2}
DONE = {**COMPLETED, "id": "x"}
KEY = registration_key("seeany_default", "x")
TRY = "019a0000-0000-7000-8000-000000000001"
REGISTRATION = {"seeany_conn_id": "seeany_default", "seeany_task_id": "x", "task_instance_id": TRY, "received": False}


class OwnSupervisor(Supervisor):
    """Handles messages about its own task instance, unless its database is away."""

    is_away = False

    async def asend(self, message: Any) -> Any:
        if message.type not in ("MaskSecret", "GetTaskStates"):
            if self.is_away:
                raise RuntimeError("database is locked")
            assert {name: getattr(message, name) for name in WHERE} == WHERE
        return self.send(message)

    async def succeed(self, success: Success) -> bool:
        if self.is_away:
            raise ChannelError("OperationalError: database is locked")
        assert str(success.task_instance_id) == TRY
        return await super().succeed(success)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch, hostile: HostileServer, connect: Callable[..., None]) -> OwnSupervisor:
    connect(host=hostile.url, extra={"request_timeout": 5})
    monkeypatch.setattr(trigger_module, "NOTE_SECONDS", 0)
    supervisor = OwnSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr(supervisor_api, "channel", lambda: supervisor)
    return supervisor


def trigger(**more: Any) -> SeeAnyTaskTrigger:
    made = task_trigger(**{"callback_poll_interval": 0.2, "deadline": time.time() + 20, **more})
    made.task_instance = SimpleNamespace(**WHERE, id=UUID(TRY), try_number=1)  # type: ignore[assignment]
    return made


def seen(ago: float) -> dict[str, Any]:
    return {"status": "processing", "at": time.time() - ago}


async def end_of(waiting: SeeAnyTaskTrigger) -> Any:
    # Less than until the deadline, at which it would poll anyway.
    async with asyncio.timeout(POLL_TIMEOUT):
        (event,) = [event async for event in waiting.run()]
    return event


async def test_the_worker_s_snapshot_counts_as_the_first_poll(
    hostile: HostileServer, supervisor: OwnSupervisor
) -> None:
    supervisor.xcoms[KEY] = REGISTRATION
    running = asyncio.create_task(end_of(trigger(callback_poll_interval=60, last_snapshot=seen(1))))
    await asyncio.sleep(0.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert hostile.requests == []
    assert supervisor.xcoms[KEY] == REGISTRATION


async def test_a_trigger_without_a_task_instance_polls_as_usual(
    hostile: HostileServer, supervisor: OwnSupervisor
) -> None:
    """`airflow dags test` makes triggers without their task instances."""
    hostile.script(task(), reply(200, DONE))
    waiting = task_trigger(poll_interval=0.1, callback_poll_interval=3600, deadline=time.time() + 20)

    outcome = decode_outcome((await end_of(waiting)).payload)

    assert isinstance(outcome, Finished)
    assert len(hostile.requests) == 2
    assert supervisor.xcoms == {}


NOTES: dict[str, Any] = {
    "received": {**REGISTRATION, "received": True},
    "lost with a triggerer that was about to fire": None,
}


@pytest.mark.parametrize("name", NOTES)
async def test_a_callback_that_was_noted_causes_a_poll_at_once(
    hostile: HostileServer, supervisor: OwnSupervisor, name: str
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms.update({KEY: NOTES[name]} if NOTES[name] else {})

    event = await end_of(trigger(callback_poll_interval=60, last_snapshot=seen(1)))

    assert isinstance(decode_outcome(event.payload), Finished)
    assert len(hostile.requests) == 1


async def test_a_callback_that_is_noted_at_the_last_moment_is_read(
    hostile: HostileServer, supervisor: OwnSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It was too early to resume the task when the api-server checked, and is noted only now.
    monkeypatch.setattr(trigger_module, "NOTE_SECONDS", 1)
    hostile.script(reply(200, DONE))
    supervisor.xcoms[KEY] = REGISTRATION
    running = asyncio.create_task(
        end_of(trigger(callback_poll_interval=60, last_snapshot=seen(1), first_poll_at=time.time()))
    )
    await asyncio.sleep(0.1)
    supervisor.xcoms[KEY] = {**REGISTRATION, "received": True}

    assert isinstance(decode_outcome((await running).payload), Finished)


async def test_a_callback_that_does_not_come_is_replaced_by_polls(
    hostile: HostileServer, supervisor: OwnSupervisor
) -> None:
    hostile.script(task(), reply(200, DONE))
    supervisor.xcoms[KEY] = REGISTRATION

    event = await end_of(trigger(last_snapshot=seen(60)))

    assert isinstance(decode_outcome(event.payload), Finished)
    assert KEY not in supervisor.xcoms


@starts_triggers
async def test_without_a_worker_it_registers_before_it_polls(hostile: HostileServer, supervisor: OwnSupervisor) -> None:
    xcoms: list[Any] = []

    async def respond(caller: Caller) -> None:
        xcoms.append(dict(supervisor.xcoms))
        await reply(200, DONE)(caller)

    hostile.script(respond)

    event = await end_of(trigger(**WORKER_FREE))

    assert event.payload == ENDED
    assert [each.get(KEY) for each in xcoms] == [REGISTRATION]
    assert KEY not in supervisor.xcoms
    assert supervisor.xcoms["return_value"]["id"] == "x"


@starts_triggers
async def test_a_wait_from_a_worker_that_no_callback_ends_ends_in_the_triggerer(
    hostile: HostileServer, supervisor: OwnSupervisor
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms[KEY] = REGISTRATION

    event = await end_of(trigger(end_from_trigger=True, first_poll_at=time.time()))

    assert event.payload == ENDED
    assert KEY not in supervisor.xcoms
    assert supervisor.xcoms["return_value"]["id"] == "x"


async def test_the_xcoms_of_a_callback_that_was_faster_stay(hostile: HostileServer, supervisor: OwnSupervisor) -> None:
    hostile.script(task(status="failed"))
    supervisor.state = "success"
    supervisor.xcoms["return_value"] = "of the callback"

    await end_of(trigger(**WORKER_FREE))

    assert supervisor.xcoms == {"return_value": "of the callback"}


@pytest.mark.parametrize("ways", [{}, {"end_from_trigger": True}, WORKER_FREE], ids=["worker", "ends", "free"])
async def test_a_database_that_is_away_loses_the_callback_and_not_the_wait(
    hostile: HostileServer, supervisor: OwnSupervisor, ways: dict[str, Any]
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.is_away = True

    # It polls at once, as a callback may have been noted.
    event = await end_of(trigger(callback_poll_interval=60, **ways, last_snapshot=seen(1)))

    assert isinstance(decode_outcome(event.payload), Finished)


@pytest.mark.parametrize("state", ["success", "failed", "scheduled"])
async def test_a_wait_that_a_callback_ended_is_not_logged_as_abandoned(
    supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    supervisor.state = state

    await trigger().on_kill()

    output = capsys.readouterr().out
    assert "SeeAny called back" in output
    assert "may still finish" not in output


@pytest.mark.parametrize("state", ["deferred", "scheduled", "queued", "running"])
async def test_a_wait_that_continues_elsewhere_is_not_logged_as_abandoned(
    supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """Another triggerer has it, or a worker that is already running."""
    supervisor.state = state

    await trigger(expect_callback=False).on_kill()

    output = capsys.readouterr().out
    assert f"ended in this triggerer; the Airflow task is {state}" in output
    assert "may still finish" not in output


@pytest.mark.parametrize("state", ["success", "failed"])
async def test_a_wait_that_a_user_ended_is_logged_as_abandoned(
    supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    supervisor.xcoms[KEY] = REGISTRATION
    supervisor.state = state

    await trigger().on_kill()

    assert "may still finish" in capsys.readouterr().out


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 and newer call on_kill")
@pytest.mark.parametrize("expected", [True, False])
async def test_an_airflow_without_on_kill_warns_only_where_no_callback_is_expected(
    hostile: HostileServer, supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str], expected: bool
) -> None:
    hostile.script(task())
    waiting = trigger(callback_poll_interval=60, expect_callback=expected, last_snapshot=seen(1))
    running = asyncio.create_task(end_of(waiting))
    await asyncio.sleep(0.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    (line,) = (line for line in capsys.readouterr().out.splitlines() if "may still finish" in line)
    assert ("SeeAny called back, unless" in line) == expected
    assert ("warning" in line) != expected


async def test_a_wait_that_a_user_ended_is_logged_as_abandoned_whatever_its_id(
    supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.state = "failed"

    await trigger(seeany_task_id="{{ not_rendered }}").on_kill()

    assert "may still finish" in capsys.readouterr().out


async def test_a_wait_is_logged_as_abandoned_if_it_is_unknown_whether_a_callback_ended_it(
    supervisor: OwnSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.is_away = True
    supervisor.state = "failed"

    await trigger().on_kill()

    assert "may still finish" in capsys.readouterr().out
