"""A batch whose polls fail: one task, the key, or the service as a whole."""

from __future__ import annotations

import random
import re
import weakref
from itertools import pairwise

import pytest

from airflow_provider_seeany.api.batch_result import (
    BatchAborted,
    BatchResult,
    BatchTimedOut,
    Failure,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, ThrottledError, TransientError
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.outcome import Refused
from airflow_provider_seeany.api.wait import Pause, Wait
from tests.api.played_batch import DOWN, Played, batch_of
from tests.api.tasks import completed, failed, refusal, task_with
from tests.recorded_log import RecordedLog

IDS = ["b", "a", "c"]


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


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_at_once(status: int) -> None:
    played = Played(batch_of([f"v{number}" for number in range(100)]), lambda task_id, now: refusal(status))

    assert isinstance(played.outcome, BatchAborted)
    assert played.outcome.why == Refused.of(refusal(status))
    assert (played.outcome.result.done, len(played.outcome.result.unfinished)) == (0, 100)
    assert len(played.requests) <= 4


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


def test_several_invalid_responses_about_one_task_are_its_failure() -> None:
    odd = InvalidResponseError("no JSON")

    result = Played(batch_of(["a"]), lambda task_id, now: odd).result

    assert result.failures == [Failure("a", "no JSON")]


def test_without_a_connection_it_waits_up_to_the_deadline() -> None:
    log = RecordedLog()
    batch = batch_of(IDS, log, deadline=12.0)
    gone = TransientError("no connection")

    assert batch.connection_failed(gone, in_a_row=1, now=0.0) == Pause(10)
    assert log.warnings == ["no connection; the wait continues"]
    assert batch.connection_failed(gone, in_a_row=2, now=10.0) == Pause(2)
    assert batch.connection_failed(gone, in_a_row=3, now=12.0) == BatchTimedOut(
        result=ResultCollector(IDS).result(), last_error="no connection"
    )


def test_a_403_about_one_task_among_responses_fails_that_task_alone() -> None:
    poll = {"a": completed, "b": lambda seeany_task_id: refusal(403), "c": completed}

    result = Played(batch_of(["a", "b", "c"]), lambda seeany_task_id, now: poll[seeany_task_id](seeany_task_id)).result

    assert (result.completed, result.failed) == (2, 1)
    assert "403" in result.failures[0].reason


def test_a_403_before_any_response_and_a_401_at_any_time_are_about_the_key() -> None:
    assert isinstance(Played(batch_of(IDS), lambda seeany_task_id, now: refusal(403)).outcome, BatchAborted)
    late = Played(batch_of(IDS), lambda seeany_task_id, now: refusal(401) if now > 0.1 else task_with(seeany_task_id))
    assert isinstance(late.outcome, BatchAborted)


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


class Held:
    """What the frame of a failed request holds, such as a body of megabytes."""


def fail_with(held: Held) -> None:
    raise TransientError("down") from ValueError(held)


@pytest.mark.parametrize("keep", ["a wait", "a batch", "a batch without a connection"])
def test_an_error_that_a_wait_keeps_keeps_no_frame_of_its_request_alive(keep: str) -> None:
    batch = batch_of(["a"])
    batch.next_request(0.0)
    wait = Wait("a", polling=PollPolicy(poll_interval=10), deadline=None, log=RecordedLog())
    kept = weakref.ref(held := Held())

    try:
        fail_with(held)
    except ApiError as error:
        if keep == "a wait":
            wait.receive(error, 0.0)
        elif keep == "a batch":
            batch.receive("a", error, 0.0)
        else:
            batch.connection_failed(error, in_a_row=1, now=0.0)
    del held

    assert kept() is None
