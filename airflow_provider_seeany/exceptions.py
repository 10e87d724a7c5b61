"""
Every exception a user can meet.

What another try cannot mend is an ``AirflowFailException``, so that Airflow never retries it, and so that a sensor's
``soft_fail`` treats it alike in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
)

from airflow_provider_seeany.api.batch_result import BatchResult, Failure
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, PermanentError, PicklableException
from airflow_provider_seeany.api.snapshot import MAX_RESULT_URL
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize, truncate, were

MAX_FAILURES_SHOWN = 100  # maximum failures of a batch or a download that an exception's text lists
MAX_FILES_SHOWN = 20  # maximum result URLs that the text of a partial failure lists


class SeeAnyError(PicklableException, AirflowException):
    """Base of all exceptions of this provider."""

    kind = "broke_off"
    """Under which the UI has words for it."""

    numbers: Mapping[str, float] = MappingProxyType({})
    """What those words count."""


class SeeAnyConfigError(SeeAnyError, AirflowFailException):
    """The Airflow connection or a parameter cannot be used. Never retried; the text says what to change."""

    kind = "bad_config"


class SeeAnyConnectionNotFound(SeeAnyError, AirflowNotFoundException):
    """
    The Airflow connection was not found. Retried as the task's ``retries`` say.

    Airflow reports a secrets backend that is down, or an unparsable connection, in the same way.
    """

    kind = "no_connection"


class SeeAnyTaskIdError(SeeAnyError, AirflowFailException, ValueError):
    """The given value cannot be a task's id. Never retried; no request was made."""

    kind = "bad_id"


class SeeAnyTaskFailed(SeeAnyError, AirflowFailException):
    """
    SeeAny reported that ``task`` failed. Never retried, as the same id would fail again.

    With ``accept_partial=False`` the failure may be partial: then ``task.is_partial``, and ``task.result_urls`` holds
    the files that were made.
    """

    def __init__(self, task: SeeAnyTask) -> None:
        text = f"SeeAny task {sanitize(task.id)} failed: {task.failure_reason}"
        if task.is_partial:
            shown = task.result_urls[:MAX_FILES_SHOWN]
            lines = [sanitize(url, limit=MAX_RESULT_URL) for url in shown]
            if others := len(task.result_urls) - len(shown):
                lines.append(f"and {format_count(others)} others")
            text += "\n  ".join([". accept_partial is off, so it has no result. Made were:", *lines])
        super().__init__(text)
        self.task = task


class SeeAnyBatchFailed(SeeAnyError, AirflowFailException):
    """
    Tasks of a batch failed, or are unknown to SeeAny. Never retried, as the same ids would fail again.

    :param result: the result of the batch; ``result.failures`` holds ids and reasons.
    :param fail_fast: whether the first failure ended the wait.
    :param kept: where the completed results are kept, for a person.
    """

    kind = "batch_failed"

    def __init__(self, result: BatchResult, *, fail_fast: bool, kept: str = "") -> None:
        shown = result.failures[:MAX_FAILURES_SHOWN]
        lines = [f"  {sanitize(failure.id, limit=100)}: {failure.reason}" for failure in shown]
        if result.failed > len(shown):
            lines.append(f"  and {format_count(result.failed - len(shown))} others")
        ended = " fail_fast ended the wait at the first; the others continue and may cost money." if fail_fast else ""
        super().__init__(
            f"{format_count(result.failed)} of {format_count(result.total)} SeeAny tasks failed.{ended} "
            f"{completed_text(result, kept)}\n" + "\n".join(lines)
        )
        self.result = result
        self.numbers = {"failed": result.failed, "total": result.total}


def completed_text(result: BatchResult, kept: str) -> str:
    """Describe the completed tasks of a batch that did not succeed."""
    completed = f"{format_count(result.completed)} {were(result.completed)} completed"
    if not result.completed:
        return f"{completed}."
    one, many = "its result stays available by its id", "their results stay available by their ids"
    return f"{completed}; {kept or (one if result.completed == 1 else many)}."


class SeeAnyTaskTimeout(SeeAnyError, AirflowSensorTimeout):
    """
    The task had not ended within ``timeout``. Never retried; the text has the last progress.

    :param numbers: the seconds of ``timeout``; of a batch also how many of its tasks had not ended, and of how many.
    """

    kind = "timed_out"

    result_url: str | None = None
    """A result URL in the last response, under an unknown status."""

    def __init__(self, text: str, **numbers: float) -> None:
        super().__init__(text)
        self.numbers = numbers


class SeeAnyTaskNotReady(SeeAnyError):
    """The task is still running and ``wait_for_completion`` is off. Retried as the task's ``retries`` say."""

    kind = "not_ready"


