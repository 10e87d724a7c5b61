"""The batch sensor in a worker: what it leaves to the trigger, and what it makes of what that reports."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_seeany.api.batch_result import BatchOutcome, BatchTimedOut, Results
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.trouble import Kind, Trouble
from airflow_provider_seeany.api.wait import BadId, Crashed, Misconfigured, Refused
from airflow_provider_seeany.exceptions import (
    SeeAnyAuthError,
    SeeAnyBatchFailed,
    SeeAnyConfigError,
    SeeAnyError,
    SeeAnyTaskIdError,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor


def sensor(ids: Any = ("a", "b"), **more: Any) -> SeeAnyTaskBatchSensor:
    return SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=ids, **more)


def event_of(outcome: BatchOutcome) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.to_builtins(outcome)
    return event


def results(*, completed: int = 0, failed: int = 0) -> Results:
    made = Results([f"v{number}" for number in range(completed + failed)])
    for place in range(completed):
        url = f"https://cdn.seeany.com/video/{place}/output.mp4"
        answer = {
            "id": f"v{place}",
            "status": "completed",
            "video_url": url,
            "usage": {"cost": 0.7, "cost_unit": "CNY"},
        }
        made.add(place, SeeAnyTask.from_answer(answer))
    for place in range(completed, completed + failed):
        made.fail(place, "违反内容安全策略")
    return made


@pytest.mark.parametrize("ids", [["a", "b", "a"], '["a", "b"]', "['a', 'b']"], ids=str)
def test_it_leaves_the_wait_to_one_trigger(ids: Any) -> None:
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(ids, timeout=100, fail_fast=True, max_requests_per_second=5, poke_interval=7).execute({})

    kwargs = deferred.value.trigger.serialize()[1]
    assert before + 5 <= kwargs.pop("first_look_at") <= time.time() + 10
    assert before + 100 <= kwargs.pop("deadline") <= time.time() + 100
    assert kwargs == {
        "seeany_task_ids": ["a", "b"],
        "seeany_conn_id": "seeany_default",
        "poll_interval": 7,
        "max_poll_interval": 30,
        "max_requests_per_second": 5,
        "max_concurrent_requests": 20,
        "fail_fast": True,
        "timeout": 100,
        "do_xcom_push": True,
    }
    assert deferred.value.timeout is not None
    assert deferred.value.timeout.total_seconds() > 100 + 60


@pytest.mark.parametrize("ids", [[], "[]"], ids=str)
def test_an_empty_list_succeeds_at_once(ids: Any) -> None:
    assert sensor(ids).execute({}) == {
        "total": 0,
        "completed": 0,
        "failed": 0,
        "cost": {},
        "detail": "answers",
        "tasks": [],
        "failures": [],
    }


@pytest.mark.parametrize("ids", [["a", None], "{{ x }}", ["a"] * 10_001], ids=["None", "template", "too many"])
def test_bad_ids_fail_for_good_in_the_worker(ids: Any) -> None:
    with pytest.raises(SeeAnyTaskIdError) as raised:
        sensor(ids).execute({})

    assert isinstance(raised.value, AirflowFailException)


def test_soft_fail_makes_bad_ids_a_skip() -> None:
    with pytest.raises(AirflowSkipException):
        sensor(["a", ""], soft_fail=True).execute({})


@pytest.mark.parametrize(
    "bad",
    [
        {"fail_fast": True, "allow_failures": True},
        {"max_requests_per_second": 0},
        {"max_concurrent_requests": 0},
        {"poke_interval": 0},
        {"max_poll_interval": -1},
        {"timeout": 0},
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_told_when_the_dag_is_read(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fail_fast|max_|interval|timeout"):
        sensor(**bad)


def test_a_result_is_returned_as_plain_json() -> None:
    result = results(completed=2).result()

    returned = sensor().execute_complete({}, event_of(result))

    assert returned == result.as_json()
    assert list(returned) == ["total", "completed", "failed", "cost", "detail", "tasks", "failures"]


def test_failures_fail_for_good_with_ids_and_reasons() -> None:
    with pytest.raises(SeeAnyBatchFailed) as raised:
        sensor().execute_complete({}, event_of(results(completed=3, failed=2).result()))

    assert isinstance(raised.value, AirflowFailException)
    assert str(raised.value) == (
        "2 of 5 SeeAny tasks failed. 3 were completed; their results stay available by their ids.\n"
        "  v3: 违反内容安全策略\n"
        "  v4: 违反内容安全策略"
    )
    assert [failure.id for failure in raised.value.result.failures] == ["v3", "v4"]


def test_thousands_of_failures_give_a_text_that_can_be_read() -> None:
    with pytest.raises(SeeAnyBatchFailed) as raised:
        sensor().execute_complete({}, event_of(results(failed=5000).result()))

    assert "5 000 of 5 000 SeeAny tasks failed" in str(raised.value)
    assert str(raised.value).endswith("  and 4 900 others")


def test_fail_fast_says_that_the_others_go_on() -> None:
    with pytest.raises(SeeAnyBatchFailed, match="the other tasks go on, and may cost money"):
        sensor(fail_fast=True).execute_complete({}, event_of(results(failed=1).result()))


def test_allowed_failures_are_returned() -> None:
    returned = sensor(allow_failures=True).execute_complete({}, event_of(results(completed=1, failed=1).result()))

    assert returned["failures"] == [{"id": "v1", "reason": "违反内容安全策略"}]
    assert [task["id"] for task in returned["tasks"]] == ["v0"]


ENDS: list[tuple[BatchOutcome, type[SeeAnyError], str]] = [
    (
        BatchTimedOut(total=5000, done=1240, unfinished=[f"v{number}" for number in range(20)], last_trouble="reset"),
        SeeAnyTaskTimeout,
        r"^3 760 of 5 000 SeeAny tasks were not done within 3600 s, 1 240 were. Not done: v0, v1, .*v19 "
        r"and 3 740 others; last trouble: reset",
    ),
    (
        Refused(Trouble(kind=Kind.PERMANENT, text="HTTP 401", http_status=401)),
        SeeAnyAuthError,
        r"Asked through connection 'seeany_default'",
    ),
    (Misconfigured("no key"), SeeAnyConfigError, "no key"),
    (BadId("bad"), SeeAnyTaskIdError, "bad"),
    (Crashed("why"), SeeAnyError, "The wait for a batch of SeeAny tasks broke off: why"),
]


@pytest.mark.parametrize(("outcome", "kind", "told"), ENDS, ids=lambda value: type(value).__name__)
def test_every_other_end_is_an_exception(outcome: BatchOutcome, kind: type[SeeAnyError], told: str) -> None:
    with pytest.raises(kind, match=told):
        sensor().execute_complete({}, event_of(outcome))


def test_an_event_of_another_version_is_told() -> None:
    with pytest.raises(SeeAnyError, match="same version of airflow-provider-seeany"):
        sensor().execute_complete({}, {"type": "later"})


def test_a_deferral_that_airflow_ended_asks_whether_a_triggerer_runs() -> None:
    assert str(sensor().unreported()).startswith(
        "2 of 2 SeeAny tasks were not done within 3600 s, 0 were; last trouble: the triggerer did not report in time"
    )
