"""A trigger that ends the Airflow task itself: its XComs, wherever its triggerer is killed or Airflow fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany.api.outcome import Finished, Misconfigured, Refused, decode_outcome
from airflow_provider_seeany.api.settings import DEFER_GRACE
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.triggers import progress, supervisor_api
from airflow_provider_seeany.triggers.channel import ChannelError, Success
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.xcoms import result
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record import Claim, Record
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import field_xcoms
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import COMPLETED, FAILED, PROCESSING, HostileServer, reply
from tests.supervisor import Supervisor
from tests.waits import WORKER_FREE, starts_triggers, task_trigger

Connect = Callable[..., None]

pytestmark = starts_triggers

KEY = TaskInstanceKey("dag", "run", "wait")
WHERE = KEY.columns()


class Broken(Exception):
    """What Airflow raises if its database rejects a message."""


class TriggererComms(Supervisor):
    """
    The supervisor of a triggerer.

    :param takes: number of XComs that may be set or deleted by messages.
    :param then: what happens to the next one: the triggerer is killed, which nothing in it can notice, or it is
        rejected. Further ones are accepted again.
    """

    def __init__(self, xcoms: dict[str, Any], *, takes: float = float("inf"), then: str = "taken") -> None:
        super().__init__(xcoms)
        self.messages = 0
        self.died = asyncio.Event()
        self._takes = takes
        self._then = then

    async def asend(self, message: Any) -> Any:
        if message.type in ("SetXCom", "DeleteXCom"):
            if self.messages == self._takes and self._then == "killed":
                self.died.set()
                await asyncio.Event().wait()
            self.messages += 1
            if self.messages == self._takes + 1 and self._then == "rejected":
                raise Broken("database is locked")
            assert {name: getattr(message, name) for name in WHERE} == WHERE
        return self.send(message)


async def ended(
    comms: TriggererComms,
    monkeypatch: pytest.MonkeyPatch,
    *,
    way: str = "worker-free",
    try_number: int = 1,
    timeout_after: datetime | None = None,
    **more: Any,
) -> TriggerEvent | None:
    """Run a trigger with this supervisor; return its event, or ``None`` if the triggerer was killed."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    monkeypatch.setattr(supervisor_api, "channel", lambda: comms)
    # All waits of a triggerer publish progress once a second: not those of another test.
    monkeypatch.setattr(ProgressPublisher, "_any_at", 0.0)
    trigger = task_trigger(
        **{
            "seeany_task_id": COMPLETED["id"],
            "poll_interval": 0.01,
            "deadline": time.time() + 20,
            **WAYS[way],
        }
        | more
    )
    trigger.task_instance = SimpleNamespace(**WHERE, id=f"try-{try_number}", try_number=try_number)
    trigger.timeout_after = timeout_after

    async def run() -> TriggerEvent:
        (event,) = [event async for event in trigger.run()]
        return event

    running = asyncio.create_task(run())
    dying = asyncio.create_task(comms.died.wait())
    await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
    for each in (running, dying):
        each.cancel()
    await asyncio.gather(running, dying, return_exceptions=True)
    return None if running.cancelled() else running.result()


@pytest.fixture(autouse=True)
def _connected(hostile: HostileServer, connect: Connect) -> None:
    connect(host=hostile.url)


WAYS: dict[str, dict[str, Any]] = {"worker-free": WORKER_FREE, "started in a worker": {"end_from_trigger": True}}
each_way = pytest.mark.parametrize("way", WAYS)


async def test_a_misspelt_connection_soon_ends_a_wait_that_began_without_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reauth, "FIRST_CONNECTION_RETRY_SECONDS", 0.0)

    event = await ended(TriggererComms({}), monkeypatch, seeany_conn_id="sutdio", timeout=20)

    assert event is not None
    outcome = decode_outcome(event.payload)
    assert isinstance(outcome, Misconfigured)
    assert "'sutdio' was not found" in outcome.text


async def test_a_wait_that_continues_in_another_triggerer_retries_its_connection_for_longer(
    hostile: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reauth, "FIRST_CONNECTION_RETRY_SECONDS", 0.0)
    hostile.script(reply(200, COMPLETED))
    waiting = asyncio.create_task(ended(TriggererComms({}), monkeypatch, seeany_conn_id="studio", timeout=3600))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    connect("studio", host=hostile.url)

    assert (await waiting).payload == ENDED


