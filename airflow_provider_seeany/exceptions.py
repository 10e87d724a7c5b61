"""
Every exception a user can meet, and the one mapping from what a wait ended with to the exception that says so.

What cannot succeed by trying again is an ``AirflowFailException``, so that Airflow never retries it, and so
that a sensor's ``soft_fail`` treats it alike in every mode.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
)

from airflow_provider_seeany.api.batch_result import (
    BatchAborted,
    BatchOutcome,
    BatchResult,
    BatchTimedOut,
)
from airflow_provider_seeany.api.errors import Kind, PicklableException, Trouble
from airflow_provider_seeany.api.outcome import (
    BadId,
    Crashed,
    Finished,
    Misconfigured,
    Outcome,
    Refused,
    TimedOut,
)
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.snapshot import MAX_RESULT_URL
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize, truncate, were

MAX_FAILURES_SHOWN = 100
"""Most failures of a batch that an exception's text lists."""

MAX_UNFINISHED_IDS = 20
"""Most ids that the text of a batch's time-out names."""


class SeeAnyError(PicklableException, AirflowException):
    """Base of everything this provider raises."""


class SeeAnyConfigError(SeeAnyError, AirflowFailException):
    """The Airflow connection or what was asked for cannot be used. Never retried; the text says what to change."""


class SeeAnyConnectionNotFound(SeeAnyError, AirflowNotFoundException):
    """
    The Airflow connection was not found. Retried as the task's ``retries`` say.

    Airflow reports a secrets backend that is down, or a connection that cannot be parsed, in the same way.
    """


class SeeAnyTaskIdError(SeeAnyError, AirflowFailException, ValueError):
    """The given value cannot be a task's id. Never retried; no request was made."""


class SeeAnyTaskFailed(SeeAnyError, AirflowFailException):
    """
    SeeAny reported that the task failed. Never retried: the same id would fail for ever.

    :param task: the service's answer, with ``error.code`` and ``error.message``.
    """

    def __init__(self, task: SeeAnyTask) -> None:
        super().__init__(f"SeeAny task {sanitize(task.id)} failed: {task.failure_reason}")
        self.task = task


class SeeAnyBatchFailed(SeeAnyError, AirflowFailException):
    """
    Tasks of a batch failed, or are not known to SeeAny. Never retried: the same ids would fail for ever.

    :param result: what the batch ended with; ``result.failures`` holds ids and reasons.
    :param fail_fast: whether the first failure ended the wait.
    :param kept: where that result is kept, for a person.
    """

    def __init__(self, result: BatchResult, *, fail_fast: bool, kept: str = "") -> None:
        shown = result.failures[:MAX_FAILURES_SHOWN]
        lines = [f"  {sanitize(failure.id, limit=100)}: {failure.reason}" for failure in shown]
        if result.failed > len(shown):
            lines.append(f"  and {format_count(result.failed - len(shown))} others")
        ended = (
            " fail_fast ended the wait at the first; the other tasks go on, and may cost money." if fail_fast else ""
        )
        super().__init__(
            f"{format_count(result.failed)} of {format_count(result.total)} SeeAny tasks failed.{ended} "
            f"{_what_is_left(result, kept)}\n" + "\n".join(lines)
        )
        self.result = result


def _what_is_left(result: BatchResult, kept: str) -> str:
    """Say what became of the completed tasks of a batch that did not succeed."""
    completed = f"{format_count(result.completed)} {were(result.completed)} completed"
    if not result.completed:
        return f"{completed}."
    one, many = "its result stays available by its id", "their results stay available by their ids"
    return f"{completed}; {kept or (one if result.completed == 1 else many)}."


class SeeAnyTaskTimeout(SeeAnyError, AirflowSensorTimeout):
    """The task had not ended within ``timeout``. Never retried; the text tells the last progress seen."""

    result_url: str | None = None
    """A result URL that the last answer about the task had, under a status that is no end."""


class SeeAnyTaskNotReady(SeeAnyError):
    """The task is still running and ``wait_for_completion`` is off. Retried as the task's ``retries`` say."""


