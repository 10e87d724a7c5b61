"""One wait for many tasks: whom to ask when, what comes of it, and how large that may get."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.batch import LAST_POLL_SECONDS, Batch
from airflow_provider_seeany.api.batch_result import (
    MAX_RESULT_BYTES,
    BatchAborted,
    BatchOutcome,
    BatchResult,
    BatchTimedOut,
    Failure,
    decode_batch_outcome,
    result_in,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.api.outcome import Crashed, Misconfigured, Refused
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_ids
from airflow_provider_seeany.api.text import format_count
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.exceptions import batch_timeout

Reply = SeeAnyTask | Trouble
Ask = Callable[[str, float], Reply]


class Lines:
    """A log that keeps its lines, with the time at which they came."""

    def __init__(self) -> None:
        self.now = 0.0
        self.infos: list[tuple[float, str]] = []
        self.warnings: list[tuple[float, str]] = []

    def info(self, msg: str, /, *args: object) -> None:
        self.infos.append((self.now, msg % args))

    def warning(self, msg: str, /, *args: object) -> None:
        self.warnings.append((self.now, msg % args))


def answer(seeany_task_id: str, status: str = "processing", **fields: Any) -> SeeAnyTask:
    return SeeAnyTask.from_payload({"id": seeany_task_id, "status": status, **fields})


def completed(seeany_task_id: str, cost: float = 0.7, unit: str = "CNY") -> SeeAnyTask:
    return answer(
        seeany_task_id,
        "completed",
        object="video_generation",
        video_url=f"https://cdn.seeany.com/video/{seeany_task_id}/output.mp4",
        usage={"cost": cost, "cost_unit": unit},
    )


def failed(seeany_task_id: str) -> SeeAnyTask:
    return answer(seeany_task_id, "failed", error={"code": "policy", "message": "违反内容安全策略"})


def refusal(status: int) -> Trouble:
    return Trouble(kind=Kind.PERMANENT, text=f"SeeAny answered HTTP {status}", http_status=status)


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


def batch_of(ids: list[str], log: Lines | None = None, **more: Any) -> Batch:
    """Return a batch; what is no setting of it is an argument."""
    given: dict[str, Any] = {"deadline": None, "now": 0.0, **more}
    settings = {name: given.pop(name) for name in SETTINGS.__struct_fields__ if name in given}
    return Batch(ids, msgspec.structs.replace(SETTINGS, **settings), log=log or Lines(), **given)


class Played:
    """A batch played to its end, each question taking ``takes`` seconds."""

    def __init__(self, batch: Batch, ask: Ask, *, takes: float = 0.05, log: Lines | None = None, start: float = 0.0):
        self.asked: list[tuple[float, str]] = []
        self.most_under_way = 0
        self.now = start
        under_way: list[tuple[float, str]] = []
        while (outcome := batch.outcome(self.now)) is None:
            step = batch.next_request(self.now)
            if isinstance(step, str):
                self.asked.append((self.now, step))
                under_way.append((self.now + takes, step))
                self.most_under_way = max(self.most_under_way, len(under_way))
                continue
            wake = self.now + step.seconds
            if under_way and under_way[0][0] <= wake:
                self.now, seeany_task_id = under_way.pop(0)
                if log:
                    log.now = self.now
                batch.receive(seeany_task_id, ask(seeany_task_id, self.now), self.now)
            else:
                self.now = max(wake, self.now + 1e-6)
        self.outcome: BatchOutcome = outcome

    @property
    def result(self) -> BatchResult:
        assert isinstance(self.outcome, BatchResult)
        return self.outcome


IDS = ["b", "a", "c"]


# The ids


@pytest.mark.parametrize(
    "given",
    [IDS, tuple(IDS), '["b", "a", "c"]', "['b', 'a', 'c']", "('b', 'a', 'c')", " ['b', 'a', 'c', 'b'] ", [*IDS, "a"]],
    ids=str,
)
def test_ids_are_read_from_a_list_or_the_text_of_one_each_once_and_in_order(given: object) -> None:
    assert checked_task_ids(given) == IDS


@pytest.mark.parametrize("given", [[1, " 2"], "[1, 2]", ["1 ", 1, "\n2", "1"], "['1', 2, '2 ']"], ids=str)
def test_ids_that_only_differ_in_type_or_white_space_are_one(given: object) -> None:
    assert checked_task_ids(given) == ["1", "2"]


@pytest.mark.parametrize("given", [[], "[]", ()])
def test_no_ids_are_a_list_too(given: object) -> None:
    assert checked_task_ids(given) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["a", None], "seeany_task_ids[1] is None"),
        (["a", "b", ""], "seeany_task_ids[2] is ''"),
        (["a", {"id": "b"}], "seeany_task_ids[1] must be a string, got dict"),
        ([7.5], "seeany_task_ids[0] must be a string, got float"),
        (["{{ x }}"], "seeany_task_ids[0] is still a template"),
        ('["a", ".."]', "seeany_task_ids[1] is '..'"),
    ],
)
def test_what_cannot_be_an_id_is_told_by_its_place(given: object, told: str) -> None:
    with pytest.raises(BadTaskId) as raised:
        checked_task_ids(given)

    assert told in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [None, 5, "vid_1", "", "None", '{"a": 1}', {"a"}, b"[]", "{{ ids }}", "[" * 5000, "__import__('os')", "\ud800"],
)
def test_what_is_no_list_is_told(given: object) -> None:
    with pytest.raises(BadTaskId, match="seeany_task_ids"):
        checked_task_ids(given)


@pytest.mark.parametrize("given", ["{{ ids }}", "{% for id in ids %}", "[{{ ids }}]"])
def test_a_template_that_nobody_rendered_is_told_as_one(given: str) -> None:
    with pytest.raises(BadTaskId, match="never rendered"):
        checked_task_ids(given)


def test_a_template_of_several_lines_may_be_indented() -> None:
    assert checked_task_ids("\n    ['b', 'a', 'c']\n") == IDS


def test_more_than_ten_thousand_are_too_many() -> None:
    ids = [f"v{number}" for number in range(10_001)]
    assert len(checked_task_ids(ids[:-1])) == 10_000

    with pytest.raises(BadTaskId, match="10001"):
        checked_task_ids(ids)


# The pace


def test_every_task_is_asked_about_and_returned_in_the_order_asked() -> None:
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
    assert [task_id for _, task_id in played.asked] == IDS


def test_an_empty_batch_is_over_at_once() -> None:
    assert batch_of([]).outcome(0.0) == ResultCollector([]).result()


def test_questions_keep_their_distance() -> None:
    ends = {f"v{number}": random.Random(number).uniform(0, 60) for number in range(300)}
    played = Played(
        batch_of(list(ends)), lambda task_id, now: completed(task_id) if now >= ends[task_id] else answer(task_id)
    )

    times = [at for at, _ in played.asked]
    assert all(later - earlier >= 0.02 - 1e-9 for earlier, later in pairwise(times))
    # It keeps busy, too: 300 first looks take 6 s.
    assert 5.9 < times[299] < 6.5
    assert played.result.completed == 300


def test_no_more_questions_are_under_way_than_allowed() -> None:
    ids = [f"v{number}" for number in range(100)]

    played = Played(batch_of(ids, max_concurrent_requests=7), lambda task_id, now: completed(task_id), takes=5)

    assert played.most_under_way == 7
    assert played.result.completed == 100


def test_a_running_task_is_asked_about_again_after_the_interval() -> None:
    played = Played(batch_of(["a"]), lambda task_id, now: completed("a") if now > 25 else answer("a"), takes=0)

    times = [at for at, _ in played.asked]
    assert times == pytest.approx([0, 10, 20, 30], rel=0.03)


def test_a_task_whose_estimate_proves_true_is_asked_about_when_it_should_be_done() -> None:
    def ask(task_id: str, now: float) -> Reply:
        return completed("a") if now >= 90 else answer("a", estimated_remaining=90 - now)

    played = Played(batch_of(["a"]), ask, takes=0)

    assert len(played.asked) <= 7
    assert played.now < 92


def test_when_the_service_asks_for_patience_all_questions_stop() -> None:
    busy = Trouble(kind=Kind.THROTTLED, text="busy", http_status=429, retry_after=60)
    ids = [f"v{number}" for number in range(50)]

    played = Played(
        batch_of(ids, max_concurrent_requests=1), lambda task_id, now: busy if now < 30 else completed(task_id)
    )

    assert len([at for at, _ in played.asked if at < 60]) == 1
    assert played.result.completed == 50


def test_of_two_wishes_for_patience_the_longer_one_counts() -> None:
    batch = batch_of(IDS)
    assert [batch.next_request(0.0), batch.next_request(0.02)] == ["b", "a"]

    batch.receive("b", Trouble(kind=Kind.THROTTLED, text="busy", http_status=429, retry_after=60), 1.0)
    batch.receive("a", Trouble(kind=Kind.THROTTLED, text="busy", http_status=429, retry_after=5), 1.1)

    assert batch.next_request(60.9) == Pause(pytest.approx(0.1))


def test_a_pause_is_never_endless() -> None:
    batch = batch_of(IDS, max_concurrent_requests=1)
    batch.next_request(0.0)

    assert batch.next_request(0.1) == Pause(3600)


def test_a_task_whose_question_brought_no_answer_has_no_precedence() -> None:
    batch = batch_of(["quiet", "promised"])
    for seeany_task_id, now, reply in (
        ("quiet", 0.0, answer("quiet")),
        ("promised", 5.0, answer("promised", estimated_remaining=50)),
        ("quiet", 30.0, answer("quiet")),
        ("promised", 35.0, DOWN),
    ):
        assert batch.next_request(now) == seeany_task_id
        batch.receive(seeany_task_id, reply, now)

    # Both are due, and its old word says that it should have ended.
    assert batch.next_request(100.0) == "quiet"


def test_a_task_that_is_refused_is_a_result_sooner_as_well() -> None:
    """The even ones promise their end and are unknown by then; the odd ones promise nothing and are completed."""
    batch = batch_of([f"v{number}" for number in range(400)], max_requests_per_second=1e6)
    asked: list[int] = []
    for count in range(400 + 150):
        now = 200 * (count >= 400) + count / 1000
        task_id = str(batch.next_request(now))
        asked.append(int(task_id[1:]))
        is_even = asked[-1] % 2 == 0
        if count < 400:
            batch.receive(task_id, answer(task_id, estimated_remaining=50 if is_even else None), now)
        else:
            batch.receive(task_id, refusal(404) if is_even else completed(task_id), now)

    assert sum(number % 2 == 0 for number in asked[400:]) > 120


# What can go wrong

# What can go wrong


def test_failures_are_reported_when_all_have_ended() -> None:
    replies = {"b": failed("b"), "a": completed("a"), "c": refusal(404)}

    result = Played(batch_of(IDS), lambda task_id, now: replies[task_id]).result

    assert (result.total, result.completed, result.failed) == (3, 1, 2)
    assert [task["id"] for task in result.tasks] == ["a"]
    assert result.failures == [
        Failure("b", "违反内容安全策略 (policy)"),
        Failure("c", "SeeAny answered HTTP 404"),
    ]


def test_fail_fast_ends_at_the_first_failure() -> None:
    played = Played(
        batch_of(IDS, fail_fast=True), lambda task_id, now: failed("a") if task_id == "a" else answer(task_id)
    )

    assert played.result.failures == [Failure("a", "违反内容安全策略 (policy)")]
    assert played.now < 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_at_once(status: int) -> None:
    played = Played(batch_of([f"v{number}" for number in range(100)]), lambda task_id, now: refusal(status))

    assert isinstance(played.outcome, BatchAborted)
    assert played.outcome.why == Refused(refusal(status))
    assert (played.outcome.result.done, len(played.outcome.result.unfinished)) == (0, 100)
    assert len(played.asked) <= 4


KEPT: list[tuple[str, dict[str, Any], dict[str, Callable[[str], Reply]]]] = [
    ("failed", {}, {"a": completed, "b": failed, "c": completed}),
    ("fail_fast", {"fail_fast": True, "max_concurrent_requests": 1}, {"a": failed, "b": completed, "c": answer}),
    ("timed out", {"deadline": 30.0}, {"a": completed, "b": answer, "c": completed}),
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
    played = Played(batch_of(IDS, deadline=30.0), lambda task_id, now: answer(task_id, "completed", url="https://h/v"))
    assert played.result.cost == {}


def test_passing_faults_are_outlasted_and_warned_of_now_and_then() -> None:
    log = Lines()
    fault = Trouble(kind=Kind.TRANSIENT, text="SeeAny could not be reached")
    ids = [f"v{number}" for number in range(200)]

    played = Played(batch_of(ids, log), lambda task_id, now: fault if now < 100 else completed(task_id), log=log)

    assert played.result.completed == 200
    assert 2 <= len(log.warnings) <= 5
    assert any(line.endswith("more warnings like this one)") for _, line in log.warnings)


def test_each_warning_is_counted_once() -> None:
    log = Lines()
    fault = Trouble(kind=Kind.TRANSIENT, text="SeeAny could not be reached")
    ids = [f"v{number}" for number in range(2000)]

    # Not all are in trouble at once, so that it is no outage.
    Played(
        batch_of(ids, log),
        lambda task_id, now: fault if now < 100 and int(task_id[1:]) % 15 else completed(task_id),
        log=log,
    )

    warned = [re.search(r"\((\d+(?: \d+)*) more warnings", line) for _, line in log.warnings]
    assert len(warned) > 1
    assert sum(1 + int(more[1].replace(" ", "")) if more else 1 for more in warned) <= 2000


DOWN = Trouble(kind=Kind.TRANSIENT, text="SeeAny could not be reached")


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLED])
def test_a_service_that_is_down_is_hardly_asked_and_at_full_pace_as_soon_as_it_answers(kind: Kind) -> None:
    log = Lines()
    ids = [f"v{number}" for number in range(5000)]
    down = Trouble(kind=kind, text="down")

    played = Played(batch_of(ids, log), lambda task_id, now: down if now < 1800 else completed(task_id), log=log)

    in_outage = [at for at, _ in played.asked if at < 1800]
    assert len(in_outage) < 80
    assert all(later - earlier <= 62 for earlier, later in pairwise(in_outage))
    # At most a minute until that is noticed, and 100 s for 5000 questions at 50 a second.
    assert played.now < 1800 + 62 + 101
    assert played.result.completed == 5000
    assert len(log.warnings) < 65
    assert [line for _, line in log.warnings if "does not answer at all" in line] == [
        "SeeAny does not answer at all: asking about one task at a time until it does"
    ]


def test_one_question_at_a_time_is_under_way_while_the_service_is_down() -> None:
    ids = [f"v{number}" for number in range(1000)]
    batch = batch_of(ids, poll_interval=0.1)

    played = Played(batch, lambda task_id, now: DOWN if now < 600 else completed(task_id), takes=30)

    # Those that hang for 30 s until 20 have, and then one after the other.
    assert len([at for at, _ in played.asked if at < 600]) < 2 * 20 + 600 / 30


def test_tasks_that_bring_no_answer_do_not_slow_down_a_service_that_answers_for_others() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(
        batch_of(ids),
        lambda task_id, now: DOWN if now < 3600 and int(task_id[1:]) % 15 else completed(task_id),
        takes=0.01,
    )

    assert sorted({task_id for at, task_id in played.asked if at < 25}) == sorted(ids)


def test_an_answer_that_was_under_way_ends_an_outage_at_once() -> None:
    ids = [f"v{number}" for number in range(100)]
    batch = batch_of(ids, max_requests_per_second=1000, max_concurrent_requests=31)
    asked = [batch.next_request(number / 100) for number in range(31)]
    for task_id in asked[:30]:
        batch.receive(str(task_id), DOWN, 1.0)
    assert isinstance(batch.next_request(1.0), Pause)

    batch.receive(str(asked[30]), completed(str(asked[30])), 1.5)

    assert [batch.next_request(1.5 + number / 100) for number in range(31)] == ids[31:62]


def test_a_service_that_knows_none_of_the_tasks_is_not_down() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids), lambda task_id, now: refusal(404))

    assert played.result.failed == 1000
    assert played.now < 21


def test_the_first_pause_in_an_outage_is_short_however_many_questions_were_under_way() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids), lambda task_id, now: DOWN if now < 8 else completed(task_id), takes=0.5)

    assert played.now < 8 + 10 + 1000 * 0.5 / 20 + 1


def test_a_long_interval_does_not_put_off_what_finds_the_end_of_an_outage() -> None:
    ids = [f"v{number}" for number in range(1000)]

    played = Played(batch_of(ids, poll_interval=900), lambda task_id, now: DOWN if now < 100 else completed(task_id))

    assert len({task_id for at, task_id in played.asked if at < 200}) > 900


def test_unusable_answers_about_all_tasks_are_believed_of_all_after_a_minute() -> None:
    """As they would be of one; it takes no five questions about each of thousands."""
    ids = [f"v{number}" for number in range(5000)]
    page = Trouble(kind=Kind.INVALID_RESPONSE, text="the body is HTML")

    played = Played(batch_of(ids), lambda task_id, now: page if now > 1 else completed(task_id))

    assert 60 < played.now < 180
    assert len(played.asked) < 200
    assert played.result.completed > 40
    assert played.result.completed + played.result.failed == 5000
    assert played.result.failures[0].reason == "the body is HTML"


def test_an_answer_that_comes_after_its_task_was_given_up_counts_for_nothing() -> None:
    ids = [f"v{number}" for number in range(40)]
    batch = batch_of(ids, max_requests_per_second=1000, max_concurrent_requests=40)
    page = Trouble(kind=Kind.INVALID_RESPONSE, text="the body is HTML")
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
def test_an_outage_up_to_the_deadline_is_the_reason_of_the_time_out(deadline: float) -> None:
    ids = [f"v{number}" for number in range(5000)]

    played = Played(batch_of(ids, deadline=deadline), lambda task_id, now: DOWN)

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_trouble == "SeeAny could not be reached"
    # Asked for a last time at the deadline, like a single wait; nobody is there for a last round.
    assert deadline <= played.asked[-1][0] <= played.now < deadline + 1


def test_an_undocumented_status_is_warned_of_once_for_all() -> None:
    log = Lines()
    ids = [f"v{number}" for number in range(50)]

    Played(
        batch_of(ids, log), lambda task_id, now: completed(task_id) if now > 100 else answer(task_id, "queued"), log=log
    )

    assert len([text for _, text in log.warnings if "status queued" in text]) == 1


def test_a_field_that_cannot_be_understood_is_warned_of_once_for_all() -> None:
    log = Lines()
    ids = [f"v{number}" for number in range(50)]

    def odd(task_id: str, now: float) -> SeeAnyTask | Trouble:
        if now < 20:
            return Trouble(kind=Kind.TRANSIENT, text="SeeAny answered HTTP 502")
        return SeeAnyTask.from_payload(
            {"id": task_id, "status": "completed", "duration": "long", "usage": {"cost": "7"}}
        )

    played = Played(batch_of(ids, log), odd, log=log)

    assert played.result.completed == 50
    assert played.result.cost == {"?": 350}
    assert len([text for _, text in log.warnings if "in duration that cannot be understood" in text]) == 1


def test_the_time_out_names_those_that_have_probably_ended() -> None:
    def last(task_id: str, now: float) -> SeeAnyTask:
        odd = {"b": {"status": "delivered", "video_url": "https://h/v"}, "c": {"status": "finished"}}
        return SeeAnyTask.from_payload({"id": task_id, "status": "processing", **odd.get(task_id, {})})

    played = Played(batch_of(["a", "b", "c"], deadline=30.0), last)

    assert isinstance(played.outcome, BatchTimedOut)
    assert (played.outcome.result.unfinished, played.outcome.looked_ended) == (["a", "b", "c"], ["b", "c"])
    text = str(batch_timeout(played.outcome, timeout=30))
    assert "b, c had a result URL, or a status that reads like an end" in text
    assert "The others may still finish" in text


def test_unusable_answers_are_believed_after_a_few() -> None:
    odd = Trouble(kind=Kind.INVALID_RESPONSE, text="no JSON")

    result = Played(batch_of(["a"]), lambda task_id, now: odd).result

    assert result.failures == [Failure("a", "no JSON")]


def test_the_time_out_tells_how_many_are_done_and_names_the_first_that_are_not() -> None:
    ids = [f"v{number}" for number in range(60)]

    played = Played(
        batch_of(ids, deadline=100.0),
        lambda task_id, now: completed(task_id) if int(task_id[1:]) % 2 else answer(task_id),
    )

    assert isinstance(played.outcome, BatchTimedOut)
    assert (played.outcome.result.total, played.outcome.result.done) == (60, 30)
    assert played.outcome.result.unfinished == [f"v{n}" for n in range(0, 60, 2)]
    assert 100 <= played.now < 102


def test_a_task_that_just_makes_the_deadline_is_not_lost() -> None:
    played = Played(
        batch_of(IDS, deadline=95.0), lambda task_id, now: completed(task_id) if now >= 94 else answer(task_id)
    )

    assert played.result.completed == 3


def test_the_last_round_after_the_deadline_ends() -> None:
    ids = [f"v{number}" for number in range(10_000)]

    played = Played(batch_of(ids, deadline=-5.0), lambda task_id, now: answer(task_id))

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.now == pytest.approx(LAST_POLL_SECONDS, abs=0.1)


def test_the_time_out_tells_of_trouble() -> None:
    fault = Trouble(kind=Kind.TRANSIENT, text="SeeAny could not be reached")

    played = Played(batch_of(IDS, deadline=30.0), lambda task_id, now: fault)

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_trouble == "SeeAny could not be reached"


def test_without_a_connection_it_waits_up_to_the_deadline() -> None:
    log = Lines()
    batch = batch_of(IDS, log, deadline=12.0)
    gone = Trouble(kind=Kind.TRANSIENT, text="no connection")

    assert batch.connection_failed(gone, in_a_row=1, now=0.0) == Pause(10)
    assert [line for _, line in log.warnings] == ["no connection; the wait goes on"]
    assert batch.connection_failed(gone, in_a_row=2, now=10.0) == Pause(2)
    assert batch.connection_failed(gone, in_a_row=3, now=12.0) == BatchTimedOut(
        result=ResultCollector(IDS).result(), last_trouble="no connection"
    )


# What is told


def test_progress_is_told_at_a_humane_pace_and_on_change_only() -> None:
    log = Lines()
    ids = [f"v{number}" for number in range(1240)]
    ends = {task_id: 600.0 if number % 5 else 40.0 for number, task_id in enumerate(ids)}
    ends["v7"] = 45.0

    def ask(task_id: str, now: float) -> Reply:
        if now < ends[task_id]:
            return answer(task_id)
        return failed(task_id) if task_id == "v7" else completed(task_id)

    Played(batch_of(ids, log), ask, log=log)

    times = [at for at, _ in log.infos]
    assert log.infos[0][1] == "Waiting for 1 240 SeeAny tasks"
    assert all(later - earlier >= 30 for earlier, later in pairwise(times[:-1]))
    assert "249 of 1 240 done, 1 failed, ¥173.60 so far" in [text for _, text in log.infos]
    assert log.infos[-1][1] == "1 240 of 1 240 done, 1 failed, ¥867.30 so far"
    assert len(log.infos) <= 10


def test_currencies_are_never_added_together() -> None:
    costs = Costs()
    for cost, unit in ((0.1, "CNY"), (0.2, "CNY"), (3, "USD"), (1200, "JPY"), (0.0035, "EUR"), (1, None)):
        costs.add(answer("x", "completed", usage={"cost": cost, "cost_unit": unit}))
    costs.add(answer("x", "completed"))

    assert str(costs) == "¥0.30 + $3.00 + 1 200.00 JPY + €0.0035 + 1.00 ?"
    assert costs.totals() == {"CNY": 0.3, "USD": 3.0, "JPY": 1200.0, "EUR": 0.0035, "?": 1.0}


def test_ten_thousand_costs_add_up_to_the_cent() -> None:
    costs = Costs()
    for _ in range(10_000):
        costs.add(completed("x", cost=0.7))

    assert costs.totals() == {"CNY": float(Decimal("7000.0"))}
    assert str(costs) == "¥7 000.00"


@pytest.mark.parametrize("cost", [1e308, -1e308, 10**30])
def test_no_cost_is_too_large_to_be_stored(cost: float) -> None:
    costs = Costs()
    for _ in range(3):
        costs.add(completed("x", cost=cost))

    json.dumps(costs.totals(), allow_nan=False)
    assert len(str(costs)) < 60


def test_counts_are_grouped() -> None:
    assert [format_count(number) for number in (0, 999, 1240, 10_000)] == ["0", "999", "1 240", "10 000"]


# How large it may get


@pytest.mark.parametrize(("count", "detail"), [(100, "full"), (300, "table"), (5000, "totals")])
def test_a_result_holds_as_much_as_fits(count: int, detail: str) -> None:
    ids = [f"vid_{number:06}" for number in range(count)]
    results = ResultCollector(ids)
    for place in random.Random(7).sample(range(count), count):
        results.add(place, completed(ids[place]))

    result = results.result()

    assert (result.detail, result.completed, result.cost) == (detail, count, {"CNY": pytest.approx(count * 0.7)})
    assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES
    assert [task["id"] for task in result.tasks] == (ids if detail != "totals" else [])
    if detail == "table":
        assert result.tasks[0] == {
            "id": ids[0],
            "video_url": f"https://cdn.seeany.com/video/{ids[0]}/output.mp4",
            "cost": 0.7,
            "cost_unit": "CNY",
        }


def test_many_currencies_leave_less_room_for_answers() -> None:
    details = set()
    for count in range(140, 220, 2):
        ids = [f"vid_{number:06}" for number in range(count)]
        results = ResultCollector(ids)
        for place, task_id in enumerate(ids):
            results.add(place, completed(task_id, unit=f"currency {place:011}"))

        result = results.result()

        assert len(result.cost) == count
        assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES
        details.add(result.detail)
    assert details == {"full", "table"}


def test_the_table_names_the_first_result_of_what_is_no_video() -> None:
    ids = [f"set_{number:06}" for number in range(150)]
    results = ResultCollector(ids)
    for place, task_id in enumerate(ids):
        images = [{"url": f"https://cdn.seeany.com/{task_id}/{number}.jpg"} for number in range(9)]
        results.add(place, answer(task_id, "completed", images=images))

    result = results.result()

    assert result.detail == "table"
    assert result.tasks[0] == {"id": ids[0], "result_url": "https://cdn.seeany.com/set_000000/0.jpg"}


def test_ten_thousand_failures_with_long_reasons_are_cut_to_what_fits() -> None:
    ids = [f"vid_{number:06}" for number in range(10_000)]
    results = ResultCollector(ids)
    for place in range(10_000):
        results.fail(place, "违反" * 1000)

    result = results.result()

    assert result.failed == 10_000
    assert 10 < len(result.failures) < 10_000
    assert [failure.id for failure in result.failures] == ids[: len(result.failures)]
    assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES


def mixed(*, completed_count: int, failed_count: int, unfinished_count: int) -> ResultCollector:
    """Return results of ids as long as real ones, with long reasons."""
    ids = [f"vid_{number:016}" for number in range(completed_count + failed_count + unfinished_count)]
    results = ResultCollector(ids)
    for place in range(completed_count):
        results.add(place, completed(ids[place]))
    for place in range(completed_count, completed_count + failed_count):
        results.fail(place, "违反" * 1000)
    return results


@pytest.mark.parametrize(
    ("completed_count", "failed_count", "unfinished_count"),
    [(20, 30, 0), (200, 9800, 0), (200, 0, 9800), (1500, 40, 8460), (1500, 8500, 0), (1900, 0, 8100)],
)
def test_failures_and_what_is_unfinished_leave_room_for_the_ids_of_all_that_was_paid(
    completed_count: int, failed_count: int, unfinished_count: int
) -> None:
    results = mixed(completed_count=completed_count, failed_count=failed_count, unfinished_count=unfinished_count)

    result = results.result()

    listed = [task["id"] for task in result.tasks] or result.completed_ids
    assert listed == [f"vid_{number:016}" for number in range(completed_count)]
    assert len(result.failures) >= min(failed_count, 8)
    assert len(json.dumps(msgspec.to_builtins(result))) <= MAX_RESULT_BYTES
    if completed_count <= 200:
        assert all(task["video_url"] and task.get("cost", 0.7) == 0.7 for task in result.tasks)


def test_ids_that_are_too_many_to_list_are_what_the_others_leave() -> None:
    result = mixed(completed_count=9800, failed_count=20, unfinished_count=180).result()

    assert (result.tasks, result.completed_ids) == ([], [])
    assert (len(result.failures), len(result.unfinished)) == (20, 180)


def test_a_success_lists_nothing_that_it_does_not_need() -> None:
    results = mixed(completed_count=3, failed_count=0, unfinished_count=0)
    assert list(results.result().as_json()) == ["total", "completed", "failed", "cost", "detail", "tasks", "failures"]


def test_an_outcome_survives_its_way_to_the_worker() -> None:
    results = ResultCollector(IDS)
    results.add(0, completed("b"))
    results.fail(1, "no")
    outcomes: list[BatchOutcome] = [
        results.result(),
        BatchTimedOut(result=results.result(), last_trouble="reset"),
        BatchAborted(why=Refused(refusal(401)), result=results.result()),
        BatchAborted(why=Crashed("why"), result=results.result()),
        Misconfigured("no key"),
    ]

    for outcome in outcomes:
        assert decode_batch_outcome(json.loads(json.dumps(msgspec.to_builtins(outcome)))) == outcome

    with pytest.raises(ValueError, match="later"):
        decode_batch_outcome({"type": "of_a_later_version"})


# What is about one task, and what is about all


def test_a_403_about_one_task_among_answers_fails_that_task_alone() -> None:
    ask = {"a": completed, "b": lambda seeany_task_id: refusal(403), "c": completed}

    result = Played(batch_of(["a", "b", "c"]), lambda seeany_task_id, now: ask[seeany_task_id](seeany_task_id)).result

    assert (result.completed, result.failed) == (2, 1)
    assert "403" in result.failures[0].reason


def test_a_403_before_any_answer_and_a_401_at_any_time_are_about_the_key() -> None:
    assert isinstance(Played(batch_of(IDS), lambda seeany_task_id, now: refusal(403)).outcome, BatchAborted)
    late = Played(batch_of(IDS), lambda seeany_task_id, now: refusal(401) if now > 0.1 else answer(seeany_task_id))
    assert isinstance(late.outcome, BatchAborted)


def test_a_time_out_tells_the_trouble_of_a_task_though_others_were_answered() -> None:
    broken = Trouble(kind=Kind.TRANSIENT, text="SeeAny answered HTTP 500", http_status=500)
    played = Played(
        batch_of(["x", "y"], deadline=30.0),
        lambda seeany_task_id, now: broken if seeany_task_id == "x" else answer(seeany_task_id),
    )

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_trouble == "SeeAny answered HTTP 500"


def test_a_time_out_tells_of_no_trouble_that_is_over() -> None:
    played = Played(batch_of(["x"], deadline=60.0), lambda task_id, now: DOWN if now < 20 else answer(task_id))

    assert isinstance(played.outcome, BatchTimedOut)
    assert played.outcome.last_trouble is None


def test_retry_after_is_obeyed_in_the_last_round_too() -> None:
    throttled = Trouble(kind=Kind.THROTTLED, text="HTTP 429", http_status=429, retry_after=30.0)

    played = Played(batch_of([str(n) for n in range(500)], deadline=0.0), lambda seeany_task_id, now: throttled)

    assert len(played.asked) < 10


def test_the_end_of_an_outage_is_told_once() -> None:
    log = Lines()
    fault = Trouble(kind=Kind.TRANSIENT, text="SeeAny could not be reached")

    Played(
        batch_of([f"v{number}" for number in range(50)], log),
        lambda seeany_task_id, now: (
            fault if 1 <= now < 60 else answer(seeany_task_id) if now < 90 else failed(seeany_task_id)
        ),
        log=log,
    )

    told = [(at, line) for at, line in log.infos if "answered again" in line]
    assert len(told) == 1
    assert told[0][0] >= 60
    assert re.fullmatch(r"SeeAny answered again after \d+ failures in \d\d s", told[0][1])


def test_a_failure_now_and_then_is_no_outage() -> None:
    log = Lines()
    chance = random.Random(1)
    fault = Trouble(kind=Kind.TRANSIENT, text="SeeAny answered HTTP 500")

    Played(
        batch_of([f"v{number}" for number in range(50)], log),
        lambda seeany_task_id, now: fault if chance.random() < 0.05 else completed(seeany_task_id),
        log=log,
    )

    assert not [line for _, line in log.infos if "answered again" in line]
