"""A trigger that ends the Airflow task itself: its XComs, wherever its triggerer is killed or Airflow fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import XComResult
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_seeany.api.outcome import (
    Finished,
    Misconfigured,
    Refused,
    TimedOut,
    decode_outcome,
)
from airflow_provider_seeany.api.settings import DEFER_GRACE
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.links.task import links_of
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.task import MAX_ENDS_AT_ONCE
from airflow_provider_seeany.xcoms import record as record_module
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record import Claim, Record
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import field_xcoms
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import COMPLETED, FAILED, PARTIAL, PROCESSING, VIDEO, HostileServer, reply
from tests.waits import WORKER_FREE, starts_triggers, task_trigger

Connect = Callable[..., None]

pytestmark = starts_triggers

KEY = TaskInstanceKey("dag", "run", "wait")
WHERE = KEY.columns()


class Broken(Exception):
    """What Airflow raises if its database rejects a message."""


class TriggererComms:
    """
    The supervisor to which a trigger sends its XComs, with an XCom table in a dict.

    :param takes: number of messages that are accepted.
    :param then: what happens to the next one: the triggerer is killed, which nothing in it can notice, or it is
        rejected. Further ones are accepted again.
    """

    def __init__(self, xcoms: dict[str, Any], *, takes: float = float("inf"), then: str = "taken") -> None:
        self.xcoms = xcoms
        self.messages = 0
        self.died = asyncio.Event()
        self._takes = takes
        self._then = then

    async def asend(self, message: Any) -> Any:
        if message.type == "MaskSecret":
            return None
        if message.type == "GetTaskStates":
            return SimpleNamespace(task_states={"run": {"wait": "deferred"}})
        if message.type == "GetXCom":
            return XComResult(key=message.key, value=self.xcoms.get(message.key))
        if self.messages == self._takes and self._then == "killed":
            self.died.set()
            await asyncio.Event().wait()
        self.messages += 1
        if self.messages == self._takes + 1 and self._then == "rejected":
            raise Broken("database is locked")
        assert {name: getattr(message, name) for name in WHERE} == WHERE
        if message.type == "DeleteXCom":
            self.xcoms.pop(message.key, None)
        else:
            self.xcoms[message.key] = message.value
        return None


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
    if running.cancelled():
        return None
    event = running.result()
    # With the end of the task, encoded twice as Airflow 3.3 does.
    comms.xcoms |= {key: json.dumps(value) for key, value in (getattr(event, "xcoms", None) or {}).items()}
    return event


@pytest.fixture(autouse=True)
def _connected(hostile: HostileServer, connect: Connect) -> None:
    connect(host=hostile.url)


WAYS: dict[str, dict[str, Any]] = {"worker-free": WORKER_FREE, "started in a worker": {"end_from_trigger": True}}
each_way = pytest.mark.parametrize("way", WAYS)


def at_first(way: str) -> dict[str, Any]:
    """Return the XComs that are there when the trigger begins: a worker has claimed the task instance for it."""
    if way == "worker-free":
        return {}
    return {PROGRESS_KEY: {"owner": {"task_instance_id": "try-1", "try_number": 1}}}


async def undisturbed_xcoms(monkeypatch: pytest.MonkeyPatch, way: str = "worker-free") -> tuple[dict[str, Any], int]:
    """Return the XComs of an undisturbed wait, and the number of messages."""
    comms = TriggererComms(at_first(way))
    assert isinstance(await ended(comms, monkeypatch, way=way), TaskSuccessEvent)
    return comms.xcoms, comms.messages


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

    assert isinstance(await waiting, TaskSuccessEvent)


class SlowComms(TriggererComms):
    """A supervisor that is busy when results are pushed."""

    def __init__(self, xcoms: dict[str, Any]) -> None:
        super().__init__(xcoms)
        self.waiting = 0
        self.is_free = asyncio.Event()

    async def asend(self, message: Any) -> Any:
        if message.type == "SetXCom" and message.key == "return_value":
            self.waiting += 1
            await self.is_free.wait()
        return await super().asend(message)


# Who has asked for a wait without a worker gets it.
@pytest.mark.parametrize(
    ("way", "in_workers"), [("worker-free", 0), ("started in a worker", 2)], ids=["worker-free", "started in a worker"]
)
async def test_a_wait_ends_in_a_worker_rather_than_queue_behind_many_that_end_in_the_triggerer(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str, in_workers: int
) -> None:
    hostile.script(reply(200, COMPLETED))
    comms = SlowComms(at_first(way))
    waits = [asyncio.create_task(ended(comms, monkeypatch, way=way)) for _ in range(MAX_ENDS_AT_ONCE + 2)]
    while comms.waiting + sum(wait.done() for wait in waits) < len(waits):
        await asyncio.sleep(0.001)
    comms.is_free.set()
    events = await asyncio.gather(*waits)

    others = [event for event in events if not isinstance(event, TaskSuccessEvent)]
    assert [decode_outcome(event.payload) for event in others if event] == [Finished(COMPLETED)] * in_workers
    assert isinstance(await ended(comms, monkeypatch, way=way), TaskSuccessEvent), "when they have ended"


@each_way
async def test_xcoms_are_those_of_a_worker(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    hostile.script(reply(200, COMPLETED))
    xcoms, _ = await undisturbed_xcoms(monkeypatch, way)

    task = SeeAnyTask.from_payload(COMPLETED)
    own = {key: decode_json(xcoms.pop(key)) for key in list(xcoms) if key.startswith("_")}
    record = Record.of_task(task, conn_id="seeany_default").xcoms(KEY)
    claimed = {**record[PROGRESS_KEY], "owner": {"task_instance_id": "try-1", "try_number": 1}}
    assert own == {**record, PROGRESS_KEY: claimed, "_link_WatchVideoLink": COMPLETED["video_url"]}
    assert xcoms == {**field_xcoms(task), "return_value": task.as_json()}


@each_way
async def test_a_triggerer_that_is_killed_at_any_message_leaves_what_an_undisturbed_one_does(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))
    undisturbed, messages = await undisturbed_xcoms(monkeypatch, way)
    assert messages >= 3
    for taken in range(messages):
        xcoms = at_first(way)
        assert await ended(TriggererComms(xcoms, takes=taken, then="killed"), monkeypatch, way=way) is None

        assert isinstance(await ended(TriggererComms(xcoms), monkeypatch, way=way), TaskSuccessEvent)
        assert xcoms == undisturbed


@pytest.mark.parametrize(
    "payload", [COMPLETED, {**PARTIAL, "id": VIDEO, "status": "completed"}], ids=["video", "images"]
)
@pytest.mark.parametrize("do_xcom_push", [True, False])
@each_way
async def test_a_triggerer_that_is_killed_while_airflow_stores_its_event_loses_nothing_that_is_read(
    hostile: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    do_xcom_push: bool,
    payload: dict[str, Any],
) -> None:
    """Airflow 3.3 stores the first XCom of an event in the transaction that ends the task, others in later ones."""
    hostile.script(reply(200, payload))
    comms = TriggererComms(at_first(way) if do_xcom_push else {})

    event = await ended(comms, monkeypatch, way=way, do_xcom_push=do_xcom_push)

    assert isinstance(event, TaskSuccessEvent)
    keys = {"return_value", *field_xcoms(SeeAnyTask.from_payload(payload))} if do_xcom_push else set()
    keys |= {link.xcom_key for link in links_of(SeeAnyTask.from_payload(payload))}
    _, *later = event.xcoms or {}
    kept = comms.xcoms.keys() - set(later)
    assert keys <= kept
    assert len(kept - keys - {PROGRESS_KEY}) == do_xcom_push, "the record"


async def test_a_triggerer_that_is_killed_before_its_event_leaves_one_record_whenever_the_next_one_ends_the_wait(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payload lacks the time of completion, and midnight is between the two."""
    payload = {key: value for key, value in COMPLETED.items() if key != "completed_at"}
    hostile.script(reply(200, payload))
    _, messages = await undisturbed_xcoms(monkeypatch)
    for taken in range(messages):
        xcoms: dict[str, Any] = {}
        for day, takes in enumerate((taken, float("inf"))):
            moment = 1_795_000_000 + day * 86400
            monkeypatch.setattr(record_module, "_ended_at", lambda completed_at, moment=moment: moment)
            await ended(TriggererComms(xcoms, takes=takes, then="killed"), monkeypatch)

        (key,) = [key for key in xcoms if FIRST_KEY <= key < LAST_KEY]
        assert json.loads(xcoms[key])["at"] == moment
        assert Claim.read(xcoms[PROGRESS_KEY]).record == key


