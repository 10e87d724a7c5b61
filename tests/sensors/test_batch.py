"""The batch sensor in a worker: what it leaves to the trigger, and what it makes of its event."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome, BatchTimedOut
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import PermanentError
from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured, Refused
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import (
    SeeAnyAuthError,
    SeeAnyBatchFailed,
    SeeAnyConfigError,
    SeeAnyError,
    SeeAnyTaskIdError,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.xcoms.record import BatchCounts, Progress
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from tests.supervisor import Supervisor
from tests.waits import LOST, context


def sensor(ids: Any = ("a", "b"), **more: Any) -> SeeAnyTaskBatchSensor:
    return SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=ids, **more)


def event_of(outcome: BatchOutcome) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.to_builtins(outcome)
    return event


def results(*, completed: int = 0, failed: int = 0, unfinished: int = 0) -> ResultCollector:
    made = ResultCollector([f"v{number}" for number in range(completed + failed + unfinished)])
    for index in range(completed):
        url = f"https://cdn.seeany.com/video/{index}/output.mp4"
        payload = {
            "id": f"v{index}",
            "status": "completed",
            "video_url": url,
            "usage": {"cost": 0.7, "cost_unit": "CNY"},
        }
        made.add(index, SeeAnyTask.from_payload(payload))
    for index in range(completed, completed + failed):
        made.fail(index, "违反内容安全策略")
    return made


@pytest.mark.parametrize("ids", [["a", "b", "a"], '["a", "b"]', "['a', 'b']"], ids=str)
def test_it_leaves_the_wait_to_one_trigger(ids: Any) -> None:
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(
            ids, timeout=100, fail_fast=True, max_requests_per_second=5, poke_interval=7, expected_duration="40"
        ).execute({})

    kwargs = deferred.value.trigger.serialize()[1]
    assert before + 5 <= kwargs.pop("first_poll_at") <= time.time() + 10
    assert before + 100 <= kwargs.pop("deadline") <= time.time() + 100
    assert kwargs == {
        "seeany_task_ids": ["a", "b"],
        "seeany_conn_id": "seeany_default",
        "stored_ids": None,
        "expected_duration": 40,
        "settings": {
            "poll_interval": 7,
            "max_poll_interval": 30,
            "timeout": 100,
            "do_xcom_push": True,
            "accept_partial": True,
            "max_requests_per_second": 5,
            "max_concurrent_requests": 20,
            "fail_fast": True,
            "allow_failures": False,
            "expect_callback": False,
            "callback_poll_interval": 120,
        },
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
        "detail": "full",
        "tasks": [],
        "failures": [],
        "partial": 0,
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
def test_invalid_parameters_are_refused_when_the_dag_file_is_parsed(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fail_fast|max_|interval|timeout"):
        sensor(**bad)


def test_a_result_is_returned_as_plain_json() -> None:
    result = results(completed=2).result()

    returned = sensor().execute_complete({}, event_of(result))

    assert returned == result.as_json()
    assert list(returned) == ["total", "completed", "failed", "cost", "detail", "tasks", "failures", "partial"]


def test_failures_fail_for_good_with_ids_and_reasons() -> None:
    with pytest.raises(SeeAnyBatchFailed) as raised:
        sensor(do_xcom_push=False).execute_complete({}, event_of(results(completed=3, failed=2).result()))

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


def test_fail_fast_says_that_the_others_continue() -> None:
    with pytest.raises(SeeAnyBatchFailed, match="the others continue and may cost money"):
        sensor(fail_fast=True).execute_complete({}, event_of(results(failed=1).result()))


def test_allowed_failures_are_returned() -> None:
    returned = sensor(allow_failures=True).execute_complete({}, event_of(results(completed=1, failed=1).result()))

    assert returned["failures"] == [{"id": "v1", "reason": "违反内容安全策略"}]
    assert [task["id"] for task in returned["tasks"]] == ["v0"]


REFUSED = Refused.of(PermanentError("HTTP 401", http_status=401))
NOTHING = results(unfinished=2).result()

ENDS: list[tuple[BatchOutcome, type[SeeAnyError], str]] = [
    (
        BatchTimedOut(result=results(completed=1200, failed=40, unfinished=3760).result(), last_error="reset"),
        SeeAnyTaskTimeout,
        r"^3 760 of 5 000 SeeAny tasks were not done within 3600 s, 1 240 were. Not done: v1240, v1241, .*v1259 "
        r"and 3 740 others; last error: reset",
    ),
    (BatchTimedOut(result=results(completed=1, unfinished=1).result()), SeeAnyTaskTimeout, "within 3600 s, 1 was. Not"),
    (BatchAborted(why=REFUSED, result=NOTHING), SeeAnyAuthError, r"Request through connection 'seeany_default'"),
    (Misconfigured("no key"), SeeAnyConfigError, "no key"),
    (BatchAborted(why=Misconfigured("no key"), result=NOTHING), SeeAnyConfigError, "no key$"),
    (BadId("bad"), SeeAnyTaskIdError, "bad"),
    (Crashed("why"), SeeAnyError, "The wait for a batch of SeeAny tasks broke off: why"),
    (BatchAborted(why=Crashed("why"), result=NOTHING), SeeAnyError, "The wait for a batch .* broke off: why$"),
]


@pytest.mark.parametrize(("outcome", "kind", "text"), ENDS, ids=lambda value: type(value).__name__)
def test_every_other_end_is_an_exception(outcome: BatchOutcome, kind: type[SeeAnyError], text: str) -> None:
    with pytest.raises(kind, match=text):
        sensor(do_xcom_push=False).execute_complete({}, event_of(outcome))


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("outcome", "options", "state"),
    [
        (results(completed=2, failed=1).result(), {}, "failed"),
        (results(completed=2, failed=1, unfinished=1).result(), {"fail_fast": True}, "failed"),
        (BatchTimedOut(result=results(completed=2, unfinished=1).result()), {}, "timed_out"),
        (BatchAborted(why=REFUSED, result=results(completed=2, unfinished=1).result()), {}, "failed"),
        (BatchAborted(why=Misconfigured("no key"), result=results(completed=2, unfinished=1).result()), {}, "failed"),
        (BatchAborted(why=Crashed("why"), result=results(completed=2, unfinished=1).result()), {}, "failed"),
    ],
    ids=["failed", "fail_fast", "timed out", "refused", "misconfigured", "crashed"],
)
def test_a_batch_that_does_not_succeed_keeps_what_was_paid_and_names_the_xcom(
    outcome: BatchOutcome, options: dict[str, Any], state: str, soft_fail: bool, supervisor: Supervisor
) -> None:
    ctx = context()
    is_retried = isinstance(outcome, BatchAborted) and isinstance(outcome.why, Crashed)
    with pytest.raises((SeeAnyError, AirflowSkipException)) as raised:
        sensor(soft_fail=soft_fail, **options).resume_execution("execute_complete", {"event": event_of(outcome)}, ctx)

    error = raised.value.__cause__ if isinstance(raised.value, AirflowSkipException) else raised.value
    assert isinstance(raised.value, AirflowSkipException) is (soft_fail and not is_retried) or is_retried
    assert "2 were completed; ids, URLs and costs are in the XCom `batch_result` of this task instance" in str(error)
    kept = ctx["ti"].pushed["batch_result"]
    assert [task["id"] for task in kept["tasks"]] == ["v0", "v1"]
    assert [task["video_url"][-12:] for task in kept["tasks"]] == ["0/output.mp4", "1/output.mp4"]
    assert (kept["completed"], kept["cost"]) == (2, {"CNY": 1.4})
    record = supervisor.xcoms[supervisor.xcoms[PROGRESS_KEY]["record"]]
    assert (record["state"], record["cost"], record["batch"]["completed"]) == (state, {"CNY": "1.4"}, 2)


@pytest.mark.parametrize(("completed", "text"), [(1, "1 was completed; "), (2, "2 were completed; ")])
def test_a_count_has_its_verb(completed: int, text: str) -> None:
    with pytest.raises(SeeAnyBatchFailed, match=text):
        sensor().execute_complete(context(), event_of(results(completed=completed, failed=1).result()))


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"completed": 300, "failed": 1}, "ids, URLs and costs are in the XCom"),
        ({"completed": 1500, "failed": 1}, "ids and total cost are in the XCom"),
        ({"completed": 9000, "failed": 1}, "available by id: all ids but its `failures` and `unfinished`"),
        ({"completed": 9000, "failed": 900}, "the total cost is in the XCom .*, results stay available by id"),
    ],
)
def test_the_error_names_what_does_not_fit(counts: dict[str, int], text: str) -> None:
    with pytest.raises(SeeAnyBatchFailed, match=text):
        sensor().execute_complete(context(), event_of(results(**counts).result()))


class ElsewhereXCom(BaseXCom):
    """An XCom backend that leaves a reference in the database."""


@pytest.mark.parametrize("count", [2, 300, 1500, 9000])
@pytest.mark.parametrize(("backend", "is_on_tab"), [(BaseXCom, True), (ElsewhereXCom, False)])
def test_the_tab_is_named_only_where_it_shows_the_results(
    backend: type[BaseXCom], is_on_tab: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", f"{backend.__module__}.{backend.__qualname__}")
    with pytest.raises(SeeAnyBatchFailed) as raised:
        sensor().execute_complete(context(), event_of(results(completed=count, failed=1).result()))

    assert "in the XCom `batch_result` of this task instance" in str(raised.value)
    assert ("on its tab SeeAny" in str(raised.value)) is is_on_tab


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_batch_without_an_event_keeps_the_spend_that_was_known(soft_fail: bool, supervisor: Supervisor) -> None:
    progress = Progress(conn_id="c", at=1, batch=BatchCounts(total=5, completed=2, failed=1), cost={"CNY": "1.4"})
    supervisor.xcoms[PROGRESS_KEY] = msgspec.to_builtins(progress)

    with pytest.raises((SeeAnyTaskTimeout, AirflowSkipException)):
        sensor(soft_fail=soft_fail).resume_execution(*LOST, context())

    key = supervisor.xcoms[PROGRESS_KEY]["record"]
    record = supervisor.xcoms[key]
    assert (record["state"], record["cost"], record["batch"]) == (
        "timed_out",
        {"CNY": "1.4"},
        {"total": 5, "completed": 2, "failed": 1},
    )
    assert key.endswith(":CNY=1.4")


@pytest.mark.parametrize(
    "before", [None, 7, {"conn_id": "c", "at": 1}, {"record": "x"}, {"cost": {"CNY": "1"}}], ids=str
)
def test_a_batch_that_published_nothing_is_on_record_without_spend(before: object, supervisor: Supervisor) -> None:
    supervisor.xcoms[PROGRESS_KEY] = before
    with pytest.raises(SeeAnyTaskTimeout):
        sensor().resume_execution(*LOST, context())

    record = supervisor.xcoms[supervisor.xcoms[PROGRESS_KEY]["record"]]
    assert (record["state"], record.get("cost"), record.get("batch")) == ("timed_out", None, None)


def test_what_a_batch_reported_is_not_mixed_up_with_what_it_had_published_before(supervisor: Supervisor) -> None:
    progress = Progress(conn_id="c", at=1, batch=BatchCounts(total=3, completed=1), cost={"CNY": "0.7"})
    supervisor.xcoms[PROGRESS_KEY] = msgspec.to_builtins(progress)
    outcome = BatchTimedOut(result=results(completed=2, unfinished=1).result())
    with pytest.raises(SeeAnyTaskTimeout):
        sensor().resume_execution("execute_complete", {"event": event_of(outcome)}, context())

    record = supervisor.xcoms[supervisor.xcoms[PROGRESS_KEY]["record"]]
    assert (record["cost"], record["batch"]) == ({"CNY": "1.4"}, {"total": 3, "completed": 2})


def test_nothing_is_kept_of_a_success_or_where_nothing_has_ended_or_xcoms_are_off() -> None:
    waits = [
        (sensor(), results(completed=1).result()),
        (sensor(allow_failures=True), results(completed=1, failed=1).result()),
        (sensor(), BatchTimedOut(result=NOTHING)),
        (sensor(do_xcom_push=False), results(completed=1, failed=1).result()),
    ]
    for waiting, outcome in waits:
        ctx = context()
        with suppress(SeeAnyError):
            waiting.execute_complete(ctx, event_of(outcome))
        assert ctx["ti"].pushed == {}


def test_a_result_that_airflow_refuses_changes_nothing_about_the_failure() -> None:
    ctx = context()

    def refuse(key: str, value: Any) -> None:
        raise OSError("the api-server is away")

    ctx["ti"].xcom_push = refuse
    with pytest.raises(SeeAnyBatchFailed, match="their results stay available by their ids"):
        sensor().execute_complete(ctx, event_of(results(completed=2, failed=1).result()))


def test_an_event_of_another_version_is_named() -> None:
    with pytest.raises(SeeAnyError, match="same version of airflow-provider-seeany"):
        sensor().execute_complete({}, {"type": "later"})


def test_a_deferral_that_airflow_ended_names_the_triggerer() -> None:
    assert str(sensor().worker_part.deferral_timed_out()).startswith(
        "2 of 2 SeeAny tasks were not done within 3600 s, 0 were; last error: the triggerer did not report in time"
    )