@each_way
async def test_a_success_is_one_request_with_the_xcoms_that_a_worker_pushes(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))
    comms = TriggererComms({})

    event = await ended(comms, monkeypatch, way=way)

    # The end of the task is in the request, so the event has nothing to add.
    assert event.payload == ENDED
    assert (comms.state, comms.messages) == ("success", 0)
    task = SeeAnyTask.from_payload(COMPLETED)
    own = {key: decode_json(comms.xcoms.pop(key)) for key in list(comms.xcoms) if key.startswith("_")}
    record = Record.of_task(task, conn_id="seeany_default").xcoms(KEY)
    assert own == {**record, "_link_WatchVideoLink": COMPLETED["video_url"]}
    assert comms.xcoms == {**field_xcoms(task), "return_value": task.as_json()}


@each_way
async def test_what_is_shown_while_a_wait_lasts_is_replaced_by_its_result(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, {**PROCESSING, "id": COMPLETED["id"]}), reply(200, COMPLETED))
    comms = TriggererComms({})

    assert (await ended(comms, monkeypatch, way=way)).payload == ENDED

    assert comms.messages == 1, "the progress"
    claim = Claim.read(comms.xcoms[PROGRESS_KEY])
    assert claim.owner is None
    assert claim.record in comms.xcoms


BACKEND = "a file"


class Files(BaseXCom):
    """Stores values in files, of which the database has the names."""

    @staticmethod
    def serialize_value(value: Any, **_: Any) -> Any:
        """Store one."""
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return BACKEND


async def test_a_custom_xcom_backend_stores_the_values_without_blocking_other_waits(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "XCom", Files)
    hostile.script(reply(200, COMPLETED))
    comms = TriggererComms({})

    assert (await ended(comms, monkeypatch)).payload == ENDED

    values = {key: value for key, value in comms.xcoms.items() if not key.startswith("_")}
    assert values == dict.fromkeys(["return_value", "video_url", "cost"], BACKEND)
    assert comms.xcoms["_link_WatchVideoLink"] == COMPLETED["video_url"]


class Refusing(TriggererComms):
    """A supervisor that cannot end the task, or does not know whether it has."""

    async def succeed(self, success: Success) -> bool:
        raise ChannelError("OperationalError: database is locked")


class Elsewhere(TriggererComms):
    """A supervisor that finds another try."""

    async def succeed(self, success: Success) -> bool:
        return False


@each_way
async def test_a_worker_ends_the_wait_if_the_supervisor_cannot(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))

    event = await ended(Refusing({}), monkeypatch, way=way)

    assert event is not None
    assert decode_outcome(event.payload) == Finished(COMPLETED)


@each_way
async def test_nothing_ends_a_task_that_no_longer_waits(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))

    assert (await ended(Elsewhere({}), monkeypatch, way=way)).payload == ENDED


class Hanging(TriggererComms):
    """A supervisor whose loop hangs."""

    async def asend(self, message: Any) -> Any:
        if message.type == "SetXCom":
            await asyncio.Event().wait()
        return await super().asend(message)


@each_way
async def test_a_worker_ends_the_wait_if_its_progress_could_still_come_and_replace_the_result(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(progress, "MAX_SETTLING", 0.01)
    hostile.script(reply(200, {**PROCESSING, "id": COMPLETED["id"]}), reply(200, COMPLETED))
    comms = Hanging({})

    event = await ended(comms, monkeypatch, way=way)

    assert event is not None
    assert decode_outcome(event.payload) == Finished(COMPLETED)
    assert (comms.state, comms.xcoms) == ("deferred", {})


@each_way
async def test_a_worker_ends_the_wait_where_there_is_no_channel_to_the_supervisor(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))
    monkeypatch.setattr(supervisor_api, "channel", lambda: None)
    trigger = task_trigger(COMPLETED["id"], deadline=time.time() + 20, **WAYS[way])
    trigger.task_instance = SimpleNamespace(**WHERE, id="try-1", try_number=1)

    (event,) = [event async for event in trigger.run()]

    assert decode_outcome(event.payload) == Finished(COMPLETED)