@each_way
async def test_a_killed_triggerer_s_xcoms_do_not_survive_a_wait_that_then_fails(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))
    _, messages = await undisturbed_xcoms(monkeypatch, way)

    for taken in range(messages):
        hostile.script(reply(200, COMPLETED))
        xcoms = at_first(way)
        await ended(TriggererComms(xcoms, takes=taken, then="killed"), monkeypatch, way=way)

        hostile.script(reply(200, PROCESSING))
        event = await ended(TriggererComms(xcoms), monkeypatch, way=way, deadline=time.time())

        assert event is not None
        assert isinstance(decode_outcome(event.payload), TimedOut)
        assert xcoms == {}


async def test_a_triggerer_that_is_killed_while_it_deletes_is_followed_by_one_that_deletes_the_rest(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, COMPLETED))
    undisturbed, _ = await undisturbed_xcoms(monkeypatch)
    # As long as it waits, what comes with the event is not there.
    undisturbed = {key: value for key, value in undisturbed.items() if not key.startswith("_")}
    undisturbed[PROGRESS_KEY] = {"owner": {"task_instance_id": "try-1", "try_number": 1}, "percent": 5}
    hostile.script(reply(200, PROCESSING))
    deletes = TriggererComms(dict(undisturbed))
    await ended(deletes, monkeypatch, deadline=time.time())
    assert deletes.messages > 5

    for taken in range(deletes.messages):
        xcoms = dict(undisturbed)
        killed = TriggererComms(xcoms, takes=taken, then="killed")
        assert await ended(killed, monkeypatch, deadline=time.time()) is None
        assert await ended(TriggererComms(xcoms), monkeypatch, deadline=time.time()) is not None
        assert xcoms == {}


