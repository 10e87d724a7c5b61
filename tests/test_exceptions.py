"""Every end of a wait, the exception that says so, and whether Airflow retries it."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
)

import airflow_provider_seeany
from airflow_provider_seeany import exceptions, outcomes
from airflow_provider_seeany.api.batch_result import BatchResult, BatchTimedOut, Failure
from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.outcome import (
    BadId,
    Crashed,
    Finished,
    Misconfigured,
    Outcome,
    Refused,
    TimedOut,
)
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyAuthError,
    SeeAnyConfigError,
    SeeAnyConnectionNotFound,
    SeeAnyError,
    SeeAnyNotCreated,
    SeeAnyRepeatedResponseError,
    SeeAnyRequestError,
    SeeAnyResponseError,
    SeeAnySubmissionUnknown,
    SeeAnyTaskFailed,
    SeeAnyTaskIdError,
    SeeAnyTaskNotFound,
    SeeAnyTaskNotReady,
    SeeAnyTaskTimeout,
    api_error,
)
from airflow_provider_seeany.outcomes import completed_task, task_timeout
from airflow_provider_seeany.xcoms.record import Record
from tests.hostile import COMPLETED, FAILED, VIDEO


def refused(kind: type[ApiError], status: int | None = None, **fields: Any) -> Refused:
    """Return the outcome of a wait that an error ended."""
    return Refused.of(kind("SeeAny refused", http_status=status, **fields))


def is_retried(kind: type[BaseException]) -> bool:
    """Return whether Airflow makes another try after an exception."""
    return not issubclass(kind, AirflowFailException | AirflowSensorTimeout)


ENDS: dict[str, tuple[Outcome, type[SeeAnyError], list[str]]] = {
    "failed": (
        Finished(FAILED),
        SeeAnyTaskFailed,
        [VIDEO, "生成内容违反内容安全策略 (content_policy_violation)"],
    ),
    "failed without a reason": (Finished({"id": "x", "status": "failed"}), SeeAnyTaskFailed, ["x", "without a reason"]),
    "timed out": (
        TimedOut(last_snapshot="processing 65 %", last_error="HTTP 502"),
        SeeAnyTaskTimeout,
        ["task x ", "90 s", "processing 65 %", "HTTP 502", "raise timeout"],
    ),
    "timed out, but the video is there": (
        TimedOut(last_snapshot="delivered", result_url="https://h/v"),
        SeeAnyTaskTimeout,
        ["task x ", "had the result URL https://h/v;", "last seen: delivered", "may well have ended"],
    ),
    "timed out, but it reads like an end": (
        TimedOut(last_snapshot="done", looks_ended=True),
        SeeAnyTaskTimeout,
        ["task x ", "a status that reads like an end", "last seen: done", "may well have ended"],
    ),
    "timed out, nothing seen": (TimedOut(), SeeAnyTaskTimeout, ["task x ", "last seen: nothing."]),
    "401": (refused(PermanentError, 401), SeeAnyAuthError, ["'x'", "'studio'", "API Key"]),
    "403": (refused(PermanentError, 403), SeeAnyAuthError, ["'x'", "'studio'", "API Key"]),
    "404": (refused(PermanentError, 404), SeeAnyTaskNotFound, ["'x'", "'studio'", "Check the id"]),
    "410": (refused(PermanentError, 410), SeeAnyTaskNotFound, ["'x'", "'studio'", "Check the id"]),
    "400": (refused(PermanentError, 400), SeeAnyRequestError, ["'x'", "'studio'"]),
    "302": (refused(PermanentError, 302), SeeAnyRequestError, ["'x'", "'studio'"]),
    "invalid response": (
        refused(InvalidResponseError, 200),
        SeeAnyRepeatedResponseError,
        ["'x'", "'studio'", "Base URL", "api in its extra"],
    ),
    "an error of its own": (
        refused(InvalidResponseError, 200, code="10001", message="忙"),
        SeeAnyRepeatedResponseError,
        ["'x'", "'studio'"],
    ),
    "misconfigured": (Misconfigured("connection 'studio' has no API key"), SeeAnyConfigError, ["'studio'"]),
    "bad id": (BadId("'None' cannot be an id"), SeeAnyTaskIdError, ["'None'"]),
    "crashed": (Crashed("RuntimeError: odd"), SeeAnyError, ["task x ", "RuntimeError: odd"]),
}
RETRIED = {"crashed"}
TIME_OUTS = {name for name in ENDS if name.startswith("timed out")}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_of_a_wait_has_its_exception_which_names_what_it_is_about(name: str) -> None:
    outcome, kind, says = ENDS[name]

    with pytest.raises(SeeAnyError) as error:
        completed_task(outcome, seeany_task_id="x", seeany_conn_id="studio", timeout=90)

    assert type(error.value) is kind
    for part in says:
        assert part in str(error.value)
    assert is_retried(kind) == (name in RETRIED)
    assert issubclass(kind, AirflowSensorTimeout) == (name in TIME_OUTS)
    assert issubclass(kind, AirflowFailException) == (name not in RETRIED | TIME_OUTS)


def test_a_completed_task_is_no_exception() -> None:
    task = completed_task(Finished(COMPLETED), seeany_task_id=VIDEO, seeany_conn_id="studio", timeout=90)

    assert task.usage.cost == 0.7


@pytest.mark.parametrize("count", [1, 20, 5000])
def test_a_partial_failure_lists_the_first_files_and_has_all_of_them(count: int) -> None:
    urls = [f"https://h/{number}.jpg?{'x' * 8000 if number else ''}" for number in range(count)]
    payload = {"id": "x", "status": "partial_failed", "images": urls, "error": {"message": "不足\n"}}

    with pytest.raises(SeeAnyTaskFailed) as error:
        completed_task(Finished(payload), seeany_task_id="x", seeany_conn_id="studio", timeout=90, accept_partial=False)

    text = str(error.value)
    head, *lines = text.split("\n  ")
    assert f"{count}{' was' if count == 1 else ' were'} made: 不足." in head.replace(" 000", "000")
    assert "accept_partial is off" in head
    assert lines[0] == urls[0]
    assert ("and 4 980 others" in lines) == (count == 5000)
    assert len(text) < 100_000
    assert error.value.task.result_urls == tuple(urls)


def test_a_base_url_is_not_suspected_where_the_service_itself_has_spoken() -> None:
    with pytest.raises(SeeAnyRepeatedResponseError) as error:
        completed_task(ENDS["an error of its own"][0], seeany_task_id="x", seeany_conn_id="studio", timeout=90)

    assert "Base URL" not in str(error.value)
    assert (error.value.error_code, error.value.server_message) == ("10001", "忙")


ONE_REQUEST: dict[str, tuple[ApiError, type[SeeAnyApiError], bool]] = {
    "401": (PermanentError("refused", http_status=401), SeeAnyAuthError, False),
    "404": (PermanentError("refused", http_status=404), SeeAnyTaskNotFound, False),
    "400": (PermanentError("refused", http_status=400), SeeAnyRequestError, False),
    "429": (ThrottledError("refused", http_status=429), SeeAnyApiError, True),
    "500": (TransientError("refused", http_status=500), SeeAnyApiError, True),
    "unreachable": (TransientError("refused"), SeeAnyApiError, True),
    "invalid response": (InvalidResponseError("refused", http_status=200), SeeAnyResponseError, True),
}


@pytest.mark.parametrize("name", ONE_REQUEST)
def test_one_request_without_a_response_is_retried_unless_it_was_refused(name: str) -> None:
    what, kind, retried = ONE_REQUEST[name]

    error = api_error(what, seeany_conn_id="studio", seeany_task_id="x")

    assert type(error) is kind
    assert is_retried(kind) == retried
    assert "task 'x'" in str(error)
    assert "'studio'" in str(error)
    assert error.http_status == what.http_status


def test_an_endpoint_that_is_not_there_is_no_missing_task() -> None:
    assert type(api_error(PermanentError("refused", http_status=404), seeany_conn_id="studio")) is SeeAnyRequestError


@pytest.mark.parametrize(
    ("kind", "retried"),
    [
        (SeeAnyError, True),
        (SeeAnyConnectionNotFound, True),
        (SeeAnyTaskNotReady, True),
        (SeeAnyNotCreated, True),
        (SeeAnySubmissionUnknown, False),
        (SeeAnyApiError, True),
        (SeeAnyResponseError, True),
        (SeeAnyRepeatedResponseError, False),
        (SeeAnyConfigError, False),
        (SeeAnyTaskIdError, False),
        (SeeAnyTaskFailed, False),
        (SeeAnyTaskTimeout, False),
        (SeeAnyRequestError, False),
        (SeeAnyAuthError, False),
        (SeeAnyTaskNotFound, False),
    ],
)
def test_what_airflow_retries_is_as_documented(kind: type[SeeAnyError], retried: bool) -> None:
    assert is_retried(kind) == retried


def test_everything_that_is_raised_can_be_caught_as_one() -> None:
    own = [
        kind for kind in vars(exceptions).values() if isinstance(kind, type) and kind.__module__ == exceptions.__name__
    ]

    assert len(own) == 20
    assert all(issubclass(kind, SeeAnyError) and issubclass(kind, AirflowException) for kind in own)


def test_exceptions_are_what_airflow_and_python_users_expect() -> None:
    assert issubclass(SeeAnyConnectionNotFound, AirflowNotFoundException)
    assert issubclass(SeeAnyTaskIdError, ValueError)


def test_a_reason_of_the_service_cannot_forge_a_log_line() -> None:
    payload = {"id": "x", "status": "failed", "error": {"code": "a\nb", "message": "no\r\nERROR forged\x1b[2J"}}

    with pytest.raises(SeeAnyTaskFailed) as error:
        completed_task(Finished(payload), seeany_task_id="x", seeany_conn_id="studio", timeout=90)

    assert str(error.value).isprintable()


def test_a_timeout_that_holds_a_result_does_not_call_the_task_unfinished() -> None:
    error = task_timeout(TimedOut(last_snapshot="done", result_url="https://h/v"), seeany_task_id="x", timeout=60)

    assert "may still finish" not in str(error)
    assert "not done" not in str(error)
    record = Record.of_error(error, conn_id="c", seeany_task_id="x")
    assert (record.state, record.first_result, record.results) == ("timed_out", "https://h/v", 1)
    assert "https://h/v" in str(record.error_message)


# Exceptions travel: between processes, and as copies.


def own_exceptions() -> list[type[Exception]]:
    """Return every exception class of this package, wherever it is, so that a new one is tried as well."""
    for module in pkgutil.walk_packages(airflow_provider_seeany.__path__, f"{airflow_provider_seeany.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[Exception]] = []
    todo: list[type[Exception]] = [Exception]
    while todo:
        for kind in todo.pop().__subclasses__():
            if kind not in found:
                todo.append(kind)
                found.append(kind)
    return sorted(
        (kind for kind in found if kind.__module__.startswith(airflow_provider_seeany.__name__)),
        key=lambda kind: kind.__name__,
    )


TASK = SeeAnyTask.from_payload({**FAILED, "completed_at": 1748908920, "nested": {"a": [1, "中"]}})
ERROR_FIELDS: dict[str, Any] = {
    "http_status": 401,
    "code": "7",
    "message": "密钥",
    "request_id": "req_1",
    "retry_after": 3.0,
    "is_web_page": True,
}
BATCH = BatchResult(
    total=2,
    completed=1,
    failed=1,
    cost={"CNY": 0.7},
    detail="full",
    tasks=[COMPLETED],
    failures=[Failure("vid", "nothing")],
)
WORTH: dict[str, object] = {
    "task": TASK,
    "error": PermanentError("refused", **ERROR_FIELDS),
    **ERROR_FIELDS,
    "was_not_carried_out": True,
    "result": BATCH,
    "fail_fast": True,
    "text": "生成 failed",
    "kept": "2 were completed.",
    "failures": [Failure("vid", "video: HTTP 403")],
    "stored": 2,
}
"""What an exception's arguments may be, by their names."""