class SeeAnyApiError(SeeAnyError):
    """A request brought no usable response. Retried as the task's ``retries`` say; subclasses may not be."""

    kind = "request_failed"

    was_not_carried_out = False
    """Of a POST: certainly, so that sending it again cannot pay twice. A GET tells nothing of a POST before it."""

    def __init__(self, text: str, error: ApiError) -> None:
        super().__init__(text)
        self.http_status = error.http_status  # None if there was no response
        self.numbers = {} if error.http_status is None else {"http_status": error.http_status}
        self.error_code = error.code  # the service's own, like its message
        self.server_message = error.message
        self.request_id = error.request_id  # for the platform's support


class SeeAnyRequestError(SeeAnyApiError, AirflowFailException):
    """SeeAny refused the request (HTTP 4xx). Never retried."""

    kind = "request_refused"


class SeeAnyAuthError(SeeAnyRequestError):
    """SeeAny refused the API key (HTTP 401 or 403)."""

    kind = "key_refused"


class SeeAnyTaskNotFound(SeeAnyRequestError):
    """SeeAny does not know the task (HTTP 404 or 410)."""

    kind = "not_found"


class SeeAnyResponseError(SeeAnyApiError):
    """The response is invalid; the text shows its beginning. Retried as the task's ``retries`` say."""

    kind = "invalid_response"


class SeeAnyRepeatedResponseError(SeeAnyResponseError, AirflowFailException):
    """The response was invalid several times in a row, which ended a wait. Never retried."""


class SeeAnyNotCreated(SeeAnyError):
    """No task was created; also for a ``create`` callable to raise. Retried as the task's ``retries`` say."""

    kind = "not_created"


class SeeAnyBudgetExceeded(SeeAnyError, AirflowFailException):
    """Another task would exceed the budget of the day. Never retried; the text has what was spent."""

    kind = "budget_exceeded"


class SeeAnyBudgetUnknown(SeeAnyError):
    """The api-server did not say what was spent. Retried as the task's ``retries`` say; nothing was created."""

    kind = "budget_unknown"


class SeeAnySubmissionUnknown(SeeAnyError, AirflowFailException):
    """Nobody can tell whether a task was created, so no other one is. Never retried; the text says how to go on."""

    kind = "submission_unknown"


class SeeAnyDownloadError(SeeAnyError):
    """
    Some files could not be stored; ``failures`` lists them. All others were stored.

    Retried as the task's ``retries`` say, and then only for the files that are not there yet.

    :param failures: ids of SeeAny tasks, and for each file that failed, which one it is and why.
    """

    def __init__(self, failures: list[Failure], *, stored: int) -> None:
        shown = failures[:MAX_FAILURES_SHOWN]
        lines = [f"  {sanitize(failure.id, limit=100)}: {failure.reason}" for failure in shown]
        if len(failures) > len(shown):
            lines.append(f"  and {format_count(len(failures) - len(shown))} others")
        downloads = "1 download" if len(failures) == 1 else f"{format_count(len(failures))} downloads"
        files = "1 file" if stored == 1 else f"{format_count(stored)} files"
        super().__init__(
            f"{downloads} failed; {files} {were(stored)} stored, and will not be fetched again:\n" + "\n".join(lines)
        )
        self.failures = failures


class SeeAnyDownloadRefused(SeeAnyDownloadError, AirflowFailException):
    """Some files could not be stored, and another try would fail alike: too large, a private address. Never retried."""


def api_error(error: ApiError, *, seeany_conn_id: str, seeany_task_id: str | None = None) -> SeeAnyApiError:
    """Return the exception for a failed request."""
    about = f" for task {truncate(seeany_task_id)!r}" if seeany_task_id is not None else ""
    request = f"Request{about} through connection {truncate(seeany_conn_id)!r}."
    if error.refuses_key:
        return SeeAnyAuthError(f"{error}. {request} Check that connection's API Key (its password).", error)
    if error.http_status in (404, 410) and seeany_task_id is not None:
        return SeeAnyTaskNotFound(
            f"{error}. {request} Check the id, that the key belongs to the account that created the task, and the "
            "connection's API (api in its extra).",
            error,
        )
    if isinstance(error, PermanentError):
        return SeeAnyRequestError(f"{error}. {request}", error)
    if isinstance(error, InvalidResponseError):
        hint = "" if error.message else " Check its Base URL (host) and its API (api in its extra)."
        return SeeAnyResponseError(f"{error}. {request}{hint}", error)
    return SeeAnyApiError(f"{error}. {request}", error)
