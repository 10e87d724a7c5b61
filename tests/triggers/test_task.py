"""The trigger: one event on every path, nothing raised, nothing left open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.invalid_responses import MIN_INVALID_RESPONSES
from airflow_provider_seeany.api.outcome import (
    BadId,
    Crashed,
    Finished,
    Misconfigured,
    Refused,
    TimedOut,
)
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.triggers import task as trigger_module
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.conftest import KEY, eventually
from tests.hostile import (
    POLL_TIMEOUT,
    HostileServer,
    Responder,
    close,
    nested,
    never_respond,
    page,
    reply,
    reset,
    task,
    truncated,
)
from tests.triggers.runs import WELL_UNDER_WAY, outcome_of, trigger
from tests.waits import TASK_SETTINGS, each_dialect

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("_connected")


def test_a_stored_trigger_is_made_again_as_it_was() -> None:
    given = {
        "seeany_task_id": "任务 1",
        "seeany_conn_id": "studio",
        "settings": {
            "poll_interval": 12.5,
            "max_poll_interval": 45.5,
            "timeout": 3600.0,
            "do_xcom_push": False,
            "accept_partial": False,
            "expect_callback": True,
            "callback_poll_interval": 240.5,
        },
        "deadline": 1_748_908_920.5,
        "first_poll_at": 1_748_900_000.0,
        "expected_duration": 40.5,
        "last_snapshot": {"status": "processing", "progress": 65, "at": 1_748_899_990.5},
        "start_from_trigger": True,
        "end_from_trigger": True,
    }
    path, stored = SeeAnyTaskTrigger(**given).serialize()

    assert path == "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"
    assert json.loads(json.dumps(stored)) == given
    assert SeeAnyTaskTrigger(**stored).serialize() == (path, stored)


def test_what_is_stored_of_a_trigger_holds_no_key() -> None:
    assert KEY not in json.dumps(trigger().serialize())


def test_a_trigger_stored_by_an_older_version_still_works() -> None:
    settings = msgspec.to_builtins(TASK_SETTINGS)

    assert SeeAnyTaskTrigger(seeany_task_id="x", settings=settings).serialize()[1] == {
        "seeany_task_id": "x",
        "seeany_conn_id": "seeany_default",
        "settings": settings,
        "deadline": None,
        "first_poll_at": None,
        "expected_duration": None,
        "last_snapshot": None,
        "start_from_trigger": False,
        "end_from_trigger": False,
    }


@each_dialect
async def test_a_completed_task_is_reported_with_its_result(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    outcome = await outcome_of(trigger("video-0.5s-trigger", poll_interval=0.1))

    assert isinstance(outcome, Finished)
    assert SeeAnyTask.from_payload(outcome.payload).video_url.endswith(".mp4")


async def test_airflow_dags_test_is_told_the_result_by_a_trigger_that_would_end_the_task_elsewhere(
    simulator_url: str, connect: Connect
) -> None:
    """It makes triggers without a task instance, and knows no event that ends a task."""
    connect(host=simulator_url)

    assert isinstance(await outcome_of(trigger("video-0s", end_from_trigger=True)), Finished)


@each_dialect
async def test_a_failed_task_is_reported_with_its_reason(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    outcome = await outcome_of(trigger("fails-0s"))

    assert isinstance(outcome, Finished)
    assert SeeAnyTask.from_payload(outcome.payload).error.message == "生成内容违反内容安全策略"


@each_dialect
async def test_a_task_that_never_ends_is_reported_at_the_deadline(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    outcome = await outcome_of(trigger("never", deadline=time.time() + 0.3))

    assert isinstance(outcome, TimedOut)
    assert outcome.last_snapshot is not None
    assert outcome.last_snapshot.startswith(("processing", "running"))


@each_dialect
async def test_a_task_that_is_not_known_is_reported(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    outcome = await outcome_of(trigger("no-such-task", timeout=WELL_UNDER_WAY))

    assert isinstance(outcome, Refused)
    assert outcome.http_status == 404


@each_dialect
async def test_a_refused_key_is_reported(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url, password="sk-bad")

    outcome = await outcome_of(trigger("video-0s"))

    assert isinstance(outcome, Refused)
    assert outcome.http_status == 401


BUMPY: dict[str, list[Responder]] = {
    "faults": [reset, close, reply(500), reply(503, b"", ("Retry-After", "0")), truncated({"id": "x"})],
    "now and then a page": [*[page(200)] * (MIN_INVALID_RESPONSES - 1), task()] * 2,
    "undocumented words": [task(status="pending"), task(status="paused"), task(status="pending")],
    "going back": [task(progress=90), task(progress=10), task(progress=None)],
}


@each_dialect
@pytest.mark.parametrize("name", BUMPY)
async def test_a_wait_continues_after_transient_errors(hostile: HostileServer, name: str) -> None:
    hostile.script(*BUMPY[name], task(status="completed"))

    outcome = await outcome_of(trigger())

    assert isinstance(outcome, Finished)
    assert (outcome.payload["id"], outcome.payload["status"]) == ("x", "completed")
    assert len(hostile.requests) == len(BUMPY[name]) + 1
    await eventually(hostile, lambda: hostile.open == 0)


REFUSED: dict[str, tuple[Responder, str]] = {
    "403": (reply(403), "PermanentError"),
    "a redirect": (reply(302, b"", ("Location", "http://[")), "PermanentError"),
    "pages only": (page(200), "InvalidResponseError"),
    "another task": (task(id="y"), "InvalidResponseError"),
    "an error of its own": (reply(200, {"code": 10001, "msg": "no"}), "InvalidResponseError"),
    "a key quoted": (reply(401, f"bad key {KEY}"), "PermanentError"),
    "no video": (task(status="completed", object="video_generation"), "InvalidResponseError"),
    "no video, a key quoted": (task(status="completed", object="video_generation", key=KEY), "InvalidResponseError"),
}


@each_dialect
@pytest.mark.usefixtures("_invalid_responses_count_at_once")
@pytest.mark.parametrize("name", REFUSED)
async def test_an_error_that_polling_again_cannot_mend_is_reported(hostile: HostileServer, name: str) -> None:
    response, kind = REFUSED[name]
    hostile.script(response)

    outcome = await outcome_of(trigger())

    assert isinstance(outcome, Refused)
    assert outcome.error_type == kind
    await eventually(hostile, lambda: hostile.open == 0)


@each_dialect
@pytest.mark.parametrize(
    "response", [reset, reply(500), reply(429, b"", ("Retry-After", "3600"))], ids=["reset", "500", "429"]
)
async def test_an_error_up_to_the_deadline_is_named_in_the_timeout(hostile: HostileServer, response: Responder) -> None:
    hostile.script(task(progress=65), response)

    outcome = await outcome_of(trigger(deadline=time.time() + 1.5))

    assert isinstance(outcome, TimedOut)
    assert outcome.last_snapshot == "processing 65 %"
    assert outcome.last_error


@each_dialect
@pytest.mark.parametrize(
    "field", ["seed", "progress", "duration", "cost"], ids=["a new field", "progress", "duration", "cost"]
)
async def test_no_number_in_a_response_can_stop_the_triggerer(hostile: HostileServer, field: str) -> None:
    big = 10**30
    hostile.script(task(status="completed", **({"usage": {"cost": big}} if field == "cost" else {field: big})))

    (event,) = [event async for event in trigger().run()]

    # Airflow's triggerer sends its events on in this encoding, and ends when it cannot.
    msgspec.msgpack.encode(event.payload)


@each_dialect
async def test_no_text_in_a_response_can_stop_postgresql_from_storing_it(hostile: HostileServer) -> None:
    hostile.script(task(status="completed", note="a\x00b", **{"c\x00d": 1}))

    (event,) = [event async for event in trigger().run()]

    # PostgreSQL's JSONB, in which Airflow keeps events and XComs, has no NUL.
    assert "\\u0000" not in json.dumps(event.payload)


@pytest.mark.usefixtures("_invalid_responses_count_at_once")
async def test_a_response_can_be_stored_by_airflow_however_deep_it_is(hostile: HostileServer) -> None:
    serialize = pytest.importorskip("airflow.sdk.serde").serialize
    for depth in (10, 60, 100, 200, 400, 900, 100_000):
        hostile.script(reply(200, nested(depth, status="completed")))

        (event,) = [event async for event in trigger().run()]

        assert event.payload["type"] == "finished"
        serialize(event.payload)


async def test_a_request_without_a_response_ends_with_the_wait_before_airflows_own_limit(
    hostile: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=hostile.url, extra={"request_timeout": 3600})
    monkeypatch.setattr(trigger_module, "LAST_POLL_SECONDS", 1.5)
    hostile.script(task(progress=65), never_respond)

    async with asyncio.timeout(POLL_TIMEOUT):
        outcome = await outcome_of(trigger(deadline=time.time() + 0.2))

    assert isinstance(outcome, TimedOut)
    assert outcome.last_snapshot == "processing 65 %"
    await eventually(hostile, lambda: hostile.open == 0)


async def test_the_workers_snapshot_is_kept(hostile: HostileServer) -> None:
    hostile.script(reset)

    outcome = await outcome_of(trigger(deadline=time.time(), last_snapshot={"status": "processing", "progress": 65}))

    assert isinstance(outcome, TimedOut)
    assert outcome.last_snapshot == "processing 65 %"


async def test_a_deadline_that_passed_while_no_triggerer_ran_still_polls_the_task_once(
    hostile: HostileServer,
) -> None:
    hostile.script(task(status="completed"))

    assert isinstance(await outcome_of(trigger(deadline=time.time() - 3600)), Finished)


async def test_without_a_deadline_the_wait_continues(hostile: HostileServer) -> None:
    hostile.script(task(), reset, task(status="completed"))

    assert isinstance(await outcome_of(trigger(deadline=None)), Finished)


# A task that is not visible yet, and the time of day.


@each_dialect
async def test_a_task_that_is_not_visible_yet_is_polled_again(hostile: HostileServer) -> None:
    hostile.script(reply(404), reply(404), task(), task(status="completed"))

    assert isinstance(await outcome_of(trigger(timeout=20)), Finished)


async def test_a_trigger_without_a_deadline_never_gives_up_whatever_limit_an_operator_sets(
    hostile: HostileServer,
) -> None:
    hostile.script(task(), task(status="completed"))
    waiting = trigger(deadline=None)
    waiting.timeout_after = datetime.fromtimestamp(time.time() + 60, UTC)

    assert isinstance(await outcome_of(waiting), Finished)


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_jumps_neither_extends_nor_loses_a_deadline(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    right, jump = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: right() + jump[0])
    hostile.script(task())
    waiting = asyncio.create_task(outcome_of(trigger(deadline=time.time() + 1.0, timeout=1.0)))
    await eventually(hostile, lambda: len(hostile.requests) >= 1)

    jump[0] = hours * 3600

    async with asyncio.timeout(10):
        assert isinstance(await waiting, TimedOut)


async def test_a_first_poll_is_not_delayed_by_a_clock_that_was_set_back(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(task(status="completed"))
    deferred_at = time.time()
    waiting = trigger(deadline=deferred_at + 100, timeout=100, first_poll_at=deferred_at + 0.1)
    monkeypatch.setattr(time, "time", lambda right=time.time: right() - 5 * 3600)

    async with asyncio.timeout(10):
        assert isinstance(await outcome_of(waiting), Finished)


@pytest.mark.parametrize(
    "more", [{"last_snapshot": {"progress": "many"}}, {"first_poll_at": "soon"}], ids=["last_snapshot", "first_poll_at"]
)
async def test_an_unexpected_exception_is_an_event_too(hostile: HostileServer, more: dict[str, Any]) -> None:
    """Airflow would report an exception of the trigger without its reason."""
    hostile.script(task(status="completed"))

    outcome = await outcome_of(trigger(**more))

    assert isinstance(outcome, Crashed)
    assert "Error: " in outcome.text


@pytest.mark.parametrize("task_id", ["", None, "None", "{{ x }}", "..", "\ud800"], ids=ascii)
async def test_what_cannot_be_an_id_is_reported_before_any_request(hostile: HostileServer, task_id: Any) -> None:
    outcome = await outcome_of(trigger(task_id))

    assert isinstance(outcome, BadId)
    assert "upstream task" in outcome.text
    assert hostile.connections == 0


@pytest.mark.parametrize("poll_interval", [0, -1, float("nan"), "10"])
async def test_an_interval_that_cannot_be_is_reported_before_any_request(
    hostile: HostileServer, poll_interval: Any
) -> None:
    outcome = await outcome_of(trigger(poll_interval=poll_interval))

    assert isinstance(outcome, Misconfigured)
    assert "interval" in outcome.text
    assert hostile.connections == 0


async def test_no_request_is_made_before_the_first_poll_is_due(hostile: HostileServer) -> None:
    """The other wait polls many times meanwhile, so that this one could have, too."""
    hostile.script(task(id="early"), *[task(id="early")] * 30, task(id="early", status="completed"), task_id="early")
    hostile.script(task())
    later = asyncio.create_task(outcome_of(trigger("later", first_poll_at=time.time() + 3600)))

    await outcome_of(trigger("early"))

    assert {request.target for request in hostile.requests} == {"/v1/tasks/early"}
    assert not later.done()
    later.cancel()


@pytest.mark.parametrize(("expected", "pause"), [(None, 10), (66, 6.5), ("66.0", 6.5), ("soon", 10)])
async def test_a_poll_comes_just_after_the_expected_end_counted_from_the_beginning_of_the_wait(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, expected: Any, pause: float
) -> None:
    hostile.script(task(), task(status="completed"))
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def skipped(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", skipped)
    began = time.time() - 60

    await outcome_of(trigger(expected_duration=expected, deadline=began + 100, timeout=100, poll_interval=10))

    assert max(pauses) == pytest.approx(pause, abs=0.4)


async def test_a_first_poll_that_is_due_or_overdue_is_made(hostile: HostileServer) -> None:
    hostile.script(task(status="completed"))

    assert isinstance(await outcome_of(trigger(first_poll_at=time.time() - 3600)), Finished)


@pytest.mark.parametrize("response", [never_respond, task()], ids=["during a request", "between two polls"])
async def test_a_cancelled_wait_closes_its_connections(hostile: HostileServer, response: Responder) -> None:
    hostile.script(response)
    waiting = asyncio.create_task(outcome_of(trigger(poll_interval=60)))
    await eventually(hostile, lambda: len(hostile.requests) == 1)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await eventually(hostile, lambda: hostile.open == 0)


@each_dialect
async def test_all_waits_of_a_triggerer_share_their_connections(hostile: HostileServer) -> None:
    ids = [f"t{number}" for number in range(40)]
    for task_id in ids:
        hostile.script(*[task(id=task_id)] * 3, task(id=task_id, status="completed"), task_id=task_id)

    outcomes = await asyncio.gather(*(outcome_of(trigger(task_id)) for task_id in ids))

    assert [outcome.payload["id"] for outcome in outcomes if isinstance(outcome, Finished)] == ids
    assert len(hostile.requests) == 160
    assert hostile.connections < 120
    await eventually(hostile, lambda: hostile.open == 0)


async def test_nothing_is_held_while_the_event_waits_to_be_taken(hostile: HostileServer) -> None:
    """A triggerer that is shut down may never resume a trigger after its event."""
    hostile.script(task(status="completed"))
    run = trigger().run()

    await anext(aiter(run))

    await eventually(hostile, lambda: hostile.open == 0)