EARLIER = {"return_value": {}, "video_url": "https://first", "cost": 0.7, "_link_WatchVideoLink": "https://first"}


async def test_a_triggerer_that_is_killed_while_it_deletes_is_followed_by_one_that_deletes_the_rest(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, PROCESSING))
    deletes = TriggererComms(dict(EARLIER))
    await ended(deletes, monkeypatch, try_number=2, deadline=time.time())
    assert deletes.messages > len(EARLIER)

    for taken in range(deletes.messages):
        xcoms = dict(EARLIER)
        killed = TriggererComms(xcoms, takes=taken, then="killed")
        assert await ended(killed, monkeypatch, try_number=2, deadline=time.time()) is None
        assert await ended(TriggererComms(xcoms), monkeypatch, try_number=2, deadline=time.time()) is not None
        assert xcoms == {}


async def test_the_xcoms_of_a_killed_worker_are_deleted_even_if_airflow_rejected_that_at_first(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, PROCESSING))
    xcoms = {"cost": 0.7}

    await ended(TriggererComms(xcoms, takes=0, then="rejected"), monkeypatch, try_number=2, deadline=time.time())

    assert xcoms == {}


async def test_a_wait_that_fails_at_its_first_try_sends_nothing_but_its_progress(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, PROCESSING), reply(404))
    comms = TriggererComms({})

    event = await ended(comms, monkeypatch, timeout=3600)

    assert event is not None
    assert isinstance(decode_outcome(event.payload), Refused)
    # The worker that follows replaces it.
    assert (comms.messages, list(comms.xcoms)) == (1, [PROGRESS_KEY])


@each_way
async def test_a_task_that_failed_ends_in_a_worker(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    payload = {**FAILED, "id": COMPLETED["id"]}
    hostile.script(reply(200, payload))
    comms = TriggererComms({})

    event = await ended(comms, monkeypatch, way=way)

    assert event is not None
    assert decode_outcome(event.payload) == Finished(payload)
    assert comms.xcoms == {}


async def test_xcoms_of_an_earlier_try_are_deleted_even_if_airflow_rejected_that_at_first(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, {key: value for key, value in COMPLETED.items() if key != "usage"}))
    comms = TriggererComms(dict(EARLIER), takes=0, then="rejected")

    assert (await ended(comms, monkeypatch, try_number=2)).payload == ENDED

    assert "cost" not in comms.xcoms


@pytest.mark.parametrize(("seconds_ago", "is_visible_later"), [(0, True), (31, False)])
async def test_a_wait_without_a_worker_knows_when_it_began(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, seconds_ago: float, is_visible_later: bool
) -> None:
    """It follows from the time limit that Airflow set on the deferral."""
    hostile.script(reply(404), reply(200, COMPLETED))
    limit = datetime.now(UTC) + timedelta(seconds=3600 - seconds_ago) + DEFER_GRACE

    event = await ended(TriggererComms({}), monkeypatch, deadline=None, timeout=3600, timeout_after=limit)

    assert event is not None
    assert (event.payload == ENDED) == is_visible_later
    assert is_visible_later or isinstance(decode_outcome(event.payload), Refused)


@pytest.mark.parametrize("template", ["x", "{{ run_id }}"])
async def test_settings_that_cannot_be_read_are_reported_to_a_worker(
    monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    event = await ended(TriggererComms({}), monkeypatch, seeany_task_id=template, timeout=-1)

    assert event is not None
    assert isinstance(decode_outcome(event.payload), Misconfigured)


@pytest.mark.parametrize("field", ["seeany_task_id", "seeany_conn_id"])
async def test_a_wait_whose_templates_airflow_no_longer_renders_continues_in_a_worker(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """A new version of the DAG starts the wait in a worker, and the triggerer is restarted."""
    comms = TriggererComms({PROGRESS_KEY: {"owner": {"task_instance_id": "try-1", "try_number": 1}, "percent": 5}})
    deadline = time.time() + 20

    event = await ended(
        comms, monkeypatch, **{field: "{{ ti.xcom_pull(task_ids='submit') }}"}, deadline=deadline, timeout=60
    )

    assert event is not None
    assert event.payload == {"type": "unrendered", "began": deadline - 60}
    assert hostile.requests == []