class SeeAnyApiError(SeeAnyError):
    """
    A question brought no answer. Retried as the task's ``retries`` say; subclasses are not.

    :param text: what happened.
    :param trouble: the details.
    """

    def __init__(self, text: str, trouble: Trouble) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.http_status = trouble.http_status
        """HTTP status of the response, ``None`` if there was no response."""
        self.error_code = trouble.code
        """The service's own error code."""
        self.server_message = trouble.message
        """The service's own message."""
        self.request_id = trouble.request_id
        """The service's id of the request; name it when asking the platform's support."""


class SeeAnyRequestError(SeeAnyApiError, AirflowFailException):
    """SeeAny refused the question for good (HTTP 4xx). Never retried."""


class SeeAnyAuthError(SeeAnyRequestError):
    """SeeAny refused the API key (HTTP 401 or 403)."""


class SeeAnyTaskNotFound(SeeAnyRequestError):
    """SeeAny does not know the task (HTTP 404 or 410)."""


class SeeAnyResponseError(SeeAnyApiError):
    """What came back is no SeeAny answer; the text shows how it begins. Retried as the task's ``retries`` say."""


class SeeAnyRepeatedResponseError(SeeAnyResponseError, AirflowFailException):
    """What came back was no SeeAny answer several times in a row, so a wait believed it. Never retried."""


def completed_task(outcome: Outcome, *, seeany_task_id: str, seeany_conn_id: str, timeout: float) -> SeeAnyTask:
    """
    Return the completed task that a wait ended with, or raise the exception for any other end.

    :param outcome: what the wait ended with.
    :param seeany_task_id: the task waited for.
    :param seeany_conn_id: the connection asked through.
    :param timeout: the seconds that the wait was given.
    """
    match outcome:
        case Finished(payload):
            task = SeeAnyTask.from_payload(payload)
            if task.is_failed:
                raise SeeAnyTaskFailed(task)
            return task
        case TimedOut():
            raise task_timeout(outcome, seeany_task_id=seeany_task_id, timeout=timeout)
        case _:
            about = f"SeeAny task {sanitize(truncate(seeany_task_id))}"
            raise _wait_error(outcome, about=about, seeany_task_id=seeany_task_id, seeany_conn_id=seeany_conn_id)


def batch_result(outcome: BatchOutcome, settings: BatchSettings, *, seeany_conn_id: str, kept: str = "") -> BatchResult:
    """
    Return the result that the wait for a batch ended with, or raise the exception for any other end.

    :param outcome: what the wait ended with.
    :param seeany_conn_id: the connection asked through.
    :param kept: where what was completed is kept, for a person.
    """
    about = "a batch of SeeAny tasks"
    match outcome:
        case BatchResult(failed=failed) if failed and not settings.allow_failures:
            raise SeeAnyBatchFailed(outcome, fail_fast=settings.fail_fast, kept=kept)
        case BatchResult():
            return outcome
        case BatchTimedOut():
            raise batch_timeout(outcome, timeout=settings.timeout, kept=kept)
        case BatchAborted(why=why, result=result):
            error = _wait_error(why, about=about, seeany_conn_id=seeany_conn_id)
            if result.completed:
                error.args = (f"{error} {_what_is_left(result, kept)}",)
            raise error
        case _:
            raise _wait_error(outcome, about=about, seeany_conn_id=seeany_conn_id)


def _wait_error(
    outcome: Refused | Misconfigured | BadId | Crashed,
    *,
    about: str,
    seeany_conn_id: str,
    seeany_task_id: str | None = None,
) -> SeeAnyError:
    match outcome:
        case Refused(trouble):
            error = api_error(trouble, seeany_task_id=seeany_task_id, seeany_conn_id=seeany_conn_id)
            if isinstance(error, SeeAnyResponseError):
                return SeeAnyRepeatedResponseError(str(error), trouble)
            return error
        case Misconfigured(text):
            return SeeAnyConfigError(text)
        case BadId(text):
            return SeeAnyTaskIdError(text)
        case Crashed(text):
            return SeeAnyError(f"The wait for {about} broke off: {text}")


