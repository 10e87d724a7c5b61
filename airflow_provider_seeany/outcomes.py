"""Turns the outcome of a wait into a task or a batch's result, or raises the exception that it means."""

from __future__ import annotations

from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome, BatchResult, BatchTimedOut
from airflow_provider_seeany.api.outcome import BadId, Crashed, Finished, Misconfigured, Outcome, Refused, TimedOut
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.snapshot import MAX_RESULT_URL
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize, truncate, were
from airflow_provider_seeany.exceptions import (
    SeeAnyBatchFailed,
    SeeAnyConfigError,
    SeeAnyError,
    SeeAnyRepeatedResponseError,
    SeeAnyResponseError,
    SeeAnyTaskFailed,
    SeeAnyTaskIdError,
    SeeAnyTaskTimeout,
    api_error,
    completed_text,
)

MAX_UNFINISHED_IDS = 20  # maximum ids that the text of a batch's timeout names


def completed_task(
    outcome: Outcome, *, seeany_task_id: str, seeany_conn_id: str, timeout: float, accept_partial: bool = True
) -> SeeAnyTask:
    """
    Return the completed task of an outcome.

    :raises SeeAnyError: for any other outcome.
    """
    match outcome:
        case Finished(payload):
            task = SeeAnyTask.from_payload(payload)
            if not task.is_success(accept_partial=accept_partial):
                raise SeeAnyTaskFailed(task)
            return task
        case TimedOut():
            raise task_timeout(outcome, seeany_task_id=seeany_task_id, timeout=timeout)
        case _:
            about = f"SeeAny task {sanitize(truncate(seeany_task_id))}"
            raise _outcome_error(outcome, about=about, seeany_task_id=seeany_task_id, seeany_conn_id=seeany_conn_id)


def batch_result(outcome: BatchOutcome, settings: BatchSettings, *, seeany_conn_id: str, kept: str = "") -> BatchResult:
    """
    Return the result of a batch's outcome.

    :raises SeeAnyError: for any other outcome.
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
            error = _outcome_error(why, about=about, seeany_conn_id=seeany_conn_id)
            if result.completed:
                error.args = (f"{error} {completed_text(result, kept)}",)
            raise error
        case _:
            raise _outcome_error(outcome, about=about, seeany_conn_id=seeany_conn_id)


def _outcome_error(
    outcome: Refused | Misconfigured | BadId | Crashed,
    *,
    about: str,
    seeany_conn_id: str,
    seeany_task_id: str | None = None,
) -> SeeAnyError:
    match outcome:
        case Refused():
            reason = outcome.error()
            error = api_error(reason, seeany_task_id=seeany_task_id, seeany_conn_id=seeany_conn_id)
            if isinstance(error, SeeAnyResponseError):
                return SeeAnyRepeatedResponseError(str(error), reason)
            return error
        case Misconfigured(text):
            return SeeAnyConfigError(text)
        case BadId(text):
            return SeeAnyTaskIdError(text)
        case Crashed(text):
            return SeeAnyError(f"The wait for {about} broke off: {text}")


def batch_timeout(outcome: BatchTimedOut, *, timeout: float, kept: str = "") -> SeeAnyTaskTimeout:
    """Return the exception for a batch whose deadline passed."""
    result = outcome.result
    left = result.total - result.done
    shown = result.unfinished[:MAX_UNFINISHED_IDS]
    others = left - len(shown)
    ids = ", ".join(sanitize(truncate(seeany_task_id)) for seeany_task_id in shown)
    more = f" and {format_count(others)} others" if others and ids else ""
    last_error = f"; last error: {outcome.last_error}" if outcome.last_error else ""
    looked_ended = ", ".join(sanitize(truncate(seeany_task_id)) for seeany_task_id in outcome.looked_ended)
    ended = (
        f"The last responses for {looked_ended} had a result URL, or a status that reads like an end: they may "
        "well have ended. The others "
        if looked_ended
        else "They "
    )
    return SeeAnyTaskTimeout(
        f"{format_count(left)} of {format_count(result.total)} SeeAny tasks were not done within {timeout:g} s, "
        f"{format_count(result.done)} {were(result.done)}{f'. Not done: {ids}{more}' if ids else ''}{last_error}. "
        f"{ended}may still finish and cost money. To wait longer, raise timeout and clear the task."
        f"{f' {completed_text(result, kept)}' if result.completed else ''}",
        left=left,
        total=result.total,
        seconds=timeout,
    )


def task_timeout(outcome: TimedOut, *, seeany_task_id: str, timeout: float) -> SeeAnyTaskTimeout:
    """Return the exception for a wait whose deadline passed."""
    last_error = f"; last error: {outcome.last_error}" if outcome.last_error else ""
    about = f"SeeAny task {sanitize(truncate(str(seeany_task_id)))}"
    seen = f"last seen: {outcome.last_snapshot or 'nothing'}{last_error}"
    had = ""
    if outcome.result_url is not None:
        had = f"had the result URL {sanitize(outcome.result_url, limit=MAX_RESULT_URL)}"
    elif outcome.had_result:
        had = "had a result URL, which is too long for this text"
    if not had and not outcome.looks_ended:
        return SeeAnyTaskTimeout(
            f"{about} was not done within {timeout:g} s; {seen}. "
            "It may still finish and cost money. To wait longer, raise timeout and clear the task.",
            seconds=timeout,
        )
    has = "has a status that reads like an end, but is unknown to this provider" if outcome.looks_ended else ""
    error = SeeAnyTaskTimeout(
        f"{about} did not reach a known final status within {timeout:g} s, but its last response "
        f"{' and '.join(filter(None, (had, has)))}; {seen}. "
        "It may well have ended and been paid: look at it on the platform before you create it again. "
        "To wait longer, raise timeout and clear the task.",
        seconds=timeout,
    )
    error.kind = "timed_out_unclear"
    error.result_url = outcome.result_url
    return error
