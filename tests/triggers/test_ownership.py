"""A trigger writes XComs for its own try only, whenever it is suspended and whatever happens to its task meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import pytest
from airflow.providers.common.compat import sdk
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.callback.registration import CallbackRegistration, registration_key
from airflow_provider_seeany.triggers import progress, xcoms
from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.triggers.xcoms import NotOwned, TriggererXComs
from airflow_provider_seeany.xcoms import result
from airflow_provider_seeany.xcoms.record import Claim
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import result_xcoms
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import COMPLETED, POLL_TIMEOUT, Caller, HostileServer, Responder, reply, task
from tests.supervisor import Supervisor
from tests.waits import WORKER_FREE, batch_trigger, starts_triggers, task_trigger

pytestmark = starts_triggers

WHERE = {"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1}
KEY = registration_key("seeany_default", "x")
FIRST_TRY, SECOND_TRY = "019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000002"
THIRD_TRY = "019a0000-0000-7000-8000-000000000003"
DONE = {**COMPLETED, "id": "x"}
LINK = "_link_WatchVideoLink"


def own(try_number: int, task_instance_id: str) -> Any:
    """Return a task instance as a trigger knows it."""
    return SimpleNamespace(**WHERE, id=task_instance_id, try_number=try_number)


def claim(try_number: int, task_instance_id: str) -> dict[str, Any]:
    return {"owner": {"task_instance_id": task_instance_id, "try_number": try_number}}


@pytest.fixture
def supervisor(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, hostile: HostileServer, connect: Callable[..., None]
) -> Supervisor:
    connect(host=hostile.url)
    # As if the clock showed each time that the triggerer was suspended.
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", -1.0)
    monkeypatch.setattr(progress, "MIN_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "MAX_PER_SECOND", float("inf"))
    monkeypatch.setattr(progress.ProgressPublisher, "_any_at", 0.0)
    return supervisor


WAITS: dict[str, Callable[[], Any]] = {
    "classic": lambda: task_trigger("x", poll_interval=0.01, deadline=time.time() + 20),
    "classic, ends here": lambda: task_trigger(
        "x", poll_interval=0.01, deadline=time.time() + 20, end_from_trigger=True
    ),
    "worker-free": lambda: task_trigger("x", poll_interval=0.01, deadline=time.time() + 20, **WORKER_FREE),
    "worker-free, with callbacks": lambda: task_trigger(
        "x", callback_poll_interval=0.01, deadline=time.time() + 20, **WORKER_FREE
    ),
    "classic, with callbacks": lambda: task_trigger("x", callback_poll_interval=0.01, deadline=time.time() + 20),
    "batch": lambda: batch_trigger(["x"], poll_interval=0.01, deadline=time.time() + 20),
}
each_way = pytest.mark.parametrize("name", ["worker-free", "classic, ends here"])
# What the progress record says and the state of the task instance when the triggerer is resumed.
MEANWHILE: dict[str, tuple[str | None, dict[str, Any]]] = {
    "cleared": (None, claim(1, FIRST_TRY)),
    "about to start again": ("queued", claim(1, FIRST_TRY)),
    "in a worker again": ("running", {}),
    "waiting again, not seen yet": ("deferred", {}),
    "waiting again": ("deferred", {**claim(2, SECOND_TRY), "percent": 5}),
    "ended again": ("success", {"record": f"{PROGRESS_KEY}_20261124T203015Z:the:record"}),
    "failed by a user": ("failed", claim(1, FIRST_TRY)),
    "without an owner": ("up_for_retry", claim(1, FIRST_TRY)),
}
ENDS: dict[str, Responder] = {"completed": reply(200, DONE), "failed": task(status="failed"), "refused": reply(403)}


def goes_on(supervisor: Supervisor, meanwhile: str) -> dict[str, Any]:
    """Let the first try be over; return what the progress record says."""
    supervisor.state, shown = MEANWHILE[meanwhile]
    # The id of a later try alone tells that it is another one which waits.
    supervisor.try_id = SECOND_TRY if supervisor.state == "deferred" else FIRST_TRY
    return shown


def registration(task_instance_id: str) -> dict[str, Any]:
    return {"seeany_conn_id": "seeany_default", "seeany_task_id": "x", "task_instance_id": task_instance_id}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("name", WAITS)
async def test_a_trigger_that_is_suspended_until_its_try_is_over_writes_no_result_and_nothing_for_another_try(
    hostile: HostileServer, supervisor: Supervisor, name: str, meanwhile: str, end: str
) -> None:
    waiting = WAITS[name]()
    waiting.task_instance = own(1, FIRST_TRY)
    # As the worker of a classic wait registers it.
    supervisor.xcoms[KEY] = registration(FIRST_TRY)
    before: dict[str, Any] = {}

    async def sleeps(caller: Caller) -> None:
        while "percent" not in supervisor.xcoms.get(PROGRESS_KEY, {}):
            await asyncio.sleep(0.01)
        shown = goes_on(supervisor, meanwhile)
        supervisor.xcoms.clear()
        supervisor.xcoms.update({"video_url": "https://second", LINK: "https://second", KEY: registration(SECOND_TRY)})
        supervisor.xcoms.update({PROGRESS_KEY: shown} if shown else {})
        before.update(supervisor.xcoms)
        supervisor.writes.clear()
        await task(progress=70)(caller)

    hostile.script(task(progress=60), sleeps, ENDS[end])
    async with asyncio.timeout(POLL_TIMEOUT):
        _ = [event async for event in waiting.run()]

    if before.get(PROGRESS_KEY) == claim(1, FIRST_TRY):
        # Nothing has run again yet, so its own progress may be renewed until Airflow cancels the trigger.
        assert Claim.read(supervisor.xcoms[PROGRESS_KEY]) == Claim.read(before[PROGRESS_KEY])
        before[PROGRESS_KEY] = supervisor.xcoms[PROGRESS_KEY]
        supervisor.writes = [key for key in supervisor.writes if key != PROGRESS_KEY]
    assert supervisor.writes == []
    assert supervisor.xcoms == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
@each_way
async def test_a_trigger_that_is_suspended_before_it_has_written_writes_nothing_for_another_try(
    hostile: HostileServer, supervisor: Supervisor, name: str, meanwhile: str, end: str
) -> None:
    hostile.script(ENDS[end])
    shown = goes_on(supervisor, meanwhile)
    supervisor.xcoms["video_url"] = "https://second"
    supervisor.xcoms.update({PROGRESS_KEY: shown} if shown else {})
    before = dict(supervisor.xcoms)

    event = await ended(name)

    assert (event.payload == ENDED) == (end == "completed")
    assert supervisor.writes == []
    assert supervisor.xcoms == before


async def ended(name: str = "worker-free", task_instance: Any = None, **more: Any) -> TriggerEvent:
    """Let a wait end, by default of the first try; return its event."""
    waiting = WAITS[name]()
    waiting.settings = {**waiting.settings, **more}
    waiting.task_instance = task_instance or own(1, FIRST_TRY)
    (event,) = [event async for event in waiting.run()]
    assert isinstance(event, TriggerEvent)
    return event


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["worker-free", "worker-free, with callbacks"])
async def test_a_trigger_that_begins_when_a_later_try_has_begun_writes_nothing(
    hostile: HostileServer, supervisor: Supervisor, name: str, end: str
) -> None:
    """It does not delete what it would take for an earlier try's either."""
    hostile.script(ENDS[end])
    supervisor.try_id = THIRD_TRY
    before = {PROGRESS_KEY: claim(3, THIRD_TRY), "return_value": "of the third", "video_url": "https://third"}
    supervisor.xcoms.update(before)

    event = await ended(name, task_instance=own(2, SECOND_TRY))

    assert (event.payload == ENDED) == (end == "completed")
    assert supervisor.writes == []
    assert supervisor.xcoms == before


