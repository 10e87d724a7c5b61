"""One wait for many tasks: which task is polled when, and what ends the wait."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.batch import LAST_POLL_SECONDS, Batch
from airflow_provider_seeany.api.batch_result import (
    BatchAborted,
    BatchOutcome,
    BatchResult,
    BatchTimedOut,
    Failure,
    result_in,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, ThrottledError, TransientError
from airflow_provider_seeany.api.outcome import Refused
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.exceptions import batch_timeout
from tests.api.tasks import completed, failed, refusal, task_with
from tests.recorded_log import RecordedLog

Reply = SeeAnyTask | ApiError


Poll = Callable[[str, float], Reply]


SETTINGS = BatchSettings(
    poll_interval=10,
    max_poll_interval=30,
    timeout=3600,
    do_xcom_push=True,
    max_requests_per_second=50,
    max_concurrent_requests=20,
    fail_fast=False,
    allow_failures=False,
)


def batch_of(ids: list[str], log: RecordedLog | None = None, **more: Any) -> Batch:
    """Return a batch; what is no setting of it is an argument."""
    given: dict[str, Any] = {"deadline": None, "now": 0.0, **more}
    settings = {name: given.pop(name) for name in SETTINGS.__struct_fields__ if name in given}
    return Batch(ids, msgspec.structs.replace(SETTINGS, **settings), log=log or RecordedLog(), **given)


class Played:
    """A batch played to its end, each request taking ``takes`` seconds."""

    def __init__(
        self, batch: Batch, poll: Poll, *, takes: float = 0.05, log: RecordedLog | None = None, start: float = 0.0
    ):
        self.requests: list[tuple[float, str]] = []
        self.max_under_way = 0
        self.now = start
        under_way: list[tuple[float, str]] = []
        while (outcome := batch.outcome(self.now)) is None:
            step = batch.next_request(self.now)
            if isinstance(step, str):
                self.requests.append((self.now, step))
                under_way.append((self.now + takes, step))
                self.max_under_way = max(self.max_under_way, len(under_way))
                continue
            resumes_at = self.now + step.seconds
            if under_way and under_way[0][0] <= resumes_at:
                self.now, seeany_task_id = under_way.pop(0)
                if log:
                    log.now = self.now
                batch.receive(seeany_task_id, poll(seeany_task_id, self.now), self.now)
            else:
                self.now = max(resumes_at, self.now + 1e-6)
        self.outcome: BatchOutcome = outcome

    @property
    def result(self) -> BatchResult:
        assert isinstance(self.outcome, BatchResult)
        return self.outcome


IDS = ["b", "a", "c"]


def test_every_task_is_polled_and_returned_in_the_order_of_the_ids() -> None:
    played = Played(batch_of(IDS), lambda task_id, now: completed(task_id))

    assert played.result == BatchResult(
        total=3,
        completed=3,
        failed=0,
        cost={"CNY": 2.1},
        detail="full",
        tasks=[dict(completed(task_id).payload) for task_id in IDS],
        failures=[],
    )
    assert [task_id for _, task_id in played.requests] == IDS


def test_an_empty_batch_is_over_at_once() -> None:
    assert batch_of([]).outcome(0.0) == ResultCollector([]).result()


def test_requests_keep_their_distance() -> None:
    ends = {f"v{number}": random.Random(number).uniform(0, 60) for number in range(300)}
    played = Played(
        batch_of(list(ends)), lambda task_id, now: completed(task_id) if now >= ends[task_id] else task_with(task_id)
    )

    times = [at for at, _ in played.requests]
    assert all(later - earlier >= 0.02 - 1e-9 for earlier, later in pairwise(times))
    # It keeps busy, too: 300 first polls take 6 s.
    assert 5.9 < times[299] < 6.5
    assert played.result.completed == 300


def test_no_more_requests_are_under_way_than_allowed() -> None:
    ids = [f"v{number}" for number in range(100)]

    played = Played(batch_of(ids, max_concurrent_requests=7), lambda task_id, now: completed(task_id), takes=5)

    assert played.max_under_way == 7
    assert played.result.completed == 100


def test_a_running_task_is_polled_again_after_the_interval() -> None:
    played = Played(batch_of(["a"]), lambda task_id, now: completed("a") if now > 25 else task_with("a"), takes=0)

    times = [at for at, _ in played.requests]
    assert times == pytest.approx([0, 10, 20, 30], rel=0.03)


def test_a_task_whose_estimate_proves_true_is_polled_when_it_should_be_done() -> None:
    def poll(task_id: str, now: float) -> Reply:
        return completed("a") if now >= 90 else task_with("a", estimated_remaining=90 - now)

    played = Played(batch_of(["a"]), poll, takes=0)

    assert len(played.requests) <= 7
    assert played.now < 92


def test_when_the_service_throttles_all_requests_stop() -> None:
    busy = ThrottledError("busy", http_status=429, retry_after=60)
    ids = [f"v{number}" for number in range(50)]

    played = Played(
        batch_of(ids, max_concurrent_requests=1), lambda task_id, now: busy if now < 30 else completed(task_id)
    )

    assert len([at for at, _ in played.requests if at < 60]) == 1
    assert played.result.completed == 50


def test_of_two_retry_after_the_longer_one_counts() -> None:
    batch = batch_of(IDS)
    assert [batch.next_request(0.0), batch.next_request(0.02)] == ["b", "a"]

    batch.receive("b", ThrottledError("busy", http_status=429, retry_after=60), 1.0)
    batch.receive("a", ThrottledError("busy", http_status=429, retry_after=5), 1.1)

    assert batch.next_request(60.9) == Pause(pytest.approx(0.1))


def test_a_pause_is_never_endless() -> None:
    batch = batch_of(IDS, max_concurrent_requests=1)
    batch.next_request(0.0)

    assert batch.next_request(0.1) == Pause(3600)


def test_a_task_whose_request_failed_has_no_precedence() -> None:
    batch = batch_of(["quiet", "promised"])
    for seeany_task_id, now, reply in (
        ("quiet", 0.0, task_with("quiet")),
        ("promised", 5.0, task_with("promised", estimated_remaining=50)),
        ("quiet", 30.0, task_with("quiet")),
        ("promised", 35.0, DOWN),
    ):
        assert batch.next_request(now) == seeany_task_id
        batch.receive(seeany_task_id, reply, now)

    # Both are due, and its old forecast says that it should have ended.
    assert batch.next_request(100.0) == "quiet"


def test_a_poll_that_finds_a_task_refused_counts_as_a_hit_too() -> None:
    """Those with even numbers have forecasts and are unknown by then; the others have none and are completed."""
    batch = batch_of([f"v{number}" for number in range(400)], max_requests_per_second=1e6)
    requests: list[int] = []
    for count in range(400 + 150):
        now = 200 * (count >= 400) + count / 1000
        task_id = str(batch.next_request(now))
        requests.append(int(task_id[1:]))
        is_even = requests[-1] % 2 == 0
        if count < 400:
            batch.receive(task_id, task_with(task_id, estimated_remaining=50 if is_even else None), now)
        else:
            batch.receive(task_id, refusal(404) if is_even else completed(task_id), now)

    assert sum(number % 2 == 0 for number in requests[400:]) > 120


def test_failures_are_reported_when_all_have_ended() -> None:
    replies = {"b": failed("b"), "a": completed("a"), "c": refusal(404)}

    result = Played(batch_of(IDS), lambda task_id, now: replies[task_id]).result

    assert (result.total, result.completed, result.failed) == (3, 1, 2)
    assert [task["id"] for task in result.tasks] == ["a"]
    assert result.failures == [
        Failure("b", "违反内容安全策略 (policy)"),
        Failure("c", "SeeAny returned HTTP 404"),
    ]


def test_fail_fast_ends_at_the_first_failure() -> None:
    played = Played(
        batch_of(IDS, fail_fast=True), lambda task_id, now: failed("a") if task_id == "a" else task_with(task_id)
    )

    assert played.result.failures == [Failure("a", "违反内容安全策略 (policy)")]
    assert played.now < 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_at_once(status: int) -> None:
    played = Played(batch_of([f"v{number}" for number in range(100)]), lambda task_id, now: refusal(status))

    assert isinstance(played.outcome, BatchAborted)
    assert played.outcome.why == Refused.of(refusal(status))
    assert (played.outcome.result.done, len(played.outcome.result.unfinished)) == (0, 100)
    assert len(played.requests) <= 4


KEPT: list[tuple[str, dict[str, Any], dict[str, Callable[[str], Reply]]]] = [
    ("failed", {}, {"a": completed, "b": failed, "c": completed}),
    ("fail_fast", {"fail_fast": True, "max_concurrent_requests": 1}, {"a": failed, "b": completed, "c": task_with}),
    ("timed out", {"deadline": 30.0}, {"a": completed, "b": task_with, "c": completed}),
    ("a key refused meanwhile", {"max_concurrent_requests": 1}, {"b": completed, "a": lambda _: refusal(401)}),
]


@pytest.mark.parametrize(("options", "replies"), [case[1:] for case in KEPT], ids=[case[0] for case in KEPT])
def test_whatever_ends_a_batch_what_was_completed_is_kept_with_its_cost(
    options: dict[str, Any], replies: dict[str, Callable[[str], Reply]]
) -> None:
    ids = ["b", "a", "c"]
    played = Played(batch_of(ids, **options), lambda task_id, now: replies[task_id](task_id))

    paid = [task_id for task_id in ids if replies.get(task_id) is completed]
    result = result_in(played.outcome)
    assert result is not None
    assert [task["id"] for task in result.tasks] == paid
    assert all(task["video_url"] for task in result.tasks)
    assert (result.completed, result.cost) == (len(paid), {"CNY": pytest.approx(0.7 * len(paid))})
    assert sorted([*paid, *(failure.id for failure in result.failures), *result.unfinished]) == sorted(ids)


def test_a_cost_that_is_not_known_stays_unknown() -> None:
    played = Played(
        batch_of(IDS, deadline=30.0), lambda task_id, now: task_with(task_id, "completed", url="https://h/v")
    )
    assert played.result.cost == {}


def test_passing_faults_are_outlasted_and_warned_of_now_and_then() -> None:
    log = RecordedLog()
    fault = TransientError("SeeAny could not be reached")
    ids = [f"v{number}" for number in range(200)]

    played = Played(batch_of(ids, log), lambda task_id, now: fault if now < 100 else completed(task_id), log=log)

    assert played.result.completed == 200
    assert 2 <= len(log.warnings) <= 5
    assert any(line.endswith("more warnings like this one)") for line in log.warnings)


def test_each_warning_is_counted_once() -> None:
    log = RecordedLog()
    fault = TransientError("SeeAny could not be reached")
    ids = [f"v{number}" for number in range(2000)]

    # Not all fail at once, so that the circuit breaker stays closed.
    Played(
        batch_of(ids, log),
        lambda task_id, now: fault if now < 100 and int(task_id[1:]) % 15 else completed(task_id),
        log=log,
    )

    warned = [re.search(r"\((\d+(?: \d+)*) more warnings", line) for line in log.warnings]
    assert len(warned) > 1
    assert sum(1 + int(more[1].replace(" ", "")) if more else 1 for more in warned) <= 2000


DOWN = TransientError("SeeAny could not be reached")


@pytest.mark.parametrize("kind", [TransientError, ThrottledError])
def test_a_service_that_is_down_gets_few_requests_and_as_many_as_usual_as_soon_as_it_responds(
    kind: type[ApiError],
) -> None:
    log = RecordedLog()
    ids = [f"v{number}" for number in range(5000)]
    down = kind("down")

    played = Played(batch_of(ids, log), lambda task_id, now: down if now < 1800 else completed(task_id), log=log)

    while_down = [at for at, _ in played.requests if at < 1800]
    assert len(while_down) < 80
    assert all(later - earlier <= 62 for earlier, later in pairwise(while_down))
    # At most a minute until that is noticed, and 100 s for 5000 requests at 50 a second.
    assert played.now < 1800 + 62 + 101
    assert played.result.completed == 5000
    assert len(log.warnings) < 65
    assert [line for line in log.warnings if "does not respond at all" in line] == [
        "SeeAny does not respond at all: polling one task at a time until it does"
    ]


def test_one_request_at_a_time_is_under_way_while_the_service_is_down() -> None:
    ids = [f"v{number}" for number in range(1000)]
    batch = batch_of(ids, poll_interval=0.1)

    played = Played(batch, lambda task_id, now: DOWN if now < 600 else completed(task_id), takes=30)

    # Requests time out after 30 s each: 20 of them open the circuit breaker, then there is one at a time.
    assert len([at for at, _ in played.requests if at < 600]) < 2 * 20 + 600 / 30


def test_tasks_that_bring_no_response_do_not_slow_down_a_service_that_responds_for_others() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(
        batch_of(ids),
        lambda task_id, now: DOWN if now < 3600 and int(task_id[1:]) % 15 else completed(task_id),
        takes=0.01,
    )

    assert sorted({task_id for at, task_id in played.requests if at < 25}) == sorted(ids)


def test_a_response_that_was_under_way_closes_the_circuit_breaker_at_once() -> None:
    ids = [f"v{number}" for number in range(100)]
    batch = batch_of(ids, max_requests_per_second=1000, max_concurrent_requests=31)
    requests = [batch.next_request(number / 100) for number in range(31)]
    for task_id in requests[:30]:
        batch.receive(str(task_id), DOWN, 1.0)
    assert isinstance(batch.next_request(1.0), Pause)

    batch.receive(str(requests[30]), completed(str(requests[30])), 1.5)

    assert [batch.next_request(1.5 + number / 100) for number in range(31)] == ids[31:62]


def test_a_service_that_knows_none_of_the_tasks_is_not_down() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids), lambda task_id, now: refusal(404))

    assert played.result.failed == 1000
    assert played.now < 21


def test_the_first_pause_while_the_circuit_is_open_is_short_however_many_requests_were_under_way() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids), lambda task_id, now: DOWN if now < 8 else completed(task_id), takes=0.5)

    assert played.now < 8 + 10 + 1000 * 0.5 / 20 + 1


def test_a_long_interval_does_not_delay_the_probe_that_closes_the_circuit_breaker() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids, poll_interval=900), lambda task_id, now: DOWN if now < 100 else completed(task_id))

    assert len({task_id for at, task_id in played.requests if at < 200}) > 900


def test_invalid_responses_about_all_tasks_end_the_batch_after_a_minute() -> None:
    """As those about one task end its wait; not each of thousands has to be polled five times."""
    ids = [f"v{number}" for number in range(5000)]
    page = InvalidResponseError("the body is HTML")

    played = Played(batch_of(ids), lambda task_id, now: page if now > 1 else completed(task_id))

    assert 60 < played.now < 180
    assert len(played.requests) < 200
    assert played.result.completed > 40
    assert played.result.completed + played.result.failed == 5000
    assert played.result.failures[0].reason == "the body is HTML"


def test_a_response_that_comes_after_its_task_was_given_up_counts_for_nothing() -> None:
    ids = [f"v{number}" for number in range(40)]
    batch = batch_of(ids, max_requests_per_second=1000, max_concurrent_requests=40)
    page = InvalidResponseError("the body is HTML")
    assert [batch.next_request(number / 100) for number in range(40)] == ids
    for task_id in ids[:30]:
        batch.receive(task_id, page, 1.0)

    batch.receive(ids[30], page, 62.0)
    batch.receive(ids[31], completed(ids[31]), 62.0)
    batch.receive(ids[32], refusal(401), 62.0)

    result = batch.outcome(62.0)
    assert isinstance(result, BatchResult)
    assert (result.total, result.completed, result.failed) == (40, 0, 40)


@pytest.mark.parametrize("deadline", [40.0, 1000.0])
def test_a_service_that_is_down_up_to_the_deadline_is_the_reason_of_the_timeout(deadline: float) -> None:
    ids = [f"v{number}" for number in range(5000)]

    played = Played(batch_of(ids, deadline=deadline), lambda task_id, now: DOWN)

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_error == "SeeAny could not be reached"
    # Polled for a last time at the deadline, like a single wait; not every task gets a last poll.
    assert deadline <= played.requests[-1][0] <= played.now < deadline + 1


def test_an_undocumented_status_is_warned_of_once_for_all() -> None:
    log = RecordedLog()
    ids = [f"v{number}" for number in range(50)]

    Played(
        batch_of(ids, log),
        lambda task_id, now: completed(task_id) if now > 100 else task_with(task_id, "queued"),
        log=log,
    )

    assert len([text for text in log.warnings if "status queued" in text]) == 1


def test_a_field_that_cannot_be_parsed_is_warned_of_once_for_all() -> None:
    log = RecordedLog()
    ids = [f"v{number}" for number in range(50)]

    def odd(task_id: str, now: float) -> SeeAnyTask | ApiError:
        if now < 20:
            return TransientError("SeeAny returned HTTP 502")
        return SeeAnyTask.from_payload(
            {"id": task_id, "status": "completed", "duration": "long", "usage": {"cost": "7"}}
        )

    played = Played(batch_of(ids, log), odd, log=log)

    assert played.result.completed == 50
    assert played.result.cost == {"?": 350}
    assert len([text for text in log.warnings if "left out: duration" in text]) == 1


def test_the_timeout_names_those_that_have_probably_ended() -> None:
    def last(task_id: str, now: float) -> SeeAnyTask:
        odd = {"b": {"status": "delivered", "video_url": "https://h/v"}, "c": {"status": "finished"}}
        return SeeAnyTask.from_payload({"id": task_id, "status": "processing", **odd.get(task_id, {})})

    played = Played(batch_of(["a", "b", "c"], deadline=30.0), last)

    assert isinstance(played.outcome, BatchTimedOut)
    assert (played.outcome.result.unfinished, played.outcome.looked_ended) == (["a", "b", "c"], ["b", "c"])
    text = str(batch_timeout(played.outcome, timeout=30))
    assert "b, c had a result URL, or a status that reads like an end" in text
    assert "The others may still finish" in text


def test_several_invalid_responses_about_one_task_are_its_failure() -> None:
    odd = InvalidResponseError("no JSON")

    result = Played(batch_of(["a"]), lambda task_id, now: odd).result

    assert result.failures == [Failure("a", "no JSON")]


def test_the_timeout_says_how_many_are_done_and_names_the_first_that_are_not() -> None:
    ids = [f"v{number}" for number in range(60)]

    played = Played(
        batch_of(ids, deadline=100.0),
        lambda task_id, now: completed(task_id) if int(task_id[1:]) % 2 else task_with(task_id),
    )

    assert isinstance(played.outcome, BatchTimedOut)
    assert (played.outcome.result.total, played.outcome.result.done) == (60, 30)
    assert played.outcome.result.unfinished == [f"v{n}" for n in range(0, 60, 2)]
    assert 100 <= played.now < 102


def test_a_task_that_just_makes_the_deadline_is_not_lost() -> None:
    played = Played(
        batch_of(IDS, deadline=95.0), lambda task_id, now: completed(task_id) if now >= 94 else task_with(task_id)
    )

    assert played.result.completed == 3


def test_the_last_round_after_the_deadline_ends() -> None:
    ids = [f"v{number}" for number in range(10_000)]

    played = Played(batch_of(ids, deadline=-5.0), lambda task_id, now: task_with(task_id))

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.now == pytest.approx(LAST_POLL_SECONDS, abs=0.1)


def test_the_timeout_names_the_last_error() -> None:
    fault = TransientError("SeeAny could not be reached")

    played = Played(batch_of(IDS, deadline=30.0), lambda task_id, now: fault)

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_error == "SeeAny could not be reached"


def test_without_a_connection_it_waits_up_to_the_deadline() -> None:
    log = RecordedLog()
    batch = batch_of(IDS, log, deadline=12.0)
    gone = TransientError("no connection")

    assert batch.connection_failed(gone, in_a_row=1, now=0.0) == Pause(10)
    assert [line for line in log.warnings] == ["no connection; the wait continues"]
    assert batch.connection_failed(gone, in_a_row=2, now=10.0) == Pause(2)
    assert batch.connection_failed(gone, in_a_row=3, now=12.0) == BatchTimedOut(
        result=ResultCollector(IDS).result(), last_error="no connection"
    )


# What is logged


def test_progress_is_logged_at_a_readable_pace_and_on_change_only() -> None:
    log = RecordedLog()
    ids = [f"v{number}" for number in range(1240)]
    ends = {task_id: 600.0 if number % 5 else 40.0 for number, task_id in enumerate(ids)}
    ends["v7"] = 45.0

    def poll(task_id: str, now: float) -> Reply:
        if now < ends[task_id]:
            return task_with(task_id)
        return failed(task_id) if task_id == "v7" else completed(task_id)

    Played(batch_of(ids, log), poll, log=log)

    times = log.info_times
    assert log.infos[0] == "Waiting for 1 240 SeeAny tasks"
    assert all(later - earlier >= 30 for earlier, later in pairwise(times[:-1]))
    assert "249 of 1 240 done, 1 failed, ¥173.60 so far" in [text for text in log.infos]
    assert log.infos[-1] == "1 240 of 1 240 done, 1 failed, ¥867.30 so far"
    assert len(log.infos) <= 10


def test_a_403_about_one_task_among_responses_fails_that_task_alone() -> None:
    poll = {"a": completed, "b": lambda seeany_task_id: refusal(403), "c": completed}

    result = Played(batch_of(["a", "b", "c"]), lambda seeany_task_id, now: poll[seeany_task_id](seeany_task_id)).result

    assert (result.completed, result.failed) == (2, 1)
    assert "403" in result.failures[0].reason


def test_a_403_before_any_response_and_a_401_at_any_time_are_about_the_key() -> None:
    assert isinstance(Played(batch_of(IDS), lambda seeany_task_id, now: refusal(403)).outcome, BatchAborted)
    late = Played(batch_of(IDS), lambda seeany_task_id, now: refusal(401) if now > 0.1 else task_with(seeany_task_id))
    assert isinstance(late.outcome, BatchAborted)


def test_a_timeout_names_the_error_of_a_task_though_others_succeeded() -> None:
    broken = TransientError("SeeAny returned HTTP 500", http_status=500)
    played = Played(
        batch_of(["x", "y"], deadline=30.0),
        lambda seeany_task_id, now: broken if seeany_task_id == "x" else task_with(seeany_task_id),
    )

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_error == "SeeAny returned HTTP 500"


def test_a_timeout_names_no_error_that_is_over() -> None:
    played = Played(batch_of(["x"], deadline=60.0), lambda task_id, now: DOWN if now < 20 else task_with(task_id))

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_error is None


def test_retry_after_is_obeyed_in_the_last_round_too() -> None:
    throttled = ThrottledError("HTTP 429", http_status=429, retry_after=30.0)

    played = Played(batch_of([str(n) for n in range(500)], deadline=0.0), lambda seeany_task_id, now: throttled)

    assert len(played.requests) < 10


def test_that_the_service_responds_again_is_logged_once() -> None:
    log = RecordedLog()
    fault = TransientError("SeeAny could not be reached")

    Played(
        batch_of([f"v{number}" for number in range(50)], log),
        lambda seeany_task_id, now: (
            fault if 1 <= now < 60 else task_with(seeany_task_id) if now < 90 else failed(seeany_task_id)
        ),
        log=log,
    )

    logged = [(at, line) for at, line in zip(log.info_times, log.infos, strict=True) if "responded again" in line]
    assert len(logged) == 1
    assert logged[0][0] >= 60
    assert re.fullmatch(r"SeeAny responded again after \d+ failures in \d\d s", logged[0][1])


def test_a_failure_now_and_then_does_not_open_the_circuit_breaker() -> None:
    log = RecordedLog()
    chance = random.Random(1)
    fault = TransientError("SeeAny returned HTTP 500")

    Played(
        batch_of([f"v{number}" for number in range(50)], log),
        lambda seeany_task_id, now: fault if chance.random() < 0.05 else completed(seeany_task_id),
        log=log,
    )

    assert not [line for line in log.infos if "responded again" in line]
