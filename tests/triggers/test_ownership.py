"""A trigger writes XComs for its own try only, whenever it is suspended and whatever happens to its task meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat import sdk
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.callback.registration import CallbackRegistration, registration_key
from airflow_provider_seeany.triggers import progress, xcoms
from airflow_provider_seeany.triggers.xcoms import NotOwned, TriggererXComs
from airflow_provider_seeany.xcoms.record import Claim
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from tests.hostile import COMPLETED, POLL_TIMEOUT, Caller, HostileServer, Responder, reply, task
from tests.supervisor import Supervisor
from tests.waits import WORKER_FREE, batch_trigger, starts_triggers, task_trigger

pytestmark = starts_triggers

WHERE = {"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1}
KEY = registration_key("seeany_default", "x")
FIRST_TRY, SECOND_TRY = "019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000002"
DONE = {**COMPLETED, "id": "x"}


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
    if name == "classic, ends here":
        supervisor.xcoms[PROGRESS_KEY] = claim(1, FIRST_TRY)
    before: dict[str, Any] = {}

    async def sleeps(caller: Caller) -> None:
        while "percent" not in supervisor.xcoms.get(PROGRESS_KEY, {}):
            await asyncio.sleep(0.01)
        supervisor.state, shown = MEANWHILE[meanwhile]
        supervisor.xcoms.clear()
        supervisor.xcoms.update(
            {"video_url": "https://second", "_link_WatchVideoLink": "https://second", KEY: registration(SECOND_TRY)}
        )
        supervisor.xcoms.update({PROGRESS_KEY: shown} if shown else {})
        before.update(supervisor.xcoms)
        supervisor.writes.clear()
        await task(progress=70)(caller)

    hostile.script(task(progress=60), sleeps, ENDS[end])
    async with asyncio.timeout(POLL_TIMEOUT):
        (event,) = [event async for event in waiting.run()]

    assert not isinstance(event, TaskSuccessEvent)
    if before.get(PROGRESS_KEY) == claim(1, FIRST_TRY):
        # Nothing has run again yet, so its own progress may be renewed until Airflow cancels the trigger.
        assert Claim.read(supervisor.xcoms[PROGRESS_KEY]) == Claim.read(before[PROGRESS_KEY])
        before[PROGRESS_KEY] = supervisor.xcoms[PROGRESS_KEY]
        supervisor.writes = [key for key in supervisor.writes if key != PROGRESS_KEY]
    assert supervisor.writes == []
    assert supervisor.xcoms == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
async def test_a_trigger_that_is_suspended_before_it_has_written_writes_nothing_if_a_worker_has_begun_since(
    hostile: HostileServer, supervisor: Supervisor, meanwhile: str, end: str
) -> None:
    """The later try's worker has claimed the task; its trigger may not have begun."""
    hostile.script(ENDS[end])
    supervisor.state, shown = MEANWHILE[meanwhile]
    supervisor.xcoms["video_url"] = "https://second"
    supervisor.xcoms.update({PROGRESS_KEY: shown} if shown else {})
    before = dict(supervisor.xcoms)

    await ended(supervisor, "classic, ends here")

    assert supervisor.writes == []
    assert supervisor.xcoms == before


async def test_a_wait_that_no_worker_could_claim_ends_in_a_worker(
    hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(200, DONE))

    assert await ended(supervisor, "classic, ends here") == []