def batch_timeout(outcome: BatchTimedOut, *, timeout: float, kept: str = "") -> SeeAnyTaskTimeout:
    """
    Return the exception for a batch whose time was up.

    :param outcome: how far it was.
    :param timeout: the seconds that the wait was given.
    :param kept: where what was completed is kept, for a person.
    """
    result = outcome.result
    left = result.total - result.done
    shown = result.unfinished[:MAX_UNFINISHED_IDS]
    others = left - len(shown)
    ids = ", ".join(sanitize(truncate(seeany_task_id)) for seeany_task_id in shown)
    more = f" and {format_count(others)} others" if others and ids else ""
    trouble = f"; last trouble: {outcome.last_trouble}" if outcome.last_trouble else ""
    looked_ended = ", ".join(sanitize(truncate(seeany_task_id)) for seeany_task_id in outcome.looked_ended)
    ended = (
        f"The last answers about {looked_ended} had a result URL, or a status that reads like an end: they may "
        "well have ended. The others "
        if looked_ended
        else "They "
    )
    return SeeAnyTaskTimeout(
        f"{format_count(left)} of {format_count(result.total)} SeeAny tasks were not done within {timeout:g} s, "
        f"{format_count(result.done)} {were(result.done)}{f'. Not done: {ids}{more}' if ids else ''}{trouble}. "
        f"{ended}may still finish and cost money. To wait longer, raise timeout and clear the task."
        f"{f' {_what_is_left(result, kept)}' if result.completed else ''}"
    )


def task_timeout(outcome: TimedOut, *, seeany_task_id: str, timeout: float) -> SeeAnyTaskTimeout:
    """
    Return the exception for a wait whose time was up.

    :param outcome: what was last seen.
    :param seeany_task_id: the task waited for.
    :param timeout: the seconds that the wait was given.
    """
    trouble = f"; last trouble: {outcome.last_trouble}" if outcome.last_trouble else ""
    about = f"SeeAny task {sanitize(truncate(str(seeany_task_id)))}"
    seen = f"last seen: {outcome.last_snapshot or 'nothing'}{trouble}"
    had = ""
    if outcome.result_url is not None:
        had = f"had the result URL {sanitize(outcome.result_url, limit=MAX_RESULT_URL)}"
    elif outcome.had_result:
        had = "had a result URL, which is too long to be named here"
    if not had and not outcome.looks_ended:
        return SeeAnyTaskTimeout(
            f"{about} was not done within {timeout:g} s; {seen}. "
            "It may still finish and cost money. To wait longer, raise timeout and clear the task."
        )
    read = (
        "has a status that reads like an end, which is not one that this provider knows" if outcome.looks_ended else ""
    )
    error = SeeAnyTaskTimeout(
        f"{about} did not reach a status that is known as an end within {timeout:g} s, but its last answer "
        f"{' and '.join(filter(None, (had, read)))}; {seen}. "
        "It may well have ended and been paid: look at it on the platform before you create it again. "
        "To wait longer, raise timeout and clear the task."
    )
    error.result_url = outcome.result_url
    return error


def api_error(trouble: Trouble, *, seeany_conn_id: str, seeany_task_id: str | None = None) -> SeeAnyApiError:
    """
    Return the exception for a question that brought no answer.

    :param trouble: what went wrong.
    :param seeany_conn_id: the connection asked through.
    :param seeany_task_id: the task asked for, if it was one.
    """
    about = f" about task {truncate(seeany_task_id)!r}" if seeany_task_id is not None else ""
    asked = f"Asked{about} through connection {truncate(seeany_conn_id)!r}."
    if trouble.refuses_key:
        return SeeAnyAuthError(f"{trouble}. {asked} Check that connection's API Key (its password).", trouble)
    if trouble.http_status in (404, 410) and seeany_task_id is not None:
        return SeeAnyTaskNotFound(
            f"{trouble}. {asked} Check the id, and that the key belongs to the account that created the task.",
            trouble,
        )
    if trouble.kind is Kind.PERMANENT:
        return SeeAnyRequestError(f"{trouble}. {asked}", trouble)
    if trouble.kind is Kind.INVALID_RESPONSE:
        hint = "" if trouble.message else " Check its Base URL (host)."
        return SeeAnyResponseError(f"{trouble}. {asked}{hint}", trouble)
    return SeeAnyApiError(f"{trouble}. {asked}", trouble)
