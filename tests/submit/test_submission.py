"""A SeeAny task is created once, whatever happens to the tries of the task that creates it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_seeany.api.created import CreatedTask
from airflow_provider_seeany.exceptions import SeeAnyNotCreated, SeeAnySubmissionUnknown
from airflow_provider_seeany.submit.store import STATE_KEY, Submission
from airflow_provider_seeany.submit.submission import NO_STORE, Submitter, decide
from tests.recorded_log import RecordedLog
from tests.submit.state import Killed, Service, State, context

INTENT = Submission(began_at=0, max_tries=2, try_number=1)
CREATED = Submission(began_at=0, max_tries=2, try_number=1, seeany_task_id="w")
UNFINISHED = Submission(began_at=0, max_tries=2, try_number=1, seeany_task_id="w", is_unfinished=True)

# What is found, whether the task was cleared since, on_clear, on_unknown: what is done.
DECISIONS: list[tuple[Submission | None, bool, Any, Any, str]] = [
    (None, False, "create", "fail", "create"),
    (None, True, "reuse", "create", "create"),
    (CREATED, False, "create", "fail", "reuse"),
    (CREATED, False, "create", "create", "reuse"),
    (CREATED, True, "create", "fail", "create"),
    (CREATED, True, "reuse", "fail", "reuse"),
    (CREATED, True, "reuse", "create", "reuse"),
    (UNFINISHED, False, "create", "fail", "reuse"),
    (UNFINISHED, True, "create", "fail", "reuse"),
    (UNFINISHED, True, "reuse", "fail", "reuse"),
    (INTENT, False, "create", "fail", "stop"),
    (INTENT, True, "create", "fail", "stop"),
    (INTENT, True, "reuse", "fail", "stop"),
    (INTENT, False, "create", "create", "create"),
    (INTENT, True, "reuse", "create", "create"),
]


@pytest.mark.parametrize(("found", "is_cleared", "on_clear", "on_unknown", "step"), DECISIONS)
def test_what_a_try_does_about_what_it_finds(
    found: Submission | None, is_cleared: bool, on_clear: Any, on_unknown: Any, step: str
) -> None:
    max_tries = 3 if is_cleared else 2

    assert decide(found, max_tries=max_tries, on_clear=on_clear, on_unknown=on_unknown) == step


def submit(
    state: State | None, create: Callable[[], Any], *, max_tries: int = 2, log: Any = None, **options: Any
) -> CreatedTask:
    """Run one try."""
    options = {"on_clear": "create", "on_unknown": "fail", **options}
    submitter = Submitter(context(state, max_tries=max_tries), log=log or RecordedLog(), **options)
    return submitter.submit(create)


def test_a_retry_reuses_the_id_and_says_so() -> None:
    state, service, log = State(), Service(), RecordedLog()

    first = submit(state, service.create)
    second = submit(state, service.create, log=log)

    assert (first.seeany_task_id, second.seeany_task_id) == ("wtask_1", "wtask_1")
    assert service.created == 1
    assert "Nothing is created: SeeAny task wtask_1" in log.text


def test_the_estimate_of_a_task_that_was_created_earlier_is_what_is_left_of_it() -> None:
    state, service = State(), Service(wait_time=40)

    assert submit(state, service.create).wait_time == 40
    left = submit(state, service.create).wait_time
    assert left is not None
    assert 0 < left < 40
    state.edit(began_at=state.submission.began_at - 100)
    assert submit(state, service.create).wait_time is None


WHEN: dict[str, tuple[dict[str, Any], int, bool]] = {
    "before the intent": ({"dies_before": "set"}, 0, True),
    "before the call": ({"dies_after": "set"}, 0, False),
    "during the call": ({"service": {"dies": "before"}}, 0, False),
    "at the end of the call": ({"service": {"dies": "after"}}, 1, False),
    "before the id is stored": ({"dies_before": "second set"}, 1, False),
    "after the id is stored": ({"dies_after": "second set"}, 1, True),
}


@pytest.mark.parametrize("when", WHEN)
def test_a_worker_that_dies_at_any_moment_costs_one_task_at_most(when: str) -> None:
    dying, created, goes_on = WHEN[when]
    service = Service(**dying.pop("service", {}))
    state = State(**dying)
    with pytest.raises(Killed):
        submit(state, service.create)
    assert service.created == created

    if goes_on:
        assert submit(state, service.create).seeany_task_id == "wtask_1"
        assert service.created == 1
    else:
        with pytest.raises(SeeAnySubmissionUnknown, match="Try 1 was about to create a SeeAny task at") as error:
            submit(state, service.create)
        assert isinstance(error.value, AirflowFailException), "Airflow must not retry it"
        assert service.created == created
        # Nor does a clear, but by an explicit wish.
        with pytest.raises(SeeAnySubmissionUnknown):
            submit(state, service.create, max_tries=3)
        assert service.created == created
        submit(state, service.create, max_tries=3, on_unknown="create")
        assert service.created == created + 1


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_try_that_was_given_up_during_its_budget_check_creates_nothing_beside_the_next_one(has_ended: bool) -> None:
    service = Service()
    state = State(dies_after="second set" if has_ended else "set")

    def check(_: Any) -> None:
        with pytest.raises(Killed):
            submit(state, service.create)

    with nullcontext() if has_ended else pytest.raises(SeeAnySubmissionUnknown):
        submit(state, service.create, check=check)

    assert service.created == int(has_ended)


def test_a_person_who_found_the_task_hands_its_id_over() -> None:
    state, service = State(), Service()
    for handed_over in ("wtask_by_hand", 42):
        state.values[STATE_KEY] = handed_over

        assert submit(state, service.create, max_tries=3).seeany_task_id == str(handed_over)
        assert submit(state, service.create, max_tries=3).seeany_task_id == str(handed_over), "a retry of that"
        assert service.created == 0
    submit(state, service.create, max_tries=4)
    assert service.created == 1, "a later clear is one as any other"


@pytest.mark.parametrize("value", ["", "None", {"v": 1}, [], True, {"began_at": "x", "max_tries": 0, "try_number": 1}])
def test_a_state_that_cannot_be_read_creates_nothing(value: Any) -> None:
    state, service = State(), Service()
    state.values[STATE_KEY] = value

    with pytest.raises(SeeAnySubmissionUnknown, match=STATE_KEY):
        submit(state, service.create, max_tries=3, on_clear="create", on_unknown="create")

    assert service.created == 0


def test_a_state_that_cannot_be_asked_for_or_written_creates_nothing() -> None:
    for operation in ("get", "set"):
        service = Service()
        with pytest.raises(RuntimeError, match=operation):
            submit(State(fails_at=operation), service.create)
        assert service.created == 0


def test_a_refused_request_leaves_nothing_so_that_a_retry_may_try_again() -> None:
    state, service = State(), Service()

    with pytest.raises(SeeAnyNotCreated, match="no credit"):
        submit(state, lambda: service.fail(SeeAnyNotCreated("no credit")))

    assert state.values == {}
    submit(state, service.create)
    assert service.created == 1


def test_an_unclear_end_of_the_request_is_never_retried() -> None:
    state, service = State(), Service()

    with pytest.raises(SeeAnySubmissionUnknown, match="ended with ReadTimeout, so it may exist") as error:
        submit(state, lambda: service.fail(requests.ReadTimeout("sk-secret")))

    assert isinstance(error.value.__cause__, requests.ReadTimeout)
    assert "sk-secret" not in str(error.value)
    with pytest.raises(SeeAnySubmissionUnknown):
        submit(state, service.create)
    assert service.created == 0


def test_who_would_rather_pay_twice_is_retried() -> None:
    state, service, log = State(), Service(), RecordedLog()

    with pytest.raises(requests.ReadTimeout):
        submit(state, lambda: service.fail(requests.ReadTimeout()), on_unknown="create")
    submit(state, service.create, on_unknown="create", log=log)

    assert service.created == 1
    assert "Creating another SeeAny task, besides one that may have been created at" in log.text


RETURNED: dict[str, tuple[dict[str, Any], bool]] = {
    "an error": ({"error": {"code": "no_credit", "message": "余额不足"}}, True),
    "an envelope": ({"code": 1001, "msg": "余额不足", "data": None}, True),
    "a key": ({"code": "401", "msg": "API Key 无效"}, True),
    "busy": ({"code": 1004, "msg": "系统繁忙, 请稍后再试"}, True),
    "too late": ({"code": 1004, "msg": "请求超时"}, False),
    "a fault": ({"code": 500, "msg": ""}, False),
    "a fault in words": ({"code": 1, "msg": "系统异常"}, False),
    "success in the message": ({"code": 1, "msg": "提交成功"}, False),
    "no success": ({"code": 1, "msg": "提交不成功"}, True),
    "success in another word": ({"code": "SUCCESS", "msg": "no"}, False),
    "success in another number": ({"code": 201, "msg": "no"}, False),
    "data that is not understood": ({"code": 10000, "msg": "no", "data": {"order": "x"}}, False),
    "an earlier one": ({"code": 1002, "msg": "任务已存在"}, False),
    "an earlier one, with a status": ({"code": 400, "msg": "The task already exists"}, False),
    "an earlier one, by its code": ({"error": {"code": "DUPLICATE_TASK", "message": "no"}}, False),
    "a message": ({"message": "created"}, False),
    "nothing": ({"code": 0, "data": None}, False),
}


@pytest.mark.parametrize("name", RETURNED)
def test_an_error_that_is_returned_is_a_refusal_if_it_says_so(name: str) -> None:
    returned, is_refused = RETURNED[name]
    state, service = State(), Service()

    with pytest.raises(SeeAnyNotCreated if is_refused else SeeAnySubmissionUnknown):
        submit(state, lambda: returned)

    assert (state.values == {}) == is_refused
    if is_refused:
        submit(state, service.create)
        assert service.created == 1


@pytest.mark.parametrize("on_unknown", ["fail", "create"])
def test_a_response_without_an_id_is_not_paid_for_again(on_unknown: str) -> None:
    state, service = State(), Service()

    with pytest.raises(SeeAnySubmissionUnknown, match="returned an object without an id") as error:
        submit(state, lambda: {"status": "ok", "secret": "hidden"}, on_unknown=on_unknown)

    assert "hidden" not in str(error.value)
    if on_unknown == "fail":
        with pytest.raises(SeeAnySubmissionUnknown):
            submit(state, service.create)


def test_an_id_that_cannot_be_stored_is_in_the_log_and_goes_on() -> None:
    log, service = RecordedLog(), Service()

    assert submit(State(fails_at="second set"), service.create, log=log).seeany_task_id == "wtask_1"

    assert "Created SeeAny task wtask_1" in log.text
    assert "The id of SeeAny task wtask_1 could not be stored" in log.text


def test_a_clear_creates_another_one_and_names_the_first() -> None:
    state, service, log = State(), Service(), RecordedLog()
    submit(state, service.create)

    assert submit(state, service.create, max_tries=3, log=log).seeany_task_id == "wtask_2"
    assert "Creating another SeeAny task, besides wtask_1" in log.text
    assert submit(state, service.create, max_tries=3).seeany_task_id == "wtask_2", "a retry after the clear"


def test_a_clear_that_reuses_does_so_every_time() -> None:
    state, service = State(), Service()

    ids = {submit(state, service.create, max_tries=tries, on_clear="reuse").seeany_task_id for tries in (2, 3, 3, 4)}

    assert ids == {"wtask_1"}


def test_what_is_kept_never_expires_and_has_no_payload() -> None:
    state, service = State(), Service(wait_time=40)
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # since Airflow 3.3

    submit(state, service.create)

    assert state.retentions == {NEVER_EXPIRE}
    assert state.values[STATE_KEY].keys() == {"began_at", "max_tries", "try_number", "seeany_task_id", "wait_time"}


def test_without_a_store_the_log_says_what_cannot_be_promised_and_exceptions_are_judged_all_the_same() -> None:
    log, service = RecordedLog(), Service()

    assert submit(None, service.create, log=log).seeany_task_id == "wtask_1"
    assert log.text.count(NO_STORE) == 1
    with pytest.raises(SeeAnySubmissionUnknown, match="If there is one, wait for it with SeeAnyTaskSensor"):
        submit(None, lambda: service.fail(requests.ReadTimeout()))


def test_a_check_that_refuses_leaves_nothing_and_is_not_made_if_nothing_is_created() -> None:
    state, service, checks = State(), Service(), []

    def refuse(_: Any) -> None:
        checks.append("refused")
        raise AirflowFailException

    with pytest.raises(AirflowFailException):
        submit(state, service.create, check=refuse)
    assert (state.values, service.created) == ({}, 0)
    submit(state, service.create)

    submit(state, service.create, check=refuse)

    assert (len(checks), service.created) == (1, 1)