@each_way
async def test_a_trigger_that_is_suspended_between_two_xcoms_writes_no_more(
    hostile: HostileServer, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hostile.script(reply(200, DONE))
    claimed = {PROGRESS_KEY: claim(1, FIRST_TRY)}
    supervisor.xcoms.update(claimed)
    undisturbed = await ended(supervisor, name)
    assert len(undisturbed) >= 3

    for written in range(1, len(undisturbed)):
        sleepy = Supervisor(dict(claimed))

        async def asend(message: Any, sleepy: Supervisor = sleepy, written: int = written) -> Any:
            reply = sleepy.send(message)
            if len(sleepy.writes) == written:
                sleepy.state = "success"
            return reply

        monkeypatch.setattr(sleepy, "asend", asend)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", sleepy, raising=False)
        await ended(sleepy, name)

        assert sleepy.writes == undisturbed[:written]


async def ended(supervisor: Supervisor, name: str = "worker-free") -> list[str]:
    """Let a wait end without a worker; return the keys that it wrote to."""
    waiting = WAITS[name]()
    waiting.task_instance = own(1, FIRST_TRY)
    _ = [event async for event in waiting.run()]
    return supervisor.writes


async def test_a_trigger_that_begins_when_a_later_try_has_begun_writes_nothing(
    hostile: HostileServer, supervisor: Supervisor
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms[PROGRESS_KEY] = claim(2, SECOND_TRY)

    assert await ended(supervisor) == []


@pytest.mark.parametrize("kept", ["text", 3, {"owner": "none"}, {"owner": {"try_number": "2"}}, {"record": 7}, None])
async def test_what_a_dag_pushed_under_the_key_is_no_claim(
    hostile: HostileServer, supervisor: Supervisor, kept: Any
) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms[PROGRESS_KEY] = kept

    assert "return_value" in await ended(supervisor)


async def test_a_key_of_no_record_is_not_deleted_as_one(hostile: HostileServer, supervisor: Supervisor) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms.update({PROGRESS_KEY: {"record": "mine"}, "mine": 1, "_link_WatchVideoLink": "https://x"})

    await ended(supervisor)

    assert supervisor.xcoms["mine"] == 1


async def test_progress_does_not_replace_a_result_that_another_triggerer_pushed(
    supervisor: Supervisor,
) -> None:
    """Two may run the same trigger at once."""
    first, second = (TriggererXComs(own(1, FIRST_TRY), clears=True) for _ in range(2))
    await first.claim()
    await second.claim()
    with_event = await first.push(SeeAnyTask.from_payload(DONE), conn_id="c", do_xcom_push=True)
    supervisor.handle(TaskSuccessEvent(xcoms=with_event))
    supervisor.state = "success"

    with pytest.raises(NotOwned):
        await second.publish({"percent": 90})

    assert Claim.read(supervisor.xcoms[PROGRESS_KEY]).record in supervisor.xcoms


@pytest.mark.parametrize("ways", [WORKER_FREE, {"end_from_trigger": True}], ids=["worker-free", "classic, ends here"])
async def test_a_wait_that_pushes_nothing_writes_nothing(
    hostile: HostileServer, supervisor: Supervisor, ways: dict[str, Any]
) -> None:
    """Its links come with its event, which Airflow drops if the task instance is no longer that of the trigger."""
    hostile.script(task(progress=60), reply(200, DONE))
    waiting = task_trigger("x", poll_interval=0.01, deadline=time.time() + 20, **ways, do_xcom_push=False)
    waiting.task_instance = own(1, FIRST_TRY)

    (event,) = [event async for event in waiting.run()]

    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == {"_link_WatchVideoLink": DONE["video_url"]}
    assert supervisor.writes == []


async def test_a_later_try_that_pushes_nothing_leaves_nothing(hostile: HostileServer, supervisor: Supervisor) -> None:
    hostile.script(reply(200, DONE))
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first"})
    waiting = task_trigger("x", poll_interval=0.01, deadline=time.time() + 20, **WORKER_FREE, do_xcom_push=False)
    waiting.task_instance = own(2, SECOND_TRY)

    _ = [event async for event in waiting.run()]

    assert supervisor.xcoms == {}


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


async def test_the_claim_is_not_checked_before_every_xcom(
    hostile: HostileServer, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", 3600.0)
    hostile.script(reply(200, DONE))
    sent: list[str] = []

    async def asend(message: Any) -> Any:
        sent.append(message.type)
        return supervisor.send(message)

    monkeypatch.setattr(supervisor, "asend", asend)
    await ended(supervisor)

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
    await writer.claim()
    clock[0] += {"during the check": 0, "after it": 60}.get(suspended, -3600)
    supervisor.state = "success"

    with pytest.raises(NotOwned):
        await writer.check()


async def test_a_claim_that_was_seen_to_be_another_s_is_believed_at_once(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcoms, "CHECK_VALID_FOR", 3600.0)
    writer = TriggererXComs(own(1, FIRST_TRY))
    await writer.claim()
    supervisor.xcoms[PROGRESS_KEY] = claim(2, SECOND_TRY)
    with pytest.raises(NotOwned):
        await writer.publish({"percent": 5})

    with pytest.raises(NotOwned):
        await writer.push(SeeAnyTask.from_payload(DONE), conn_id="c", do_xcom_push=True)

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

    monkeypatch.setattr(sdk, "XCom", Files)
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "a file", "cost": "another file"})

    await TriggererXComs(own(2, SECOND_TRY), clears=True).claim()

    assert Files.stored == set()
    assert supervisor.xcoms == {PROGRESS_KEY: claim(2, SECOND_TRY)}


async def test_the_result_of_an_earlier_try_does_not_count_as_that_of_this_one(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be missing from the metrics."""
    monkeypatch.setattr(metrics, "is_on", lambda: True)
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first"})
    writer = TriggererXComs(own(2, SECOND_TRY), clears=True)

    await writer.push(SeeAnyTask.from_payload(DONE), conn_id="c", do_xcom_push=True)

    assert not writer.had_result


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


async def test_a_second_try_claims_once_when_it_has_cleared(supervisor: Supervisor) -> None:
    supervisor.xcoms.update({PROGRESS_KEY: claim(1, FIRST_TRY), "return_value": "of the first"})

    await TriggererXComs(own(2, SECOND_TRY), clears=True).claim({"percent": 5})

    assert supervisor.writes.count(PROGRESS_KEY) == 2  # that it clears, and that it has
    assert supervisor.xcoms == {PROGRESS_KEY: {**claim(2, SECOND_TRY), "percent": 5}}


async def test_a_triggerer_that_continues_a_wait_keeps_the_progress_until_it_has_its_own(
    supervisor: Supervisor,
) -> None:
    published = {**claim(1, FIRST_TRY), "percent": 40}
    supervisor.xcoms[PROGRESS_KEY] = published
    continues = TriggererXComs(own(1, FIRST_TRY), clears=True)

    await continues.claim()
    assert supervisor.xcoms == {PROGRESS_KEY: published}

    await continues.publish({"percent": 50})
    assert supervisor.xcoms == {PROGRESS_KEY: {**published, "percent": 50}}


@pytest.mark.parametrize("try_number", [1, 2])
async def test_a_second_triggerer_of_the_same_try_deletes_nothing_of_the_first_one_s_result(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, try_number: int
) -> None:
    """The first one has pushed, fully or half, and its event is on its way; Airflow gives the trigger to another."""
    done = SeeAnyTask.from_payload(DONE)

    def triggerer() -> TriggererXComs:
        return TriggererXComs(own(try_number, FIRST_TRY), clears=True)

    undisturbed = triggerer()
    await undisturbed.claim()
    supervisor.writes.clear()
    await undisturbed.push(done, conn_id="seeany_default", do_xcom_push=True)
    pushes = len(supervisor.writes)

    for pushed in range(1, pushes + 1):
        supervisor.xcoms.clear()
        supervisor.state = "deferred"
        first, second = triggerer(), triggerer()
        await first.claim()
        supervisor.writes.clear()
        continues, stalls = asyncio.Event(), asyncio.Event()

        async def asend(
            message: Any, pushed: int = pushed, continues: asyncio.Event = continues, stalls: asyncio.Event = stalls
        ) -> Any:
            reply = supervisor.send(message)
            if len(supervisor.writes) == pushed and not stalls.is_set():
                stalls.set()
                await continues.wait()
            return reply

        monkeypatch.setattr(supervisor, "asend", asend)
        pushing = asyncio.create_task(first.push(done, conn_id="seeany_default", do_xcom_push=True))
        await stalls.wait()
        before = {key: value for key, value in supervisor.xcoms.items() if key != PROGRESS_KEY}
        await second.claim()
        assert {key: supervisor.xcoms.get(key) for key in before} == before
        continues.set()
        await pushing
        with_both = dict(supervisor.xcoms)
        supervisor.state = "success"
        with pytest.raises(NotOwned):
            await second.push(done, conn_id="seeany_default", do_xcom_push=True)
        assert supervisor.xcoms == with_both
        assert with_both["return_value"] == done.as_json()
