"""One wait for many tasks: which task is polled when, and what ends the wait."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_seeany.api.batch import LAST_POLL_SECONDS
from airflow_provider_seeany.api.batch_result import (
    BatchResult,
    BatchTimedOut,
    Failure,
    result_in,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import ApiError, ThrottledError, TransientError
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.outcomes import batch_timeout
from tests.api.played_batch import DOWN, Played, Reply, batch_of
from tests.api.tasks import completed, failed, partial, refusal, task_with
from tests.recorded_log import RecordedLog

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


def test_tasks_that_give_no_estimate_are_polled_just_after_their_expected_end() -> None:
    batch = batch_of(["a"], began=0.0, expected_duration=90)
    played = Played(batch, lambda task_id, now: completed("a") if now >= 90 else task_with("a"), takes=0)

    times = [at for at, _ in played.requests]
    assert times[:2] == pytest.approx([0, 27], rel=0.03)
    assert 90 <= times[-1] < 91


def test_a_task_whose_estimate_proves_true_is_polled_when_it_should_be_done() -> None:
    def poll(task_id: str, now: float) -> Reply:
        return completed("a") if now >= 90 else task_with("a", estimated_remaining=90 - now)

    played = Played(batch_of(["a"]), poll, takes=0)

    assert len(played.requests) <= 7
    assert played.now < 92


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


def test_a_partial_result_counts_as_completed_and_says_so() -> None:
    log = RecordedLog()
    played = Played(batch_of(IDS, log), lambda task_id, now: partial("a") if task_id == "a" else completed(task_id))

    result = played.result
    assert (result.completed, result.partial, result.failed) == (3, 1, 0)
    assert [task.get("is_partial") for task in result.tasks] == [None, True, None]
    assert result.cost == {"CNY": pytest.approx(1.8)}
    assert log.infos[-1] == "3 of 3 done, 1 with a partial result, ¥1.80 so far"
    assert "SeeAny task a has a partial result" in log.warnings[0]


@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_partial_result_that_is_not_accepted_is_a_failure_with_its_files_and_its_cost(fail_fast: bool) -> None:
    played = Played(
        batch_of(IDS, accept_partial=False, fail_fast=fail_fast, max_concurrent_requests=1),
        lambda task_id, now: partial("a") if task_id == "a" else completed(task_id),
    )

    result = played.result
    assert result.failures == [
        Failure(
            "a",
            "some of its files failed, 2 were made: 部分图片生成失败 (image_failed)",
            ["https://cdn.seeany.com/image/a/0.jpg", "https://cdn.seeany.com/image/a/1.jpg"],
        )
    ]
    # The second of three: fail_fast does not poll the third.
    assert (result.completed, result.partial, result.failed) == (1 if fail_fast else 2, 0, 1)
    assert result.cost == {"CNY": pytest.approx(0.4 + 0.7 * result.completed)}


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


def test_an_undocumented_status_is_warned_of_once_for_all() -> None:
    log = RecordedLog()
    ids = [f"v{number}" for number in range(50)]

    Played(
        batch_of(ids, log),
        lambda task_id, now: completed(task_id) if now > 100 else task_with(task_id, "pending"),
        log=log,
    )

    assert len([text for text in log.warnings if "status pending" in text]) == 1


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
    assert "249 of 1 240 done, 1 failed, ¥173.60 so far" in log.infos
    assert log.infos[-1] == "1 240 of 1 240 done, 1 failed, ¥867.30 so far"
    assert len(log.infos) <= 10


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
