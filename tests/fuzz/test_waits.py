"""Waits for one task or many: whatever the responses, every pause is within bounds, and every wait ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import BatchResult, BatchTimedOut
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import (
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.intervals import AdaptiveInterval, PollPolicy
from airflow_provider_seeany.api.outcome import Finished, Refused, TimedOut
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Pause, Wait
from tests.fuzz import examples
from tests.recorded_log import RecordedLog

START = 1_748_908_800.0

INTERVALS = st.sampled_from([0.1, 1.0, 10.0, 300.0]) | st.floats(0.01, 3600)
SECONDS = st.none() | st.integers(-10, 10**9) | st.floats() | st.just(10**400)
ERRORS = st.builds(
    lambda kind, retry_after: kind("no", retry_after=retry_after),
    st.sampled_from([TransientError, ThrottledError, InvalidResponseError]),
    retry_after=st.none() | st.floats(0, 1e300),
)
NOT_FOUND = PermanentError("no such task", http_status=404)


@st.composite
def tasks(draw: st.DrawFn, seeany_task_id: str = "x") -> SeeAnyTask:
    """Return a running task, now and then a finished one."""
    return SeeAnyTask(
        id=seeany_task_id,
        status=draw(st.sampled_from(["processing"] * 8 + ["queued", "completed", "failed"])),
        progress=draw(SECONDS | st.floats(0, 100)),
        estimated_remaining=draw(SECONDS | st.floats(0, 600)),
    )


REPLIES = tasks() | ERRORS | st.just(NOT_FOUND)


@st.composite
def pollings(draw: st.DrawFn) -> tuple[PollPolicy, float]:
    """Return a polling policy and the maximum pause that it may take."""
    interval = draw(INTERVALS)
    if draw(st.booleans()):
        return PollPolicy(poll_interval=interval), interval
    maximum = draw(INTERVALS)
    jitter = draw(st.floats(0, 1, exclude_max=True))
    polling = AdaptiveInterval(poll_interval=interval, max_poll_interval=maximum, jitter=lambda: jitter)
    return polling, max(interval, maximum)


@examples(7_000)
@given(pollings(), st.none() | st.floats(-100, 5000), st.lists(st.tuples(REPLIES, st.floats(0, 60)), max_size=10))
def test_a_pause_is_within_bounds_and_a_wait_ends_at_its_deadline(
    polling: tuple[PollPolicy, float], timeout: float | None, replies: list[tuple[Any, float]]
) -> None:
    rule, maximum = polling
    deadline = None if timeout is None else START + timeout
    wait = Wait("x", polling=rule, deadline=deadline, log=RecordedLog(), began=START)
    now = START
    for reply, late in replies:
        step = wait.receive(reply, now)
        if not isinstance(step, Pause):
            assert isinstance(step, Finished | Refused | TimedOut)
            return
        bound = maximum if isinstance(reply, SeeAnyTask) else max(maximum, 3600.0)
        assert 0 <= step.seconds <= bound * 1.06
        if deadline is not None:
            assert now < deadline
            assert now + step.seconds <= deadline + 1e-6
        now += step.seconds + late


@examples(2_000)
@given(
    st.lists(st.lists(REPLIES, min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from([0.5, 5.0, 500.0]),
    st.integers(1, 4),
    st.floats(1, 600),
    st.lists(st.floats(-1e5, 1e5), max_size=5),
    st.booleans(),
)
def test_a_batch_ends_keeps_to_its_pace_and_counts_each_task_once(
    scripts: list[list[Any]],
    per_second: float,
    at_once: int,
    timeout: float,
    jumps: list[float],
    fail_fast: bool,
) -> None:
    """The last reply of each script is repeated for ever, and the time of day jumps now and then."""
    wall, steady = START, 0.0
    now = ForwardClock(START, wall=lambda: wall, steady=lambda: steady)
    ids = [f"t{number}" for number in range(len(scripts))]
    batch = Batch(
        ids,
        BatchSettings(
            poll_interval=10,
            max_poll_interval=30,
            timeout=timeout,
            do_xcom_push=True,
            max_requests_per_second=per_second,
            max_concurrent_requests=at_once,
            fail_fast=fail_fast,
            allow_failures=False,
        ),
        deadline=START + timeout,
        log=RecordedLog(),
        now=now(),
        began=START,
    )
    polled_before = float("-inf")
    for _ in range(20_000):
        outcome = batch.outcome(now())
        if outcome is not None:
            break
        step = batch.next_request(now())
        if isinstance(step, Pause):
            assert 0 <= step.seconds <= timeout + 61
            passed = max(step.seconds, 1e-3)
            wall, steady = wall + passed, steady + passed
            continue
        assert now() >= polled_before + 1 / per_second - 1e-6
        polled_before = now()
        script = scripts[ids.index(step)]
        reply = script.pop(0) if len(script) > 1 else script[0]
        batch.receive(step, _about(step, reply), now())
        if jumps:
            wall += jumps.pop()
    else:
        raise AssertionError("the batch does not end")
    assert isinstance(outcome, BatchResult | BatchTimedOut)
    assert steady <= timeout + 61
    if isinstance(outcome, BatchResult):
        assert outcome.total == len(ids)
        assert outcome.completed + outcome.failed <= len(ids)
        assert outcome.completed + outcome.failed == len(ids) or fail_fast


def _about(seeany_task_id: str, reply: Any) -> Any:
    if not isinstance(reply, SeeAnyTask):
        return reply
    return SeeAnyTask(
        id=seeany_task_id,
        status=reply.status,
        progress=reply.progress,
        estimated_remaining=reply.estimated_remaining,
        payload={"id": seeany_task_id, "status": reply.status},
    )


@examples(1_000)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e4)), max_size=20), st.floats(0, 1e6))
def test_the_time_of_a_wait_continues_whatever_the_time_of_day_does(
    steps: list[tuple[float, float]], since_began: float
) -> None:
    wall, steady = START, 50.0
    now = ForwardClock(START - since_began, wall=lambda: wall, steady=lambda: steady)
    before = now()
    for jump, passed in steps:
        wall += jump + passed
        steady += passed
        assert now() >= before + passed - 1e-3
        before = now()