async def test_the_xcoms_of_an_earlier_try_are_gone_while_a_later_one_waits(
    hostile: HostileServer, supervisor: Supervisor
) -> None:
    shown: list[dict[str, Any]] = []

    async def waits(caller: Caller) -> None:
        shown.append(dict(supervisor.xcoms))
        await reply(200, DONE)(caller)

    hostile.script(waits)
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first", LINK: "https://first"})

    await ended(task_instance=own(2, SECOND_TRY))

    assert shown == [{}]


async def test_a_trigger_that_is_suspended_while_it_deletes_an_earlier_try_s_xcoms_deletes_no_more(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = {PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first", "video_url": "https://first"}
    supervisor.xcoms.update(earlier)
    await TriggererXComs(own(2, SECOND_TRY), clears=True).clear_earlier()
    undisturbed = list(supervisor.writes)
    assert supervisor.xcoms == {}
    # First it writes that it deletes.
    deletions = undisturbed[1:]
    assert len(deletions) >= 3

    for deleted in range(len(deletions)):
        sleepy = Supervisor(dict(earlier))

        async def asend(message: Any, sleepy: Supervisor = sleepy, deleted: int = deleted) -> Any:
            response = sleepy.send(message)
            if len(sleepy.writes) == 1 + deleted:
                sleepy.state = "success"
            return response

        monkeypatch.setattr(sleepy, "asend", asend)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", sleepy, raising=False)
        with pytest.raises(NotOwned):
            await TriggererXComs(own(2, SECOND_TRY), clears=True).clear_earlier()

        assert sleepy.writes == undisturbed[: 1 + deleted]


@pytest.mark.parametrize("kept", ["text", 3, {"owner": "none"}, {"owner": {"try_number": "2"}}, {"record": 7}, None])
async def test_what_a_dag_pushed_under_the_key_is_no_claim(
    hostile: HostileServer, supervisor: Supervisor, kept: Any
) -> None:
    hostile.script(task(progress=60), reply(200, DONE))
    supervisor.xcoms[PROGRESS_KEY] = kept

    event = await ended()

    assert event.payload == ENDED
    assert supervisor.writes[0] == PROGRESS_KEY, "the progress"
    assert "return_value" in supervisor.xcoms


async def end_by_another_triggerer(supervisor: Supervisor) -> None:
    """End the first try as another triggerer does that has its trigger, too."""
    stored = result_xcoms(
        SeeAnyTask.from_payload(DONE),
        conn_id="seeany_default",
        do_xcom_push=True,
        task_instance=TaskInstanceKey.of(own(1, FIRST_TRY)),
    )
    assert await supervisor.succeed(Success(UUID(FIRST_TRY), None, stored))


@pytest.mark.parametrize("has_published", [True, False])
async def test_progress_does_not_replace_a_result_that_another_triggerer_has_written(
    supervisor: Supervisor, has_published: bool
) -> None:
    """Two may run the same trigger at once."""
    writer = TriggererXComs(own(1, FIRST_TRY), clears=True)
    if has_published:
        await writer.publish({"percent": 80})
    await end_by_another_triggerer(supervisor)
    with_result = dict(supervisor.xcoms)

    with pytest.raises(NotOwned):
        await writer.publish({"percent": 90})

    assert supervisor.xcoms == with_result
    assert Claim.read(supervisor.xcoms[PROGRESS_KEY]).record in supervisor.xcoms


@each_way
async def test_a_wait_that_pushes_nothing_leaves_only_its_link(
    hostile: HostileServer, supervisor: Supervisor, name: str
) -> None:
    hostile.script(task(progress=60), reply(200, DONE))

    event = await ended(name, do_xcom_push=False)

    assert event.payload == ENDED
    assert supervisor.writes == [LINK]
    assert supervisor.xcoms == {LINK: DONE["video_url"]}


async def test_a_later_try_that_pushes_nothing_leaves_only_its_link(
    hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms.update(
        {PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first", "cost": 0.1, LINK: "https://first"}
    )

    event = await ended(task_instance=own(2, SECOND_TRY), do_xcom_push=False)

    assert event.payload == ENDED
    assert supervisor.xcoms == {LINK: DONE["video_url"]}


@pytest.mark.parametrize("whose", ["own", "another try's", "no try's"])
async def test_a_trigger_unregisters_its_own_try_only(supervisor: Supervisor, whose: str) -> None:
    registrations = {
        "own": {KEY: registration(FIRST_TRY)},
        "another try's": {KEY: registration(SECOND_TRY)},
        "no try's": {},
    }[whose]
    supervisor.xcoms.update(registrations)

    await CallbackRegistration(own(1, FIRST_TRY), seeany_conn_id="seeany_default", seeany_task_id="x").aunregister()

    assert supervisor.xcoms == ({} if whose == "own" else registrations)


async def test_the_claim_is_not_checked_before_every_deletion(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", 3600.0)
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first"})
    sent: list[str] = []

    async def asend(message: Any) -> Any:
        sent.append(message.type)
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    await TriggererXComs(own(2, SECOND_TRY), clears=True).clear_earlier()

    assert sent.count("DeleteXCom") > 1
    assert sent.count("GetTaskStates") == 1


@pytest.mark.parametrize("suspended", ["during the check", "after it", "after it, and the clock was set back"])
async def test_a_check_is_not_valid_any_more_when_the_triggerer_was_suspended(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, suspended: str
) -> None:
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", 5.0)
    clock = [1_795_000_000.0]
    monkeypatch.setattr(xcoms.time, "time", lambda: clock[0])

    async def asend(message: Any) -> Any:
        response = supervisor.send(message)
        if message.type == "GetTaskStates" and suspended == "during the check":
            clock[0] += 60
        return response

    monkeypatch.setattr(supervisor, "asend", asend)
    writer = TriggererXComs(own(1, FIRST_TRY))
    await writer.publish({"percent": 5})
    clock[0] += {"during the check": 0, "after it": 60}.get(suspended, -3600)
    supervisor.state = "success"

    with pytest.raises(NotOwned):
        await writer.check()


async def test_a_claim_that_was_seen_to_be_another_s_is_believed_at_once(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", 3600.0)
    writer = TriggererXComs(own(1, FIRST_TRY))
    await writer.publish({"percent": 5})
    supervisor.xcoms[PROGRESS_KEY] = claim(2, SECOND_TRY)
    with pytest.raises(NotOwned):
        await writer.publish({"percent": 10})

    with pytest.raises(NotOwned):
        await writer.check()

    assert supervisor.xcoms == {PROGRESS_KEY: claim(2, SECOND_TRY)}


async def test_what_a_backend_stores_of_an_earlier_try_is_deleted_with_its_xcoms(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Files(BaseXCom):
        """Stores values in files, of which the database has the names."""

        stored: ClassVar = {"a file", "another file"}

        @classmethod
        def purge(cls, xcom: Any, *_: Any) -> None:
            """Delete one."""
            cls.stored.remove(xcom.value)

    for module in (sdk, result):
        monkeypatch.setattr(module, "XCom", Files)
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "a file", "cost": "another file"})

    await TriggererXComs(own(2, SECOND_TRY), clears=True).clear_earlier()

    assert Files.stored == set()
    assert supervisor.xcoms == {}


async def test_a_progress_takes_two_messages(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a turn of the loop of the triggerer's supervisor, in which the ends of other waits have to wait."""
    writer = TriggererXComs(own(1, FIRST_TRY))
    await writer.publish({"percent": 10})
    sent: list[str] = []

    async def asend(message: Any) -> Any:
        sent.append(message.type)
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    await writer.publish({"percent": 20})

    assert sent == ["GetXCom", "SetXCom"]


@pytest.mark.parametrize("try_number", [1, 2])
async def test_a_triggerer_that_continues_a_wait_keeps_the_progress_until_it_has_its_own(
    supervisor: Supervisor, try_number: int
) -> None:
    published = {**claim(try_number, FIRST_TRY), "percent": 40}
    supervisor.xcoms[PROGRESS_KEY] = published
    continues = TriggererXComs(own(try_number, FIRST_TRY), clears=True)

    await continues.clear_earlier()
    await continues.check()
    assert supervisor.xcoms == {PROGRESS_KEY: published}

    await continues.publish({"percent": 50})
    assert supervisor.xcoms == {PROGRESS_KEY: {**published, "percent": 50}}


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize("end", ENDS)
@each_way
async def test_a_second_triggerer_of_the_same_try_changes_nothing_of_the_first_one_s_result(
    hostile: HostileServer, supervisor: Supervisor, name: str, end: str, try_number: int
) -> None:
    """Airflow can give a trigger to another triggerer while the first one still has it."""
    with_result: dict[str, Any] = {}

    async def first_ends(caller: Caller) -> None:
        while "percent" not in supervisor.xcoms.get(PROGRESS_KEY, {}):
            await asyncio.sleep(0.01)
        await end_by_another_triggerer(supervisor)
        with_result.update(supervisor.xcoms)
        supervisor.writes.clear()
        await task(progress=70)(caller)

    hostile.script(task(progress=60), first_ends, ENDS[end])

    for _ in ("continues until the end", "begins only then"):
        event = await ended(name, own(try_number, FIRST_TRY))

        assert (event.payload == ENDED) == (end == "completed")
        assert supervisor.writes == []
        assert supervisor.xcoms == with_result