def made(kind: type[Exception]) -> Exception:
    """Make an exception by its signature, with a note and an attribute that were added later."""
    # An exception without an __init__ of its own has no signature, and takes a text.
    has_own = inspect.isfunction(kind.__init__)
    parameters = list(inspect.signature(kind).parameters.values()) if has_own else []
    placed = [WORTH[each.name] for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    named = {each.name: WORTH[each.name] for each in parameters if each.kind is each.KEYWORD_ONLY}
    error = kind(*(placed or [WORTH["text"]]), **named)
    error.add_note("a note")
    error.more = {"a": (1, 2)}  # type: ignore[attr-defined]
    return error


WAYS: dict[str, Callable[[Any], Any]] = {
    **{
        f"pickle {protocol}": (lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "twice": lambda error: copy.deepcopy(pickle.loads(pickle.dumps(copy.copy(error)))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", own_exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_travels_with_its_text_and_all_it_carries(kind: type[Exception], way: str) -> None:
    error = made(kind)

    again = WAYS[way](error)

    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert repr(again) == repr(error)


@pytest.mark.parametrize("way", WAYS)
def test_the_cause_travels_along_if_it_can(way: str) -> None:
    error = SeeAnyTaskFailed(TASK)
    error.__cause__ = ValueError("deeper")
    hidden = SeeAnyTaskFailed(TASK)
    hidden.__suppress_context__ = True
    stays = SeeAnyTaskFailed(TASK)
    stays.__cause__ = type("Local", (Exception,), {})("which no other process knows")

    assert repr(WAYS[way](error).__cause__) == "ValueError('deeper')"
    assert WAYS[way](hidden).__suppress_context__
    assert str(WAYS[way](stays)) == str(stays)


def fail_in_another_process(kind: type[Exception] | None) -> str:
    """Fail as a DAG's own pool of processes would see it, or not."""
    if kind is None:
        return "a result"
    raise made(kind)


def test_a_pool_of_processes_outlives_every_exception() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        failing = {kind: pool.submit(fail_in_another_process, kind) for kind in own_exceptions()}
        working = pool.submit(fail_in_another_process, None)
        for kind, future in failing.items():
            error = future.exception(timeout=120)
            assert type(error) is kind
            assert str(error) == str(made(kind))
        assert working.result(timeout=120) == "a result"


@pytest.mark.parametrize(
    "task_id", ["sk-marked-0123456789abcdef", "s\u200bk-marked-0123456789abcdef", "SK_MARKED0123456789"]
)
def test_a_key_in_place_of_a_task_id_does_not_show(task_id: str) -> None:
    unknown = PermanentError("no such task", http_status=404)
    result = BatchResult(
        total=1, completed=0, failed=0, cost={}, detail="totals", tasks=[], failures=[], unfinished=[task_id]
    )
    for error in (
        task_timeout(TimedOut(), seeany_task_id=task_id, timeout=5),
        task_timeout(TimedOut(result_url="https://h/v"), seeany_task_id=task_id, timeout=5),
        outcomes.batch_timeout(BatchTimedOut(result=result, looked_ended=[task_id]), timeout=5),
        exceptions.api_error(unknown, seeany_conn_id="c", seeany_task_id=task_id),
    ):
        assert "0123456789" not in str(error)
    with pytest.raises(SeeAnyError) as crash:
        outcomes.completed_task(Crashed("x"), seeany_task_id=task_id, seeany_conn_id="c", timeout=5)
    assert "0123456789" not in str(crash.value)
