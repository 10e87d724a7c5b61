"""The batch's trigger: one event on every path, within its limits, nothing left open."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import (
    MAX_RESULT_BYTES,
    BatchAborted,
    BatchOutcome,
    BatchResult,
    BatchTimedOut,
    decode_batch_outcome,
)
from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured, Refused
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from tests.conftest import KEY, eventually
from tests.hostile import (
    POLL_TIMEOUT,
    Caller,
    HostileServer,
    Responder,
    accepting,
    after,
    never_respond,
    once,
    reply,
    reset,
    task,
)
from tests.waits import batch_trigger, each_dialect

Connect = Callable[..., None]

pytestmark = pytest.mark.usefixtures("_connected")

WELL_UNDER_WAY = 3600.0
"""The time limit of a wait that began so long before its deadline that its tasks must be visible by now."""


def trigger(ids: list[str], **more: Any) -> SeeAnyTaskBatchTrigger:
    """Return a trigger that polls often."""
    return batch_trigger(
        ids, **{"poll_interval": 0.05, "max_requests_per_second": 500, "deadline": time.time() + 20, **more}
    )


async def outcome_of(waiting: SeeAnyTaskBatchTrigger) -> BatchOutcome:
    """Run a trigger to its end, see that it fires exactly one small event that can travel, and return its outcome."""
    events = [event async for event in waiting.run()]
    assert len(events) == 1
    travelled = json.dumps(events[0].payload)
    assert KEY not in travelled
    assert len(travelled) < MAX_RESULT_BYTES + 1000
    return decode_batch_outcome(json.loads(travelled))


async def result_of(waiting: SeeAnyTaskBatchTrigger) -> BatchResult:
    outcome = await outcome_of(waiting)
    assert isinstance(outcome, BatchResult), outcome
    return outcome


def polled(server: HostileServer) -> Counter[str]:
    return Counter(request.task_id for request in server.requests)


def test_a_stored_trigger_is_made_again_as_it_was() -> None:
    given = {
        "seeany_task_ids": ["任务 1", "b"],
        "seeany_conn_id": "studio",
        "settings": {
            "poll_interval": 12.5,
            "max_poll_interval": 45.5,
            "timeout": 3600.0,
            "do_xcom_push": False,
            "accept_partial": False,
            "max_requests_per_second": 7.5,
            "max_concurrent_requests": 3,
            "fail_fast": True,
            "allow_failures": False,
        },
        "deadline": 1_748_908_920.5,
        "first_poll_at": 1_748_900_000.0,
        "expected_duration": 40.5,
        "stored_ids": None,
    }
    path, stored = SeeAnyTaskBatchTrigger(**given).serialize()

    assert path == "airflow_provider_seeany.triggers.batch.SeeAnyTaskBatchTrigger"
    assert json.loads(json.dumps(stored)) == given
    assert SeeAnyTaskBatchTrigger(**stored).serialize() == (path, stored)


async def test_many_tasks_are_returned_in_the_order_given(
    simulator_url: str, connect: Connect, dialect: Dialect
) -> None:
    connect(host=simulator_url)
    ids = [f"{'video' if number % 3 else 'images'}-0.{number % 7}s-batch-{number}" for number in range(100)]

    result = await result_of(trigger(ids))

    assert (result.total, result.completed, result.failed) == (100, 100, 0)
    assert [row["id"] for row in result.tasks] == ids
    # In the dialect of developers nothing says what a task costs.
    assert result.cost == ({"CNY": 34 * 0.8 + 66 * 0.7} if dialect is DEFAULT_DIALECT else {})


@each_dialect
async def test_failed_and_unknown_tasks_are_reported_with_their_reasons(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    result = await result_of(trigger(["fails-0.1s-batch", "video-0.2s-batch", "unknown-batch"], timeout=WELL_UNDER_WAY))

    assert [row["id"] for row in result.tasks] == ["video-0.2s-batch"]
    assert [failure.id for failure in result.failures] == ["fails-0.1s-batch", "unknown-batch"]
    assert "生成内容违反内容安全策略" in result.failures[0].reason
    assert any(text in result.failures[1].reason for text in ("HTTP 404", "任务不存在"))


@each_dialect
async def test_fail_fast_closes_the_connections_of_the_others(hostile: HostileServer, connect: Connect) -> None:
    connect(host=hostile.url, extra={"request_timeout": 3600})
    hostile.script(never_respond)
    hostile.script(task(id="bad", status="failed"), task_id="bad")

    async with asyncio.timeout(POLL_TIMEOUT):
        result = await result_of(trigger(["x", "y", "bad"], fail_fast=True))

    assert [failure.id for failure in result.failures] == ["bad"]
    await eventually(hostile, lambda: hostile.open == 0)


@each_dialect
async def test_a_refused_key_ends_it_at_once(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url, password="sk-bad")

    outcome = await outcome_of(trigger([f"never-refused-{number}" for number in range(100)]))

    assert isinstance(outcome, BatchAborted)
    assert isinstance(outcome.why, Refused)
    assert outcome.why.http_status == 401


@each_dialect
async def test_a_key_that_is_refused_later_on_costs_nothing_that_was_completed(hostile: HostileServer) -> None:
    hostile.script(task(id="a", status="completed", usage={"cost": 0.7, "cost_unit": "CNY"}), task_id="a")
    hostile.script(task(id="b"), reply(401), task_id="b")

    outcome = await outcome_of(trigger(["a", "b"]))

    assert isinstance(outcome, BatchAborted)
    assert [row["id"] for row in outcome.result.tasks] == ["a"]
    assert (outcome.result.cost, outcome.result.failed, outcome.result.unfinished) == ({"CNY": 0.7}, 0, ["b"])


@each_dialect
async def test_a_replaced_key_is_picked_up_and_no_task_is_lost(hostile: HostileServer, connect: Connect) -> None:
    refused = after(lambda: connect(host=hostile.url, password="sk-new"), reply(401))
    ids = [f"t{number}" for number in range(30)]
    for task_id in ids:
        completed = task(id=task_id, status="completed")
        hostile.script(task(id=task_id), accepting("sk-new", completed, otherwise=refused), task_id=task_id)

    result = await result_of(trigger(ids))

    assert result.completed == 30
    await eventually(hostile, lambda: hostile.open == 0)


@each_dialect
async def test_a_task_that_is_not_visible_yet_is_polled_again(hostile: HostileServer) -> None:
    hostile.script(reply(404), task(status="completed"))

    assert (await result_of(trigger(["x"]))).completed == 1


@each_dialect
async def test_the_deadline_ends_it_and_names_what_is_left(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    outcome = await outcome_of(trigger(["video-0s-late", "never-late"], deadline=time.time() + 0.5))

    assert isinstance(outcome, BatchTimedOut)
    assert (outcome.result.total, outcome.result.unfinished) == (2, ["never-late"])
    assert [row["id"] for row in outcome.result.tasks] == ["video-0s-late"]


@each_dialect
async def test_a_batch_continues_after_transient_errors(hostile: HostileServer) -> None:
    for name in ("a", "b"):
        hostile.script(reset, reply(500), task(id=name), task(id=name, status="completed"), task_id=name)

    result = await result_of(trigger(["a", "b"]))

    assert result.completed == 2
    assert polled(hostile) == {"a": 4, "b": 4}
    await eventually(hostile, lambda: hostile.open == 0)


@pytest.mark.parametrize("fault", [reset, reply(502), reply(429)], ids=["reset", "502", "429"])
async def test_a_service_that_is_down_gets_few_requests_from_hundreds_of_waits(
    hostile: HostileServer, fault: Responder
) -> None:
    ids = [f"t{number}" for number in range(300)]
    is_up = asyncio.Event()

    def script(task_id: str) -> Responder:
        completed = task(id=task_id, status="completed")

        async def respond(caller: Caller) -> None:
            await (completed if is_up.is_set() else fault)(caller)

        return respond

    for task_id in ids:
        hostile.script(script(task_id), task_id=task_id)
    waiting = asyncio.create_task(result_of(trigger(ids, poll_interval=0.2)))
    await asyncio.sleep(1.5)
    while_down = len(hostile.requests)
    is_up.set()

    assert (await waiting).completed == 300
    # 20 different ones, those that were under way with them, and some one after the other; aiohttp repeats a reset.
    assert while_down < 100
    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_duplicate_is_polled_once(hostile: HostileServer) -> None:
    hostile.script(task(id="a", status="completed"), task_id="a")

    result = await result_of(trigger(["a", "a", "a"]))

    assert result.total == 1
    assert polled(hostile) == {"a": 1}


async def test_the_limits_are_kept(hostile: HostileServer) -> None:
    ids = [f"t{number}" for number in range(40)]
    for name in ids:
        hostile.script(task(id=name, status="completed"), task_id=name)
    began = time.monotonic()

    await result_of(trigger(ids, max_requests_per_second=50, max_concurrent_requests=2))

    # Not faster than the limit; how much slower is the machine's affair.
    assert time.monotonic() - began >= 39 / 50 - 0.05
    assert hostile.connections <= 2


async def test_the_responses_of_thousands_do_not_make_the_event_large(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)
    ids = [f"video-0s-large-{number}" for number in range(1000)]

    result = await result_of(trigger(ids, max_requests_per_second=5000, deadline=time.time() + 60))

    assert (result.completed, result.detail, result.tasks) == (1000, "totals", [])
    assert result.cost == {"CNY": 700.0}


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (None, "must be a list"),
        (["a", ""], "seeany_task_ids[1]"),
        ("nonsense", "not a list"),
        ([f"{n}" for n in range(10_001)], "10001"),
    ],
)
async def test_bad_ids_are_reported_before_any_request(hostile: HostileServer, ids: Any, reason: str) -> None:
    outcome = await outcome_of(trigger(ids))

    assert isinstance(outcome, BadId)
    assert reason in outcome.text
    assert hostile.connections == 0


async def test_a_connection_that_cannot_be_used_is_reported(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reauth, "FIRST_CONNECTION_RETRY_SECONDS", 0.1)
    connect("studio", password=None)

    # However long the interval: it polls once more when its retry budget ends.
    async with asyncio.timeout(POLL_TIMEOUT):
        outcome = await outcome_of(trigger(["a"], seeany_conn_id="studio", poll_interval=3600, deadline=None))

    assert isinstance(outcome, Misconfigured)
    assert "'studio'" in outcome.text


async def test_a_connection_that_does_not_exist_is_read_again_up_to_the_deadline() -> None:
    outcome = await outcome_of(trigger(["a"], seeany_conn_id="no_such", deadline=time.time() + 0.3))

    assert isinstance(outcome, BatchTimedOut)
    assert "'no_such'" in str(outcome.last_error)


async def test_a_batch_that_continues_in_another_triggerer_has_the_retry_budget_of_one_that_has_polled_before(
    hostile: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reauth, "FIRST_CONNECTION_RETRY_SECONDS", 0.0)
    hostile.script(task(id="a", status="completed"), task_id="a")
    waiting = asyncio.create_task(result_of(trigger(["a"], seeany_conn_id="studio", timeout=WELL_UNDER_WAY)))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    connect("studio", host=hostile.url)

    assert (await waiting).completed == 1


async def test_an_unexpected_exception_is_reported_and_leaves_nothing_open(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = Batch.receive

    def broken(self: Batch, seeany_task_id: str, *args: Any) -> None:
        if seeany_task_id == "a":
            raise RuntimeError("unexpected")
        receive(self, seeany_task_id, *args)
        if seeany_task_id == "paid":
            is_paid.set()

    is_paid = threading.Event()
    monkeypatch.setattr(Batch, "receive", broken)
    hostile.script(never_respond)
    hostile.script(task(id="paid", status="completed"), task_id="paid")
    hostile.script(once(is_paid, task(id="a")), task_id="a")

    outcome = await outcome_of(trigger(["b", "paid", "a"]))

    assert isinstance(outcome, BatchAborted)
    assert outcome.why == Crashed("RuntimeError: unexpected")
    assert [row["id"] for row in outcome.result.tasks] == ["paid"]
    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_cancelled_batch_closes_its_connections(hostile: HostileServer, connect: Connect) -> None:
    connect(host=hostile.url, extra={"request_timeout": 3600})
    hostile.script(never_respond)
    waiting = asyncio.create_task(outcome_of(trigger([f"t{number}" for number in range(10)])))
    await eventually(hostile, lambda: len(hostile.requests) == 10)

    waiting.cancel()
    async with asyncio.timeout(POLL_TIMEOUT):
        with pytest.raises(asyncio.CancelledError):
            await waiting

    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_user_who_ends_a_batch_is_noticed_however_busy_the_event_loop_is(hostile: HostileServer) -> None:
    # Airflow tells a user from a triggerer that stops by the message of the cancellation alone, and calls `on_kill`.
    hostile.script(task())
    for iterations in range(40):
        waiting = asyncio.create_task(outcome_of(trigger([f"t{number}" for number in range(50)])))
        async with asyncio.timeout(POLL_TIMEOUT):
            while not hostile.requests:
                await asyncio.sleep(0.001)
        for _ in range(iterations % 10):
            # One iteration of an event loop in which others have that much to do: what is due in it comes together.
            time.sleep(0.003)
            await asyncio.sleep(0)
        waiting.cancel("a user")

        with pytest.raises(asyncio.CancelledError, match="a user"):
            await waiting
        hostile.requests.clear()


async def test_no_request_is_made_before_the_first_poll_is_due(hostile: HostileServer) -> None:
    waiting = asyncio.create_task(outcome_of(trigger(["a"], first_poll_at=time.time() + 3600)))
    await asyncio.sleep(0.2)

    assert hostile.connections == 0
    waiting.cancel()
