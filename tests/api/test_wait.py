"""One wait from its first poll to its end, given the responses and their times."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.invalid_responses import MIN_INVALID_RESPONSES, MIN_INVALID_SECONDS
from airflow_provider_seeany.api.outcome import Finished, Refused, TimedOut, decode_outcome
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.outcomes import task_timeout
from tests.api.single_wait import START, api_error, wait
from tests.api.tasks import task_with
from tests.hostile import COMPLETED, FAILED
from tests.recorded_log import RecordedLog


def test_a_running_task_is_polled_again_after_the_interval(log: RecordedLog) -> None:
    assert wait(log).receive(task_with("x"), START) == Pause(10)


@pytest.mark.parametrize("end", [COMPLETED, FAILED], ids=["completed", "failed"])
def test_a_finished_task_ends_the_wait_with_the_services_own_payload(log: RecordedLog, end: dict[str, Any]) -> None:
    assert wait(log).receive(SeeAnyTask.from_payload(end), START) == Finished(end)


def test_the_last_request_is_sent_at_the_deadline_so_that_a_task_that_just_made_it_is_not_lost(
    log: RecordedLog,
) -> None:
    waiting = wait(log, deadline=START + 14)

    assert waiting.receive(task_with("x"), START) == Pause(10)
    assert waiting.receive(task_with("x"), START + 10) == Pause(4)
    assert waiting.receive(SeeAnyTask.from_payload(COMPLETED), START + 14) == Finished(COMPLETED)


def test_a_task_that_finished_after_the_deadline_still_counts_when_it_is_seen(log: RecordedLog) -> None:
    assert isinstance(wait(log, deadline=START).receive(SeeAnyTask.from_payload(COMPLETED), START + 500), Finished)


@pytest.mark.parametrize("late", [0, 0.001, 86_400])
def test_a_task_still_running_at_the_deadline_has_timed_out(log: RecordedLog, late: float) -> None:
    waiting = wait(log, deadline=START)

    assert waiting.receive(task_with("x", progress=65, estimated_remaining=42), START + late) == TimedOut(
        last_snapshot="processing 65 %, about 42 s left"
    )


def test_a_timed_out_wait_has_its_last_snapshot_and_the_error_it_ended_in(log: RecordedLog) -> None:
    waiting = wait(log, deadline=START + 20)
    waiting.receive(task_with("x", progress=65), START)

    assert waiting.receive(api_error(), START + 20) == TimedOut(
        last_snapshot="processing 65 %", last_error="SeeAny returned HTTP 502"
    )


def test_an_error_that_is_over_is_not_the_reason_of_a_timeout(log: RecordedLog) -> None:
    waiting = wait(log, deadline=START + 20)
    waiting.receive(api_error(), START)

    assert waiting.receive(task_with("x"), START + 20) == TimedOut(last_snapshot="processing")


NOT_FOUND = {"kind": PermanentError, "http_status": 404}


def test_a_task_that_is_not_visible_yet_is_polled_until_it_must_be_visible(log: RecordedLog) -> None:
    waiting = wait(log, began=START)

    assert waiting.receive(api_error(**NOT_FOUND), START) == Pause(10)
    assert waiting.receive(api_error(**NOT_FOUND), START + 10) == Pause(15)
    assert waiting.receive(api_error(**NOT_FOUND), START + 25) == Pause(5)
    assert waiting.receive(api_error(**NOT_FOUND), START + 30) == Refused.of(api_error(**NOT_FOUND))
    assert len(log.warnings) == 1
    assert "may not be visible yet" in log.warnings[0]


def test_a_task_that_became_visible_is_waited_for(log: RecordedLog) -> None:
    waiting = wait(log, began=START)
    waiting.receive(api_error(**NOT_FOUND), START)

    assert waiting.receive(task_with("x"), START + 10) == Pause(10)
    assert waiting.receive(SeeAnyTask.from_payload(COMPLETED), START + 20) == Finished(COMPLETED)


@pytest.mark.parametrize("began", [None, START - 30, START - 86_400])
def test_a_task_that_must_be_visible_by_now_is_unknown(log: RecordedLog, began: float | None) -> None:
    assert wait(log, began=began).receive(api_error(**NOT_FOUND), START) == Refused.of(api_error(**NOT_FOUND))


@pytest.mark.parametrize("status", [400, 401, 403, 410, 422, 302])
def test_no_other_refusal_may_be_over_soon(log: RecordedLog, status: int) -> None:
    refusal = api_error(PermanentError, http_status=status)

    assert wait(log, began=START).receive(refusal, START) == Refused.of(refusal)


def test_a_timeout_names_the_last_error_of_a_task_that_never_became_visible(log: RecordedLog) -> None:
    waiting = wait(log, began=START, deadline=START + 12)

    assert waiting.receive(api_error(**NOT_FOUND), START) == Pause(10)
    assert waiting.receive(api_error(**NOT_FOUND), START + 10) == Pause(2)
    assert waiting.receive(api_error(**NOT_FOUND), START + 12) == TimedOut(last_error="SeeAny returned HTTP 502")


def test_a_pause_never_reaches_past_the_deadline_whatever_the_retry_after(log: RecordedLog) -> None:
    waiting = wait(log, deadline=START + 30)

    assert waiting.receive(api_error(ThrottledError, retry_after=1e9), START) == Pause(30)


def test_without_a_deadline_a_wait_continues(log: RecordedLog) -> None:
    waiting = wait(log)

    assert all(isinstance(waiting.receive(api_error(), START + n * 60), Pause) for n in range(1000))


class Recorder(PollPolicy, kw_only=True):
    """Records its arguments."""

    received: list[tuple[object, object, float]] = msgspec.field(default_factory=list)

    def after_response(self, *, estimated_remaining: object, progress: object, now: float) -> float:
        """Keep it."""
        self.received.append((estimated_remaining, progress, now))
        return self.poll_interval


def test_the_interval_follows_from_every_response_and_from_what_the_worker_saw(log: RecordedLog) -> None:
    polling = Recorder(poll_interval=10)
    waiting = wait(log, polling=polling, last_snapshot=Snapshot(status="x", estimated_remaining=50, at=START))

    waiting.receive(task_with("x", progress=20, estimated_remaining=42), START + 8)
    waiting.receive(task_with("x"), START + 18)

    assert polling.received == [(50, None, START), (42, 20, START + 8), (None, None, START + 18)]
    assert waiting.last_snapshot is not None
    assert waiting.last_snapshot.at == START + 18


def test_a_snapshot_without_a_time_does_not_change_the_interval(log: RecordedLog) -> None:
    polling = Recorder(poll_interval=10)

    wait(log, polling=polling, last_snapshot=Snapshot(status="x", estimated_remaining=50))

    assert polling.received == []


HELD = {
    "an unknown word, and a URL": ({"status": "delivered", "video_url": "https://h/v"}, "https://h/v", False),
    "a word like an end": ({"status": "finished"}, None, True),
    "both": ({"status": "done", "images": [{"url": "https://h/1"}]}, "https://h/1", True),
    "a URL while processing": ({"video_url": "https://h/v"}, "https://h/v", False),
    "what it is made of": (
        {"object": "video_generation", "image_url": "https://h/i.png", "input_video_url": "https://h/i.mp4"},
        None,
        False,
    ),
    "a URL too long to be kept": ({"video_url": f"https://h/{'v' * 5000}"}, None, False),
    "a signed URL": ({"video_url": f"https://h/?{'s' * 3000}"}, f"https://h/?{'s' * 3000}", False),
    "a cover alone": (
        {"object": "video_generation", "cover_url": "https://h/c", "posterURL": "https://h/c"},
        None,
        False,
    ),
    "nothing of that": ({"status": "queued", "thumbnail_url": "https://h/t"}, None, False),
}


@pytest.mark.parametrize("name", HELD)
def test_a_timeout_names_what_the_last_response_held(log: RecordedLog, name: str) -> None:
    fields, url, looks_ended = HELD[name]
    waiting = wait(log, deadline=START + 10)
    waiting.receive(task_with("x", **fields), START)

    outcome = waiting.receive(api_error(), START + 10)

    assert isinstance(outcome, TimedOut)
    assert (outcome.result_url, outcome.looks_ended) == (url, looks_ended)
    assert decode_outcome(json.loads(json.dumps(msgspec.to_builtins(outcome)))) == outcome


def test_a_timeout_names_what_the_worker_saw_too(log: RecordedLog) -> None:
    seen = Snapshot.of(task_with("x", status="done", video_url="https://h/v"), START)
    stored = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(seen))), Snapshot)

    outcome = wait(log, deadline=START + 10, last_snapshot=stored).receive(api_error(), START + 10)

    assert isinstance(outcome, TimedOut)
    assert (outcome.result_url, outcome.looks_ended) == ("https://h/v", True)


def test_a_timeout_names_a_url_that_is_too_long_to_be_kept(log: RecordedLog) -> None:
    waiting = wait(log, deadline=START + 10)
    waiting.receive(task_with("x", status="queued", video_url="https://h/" + "v" * 5000), START)

    outcome = waiting.receive(api_error(), START + 10)

    assert isinstance(outcome, TimedOut)
    assert (outcome.result_url, outcome.had_result, waiting.looked_ended) == (None, True, True)
    assert decode_outcome(json.loads(json.dumps(msgspec.to_builtins(outcome)))) == outcome
    error = task_timeout(outcome, seeany_task_id="x", timeout=10)
    assert "its last response had a result URL, which is too long for this text" in str(error)
    assert "before you create it again" in str(error)


ECHOES: list[dict[str, Any]] = [
    {"status": "success"},
    {"status": "success", "code": 0, "msg": "ok", "data": {"id": "x", "status": "processing", "url": "https://h/v"}},
    {"status": "success", "code": 0, "data": None},
]


@pytest.mark.parametrize("fields", ECHOES, ids=repr)
def test_the_success_of_a_request_is_not_that_of_the_task(log: RecordedLog, fields: dict[str, Any]) -> None:
    assert isinstance(wait(log).receive(task_with("x", **fields), START), Pause)


@pytest.mark.parametrize("kind", [TransientError, ThrottledError])
def test_a_passing_fault_never_ends_a_wait(log: RecordedLog, kind: type[ApiError]) -> None:
    waiting = wait(log, deadline=START + 1e6)

    assert all(isinstance(waiting.receive(api_error(kind), START), Pause) for _ in range(200))


def test_a_refusal_ends_the_wait_at_once(log: RecordedLog) -> None:
    refusal = api_error(PermanentError, http_status=401)

    assert wait(log).receive(refusal, START) == Refused.of(refusal)


def test_several_invalid_responses_in_a_row_end_a_wait(log: RecordedLog) -> None:
    waiting = wait(log)
    invalid = api_error(InvalidResponseError)

    steps = [waiting.receive(invalid, START + n * MIN_INVALID_SECONDS / 4) for n in range(MIN_INVALID_RESPONSES)]

    assert [type(step) for step in steps] == [Pause] * (MIN_INVALID_RESPONSES - 1) + [Refused]
    assert steps[-1] == Refused.of(invalid)


def test_invalid_responses_that_come_fast_end_a_wait_no_earlier_than_slow_ones(log: RecordedLog) -> None:
    """A proxy that is restarted responds with a page for some seconds, however often it is requested."""
    waiting = wait(log, polling=PollPolicy(poll_interval=0.5))
    now, requests = START, 0
    while isinstance(step := waiting.receive(api_error(InvalidResponseError), now), Pause):
        now, requests = now + step.seconds, requests + 1

    assert isinstance(step, Refused)
    assert START + MIN_INVALID_SECONDS <= now < START + 2 * MIN_INVALID_SECONDS
    assert requests < 20


def test_a_few_invalid_responses_do_not_end_a_wait_however_long_they_take(log: RecordedLog) -> None:
    waiting = wait(log)

    steps = [
        waiting.receive(api_error(InvalidResponseError), START + 3600 * n) for n in range(MIN_INVALID_RESPONSES - 1)
    ]

    assert all(isinstance(step, Pause) for step in steps)


def test_invalid_responses_with_other_error_between_them_are_not_in_a_row(log: RecordedLog) -> None:
    waiting = wait(log)

    for n in range(50):
        kind = InvalidResponseError if n % MIN_INVALID_RESPONSES else TransientError
        assert isinstance(waiting.receive(api_error(kind), START + 60 * n), Pause)


def test_invalid_responses_now_and_then_are_forgiven(log: RecordedLog) -> None:
    waiting = wait(log)

    for _ in range(20):
        for n in range(MIN_INVALID_RESPONSES - 1):
            assert isinstance(waiting.receive(api_error(InvalidResponseError), START + n * MIN_INVALID_SECONDS), Pause)
        assert isinstance(waiting.receive(task_with("x"), START), Pause)


def test_a_completed_video_without_its_url_is_polled_again_before_it_is_an_error(log: RecordedLog) -> None:
    waiting = wait(log)
    without = task_with("x", status="completed", object="video_generation")

    for _ in range(MIN_INVALID_RESPONSES - 1):
        assert isinstance(waiting.receive(without, START), Pause)
    refused = waiting.receive(without, START + MIN_INVALID_SECONDS)

    assert isinstance(refused, Refused)
    assert "no video_url" in str(refused.error())
    assert "completed:" not in "".join(log.infos)