async def test_the_xcoms_of_a_killed_worker_are_deleted_even_if_airflow_rejected_that_at_first(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, PROCESSING))
    xcoms = {"cost": 0.7}

    await ended(TriggererComms(xcoms, takes=0, then="rejected"), monkeypatch, try_number=2, deadline=time.time())

    assert xcoms == {}


async def test_a_wait_that_fails_at_its_first_try_deletes_its_progress_and_sends_nothing_else(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, PROCESSING), reply(404))
    comms = TriggererComms({})

    event = await ended(comms, monkeypatch, timeout=3600)

    assert event is not None
    assert isinstance(decode_outcome(event.payload), Refused)
    assert comms.xcoms == {}
    # The progress, and gone again.
    assert comms.messages == 2


@each_way
async def test_a_task_that_failed_ends_in_a_worker(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    payload = {**FAILED, "id": COMPLETED["id"]}
    hostile.script(reply(200, payload))
    comms = TriggererComms(at_first(way))

    event = await ended(comms, monkeypatch, way=way)

    assert event is not None
    assert decode_outcome(event.payload) == Finished(payload)
    assert comms.xcoms == {}


@each_way
async def test_a_worker_ends_the_wait_if_airflow_rejects_an_xcom_of_the_trigger(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    hostile.script(reply(200, COMPLETED))
    _, messages = await undisturbed_xcoms(monkeypatch, way)

    # What is rejected at the start is done at the end.
    for taken in range(1, messages):
        event = await ended(TriggererComms(at_first(way), takes=taken, then="rejected"), monkeypatch, way=way)

        assert event is not None
        assert decode_outcome(event.payload) == Finished(COMPLETED)


async def test_xcoms_of_an_earlier_try_are_deleted_even_if_airflow_rejected_that_at_first(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(reply(200, COMPLETED))
    undisturbed, _ = await undisturbed_xcoms(monkeypatch)
    hostile.script(reply(200, {key: value for key, value in COMPLETED.items() if key != "usage"}))

    xcoms = dict(undisturbed)
    event = await ended(TriggererComms(xcoms, takes=0, then="rejected"), monkeypatch, try_number=2)

    assert isinstance(event, TaskSuccessEvent)
    gone = undisturbed.keys() - xcoms.keys()
    assert {key for key in gone if not FIRST_KEY <= key < LAST_KEY} == {"cost"}
    assert len([key for key in xcoms if FIRST_KEY <= key < LAST_KEY]) == 1


@pytest.mark.parametrize(("seconds_ago", "is_visible_later"), [(0, True), (31, False)])
async def test_a_wait_without_a_worker_knows_when_it_began(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, seconds_ago: float, is_visible_later: bool
) -> None:
    """It follows from the time limit that Airflow set on the deferral."""
    hostile.script(reply(404), reply(200, COMPLETED))
    limit = datetime.now(UTC) + timedelta(seconds=3600 - seconds_ago) + DEFER_GRACE

    event = await ended(TriggererComms({}), monkeypatch, deadline=None, timeout=3600, timeout_after=limit)

    assert event is not None
    assert isinstance(event, TaskSuccessEvent) == is_visible_later
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
    assert comms.xcoms == {}
    assert hostile.requests == []
