"""The worker's part of the wait for a batch: makes its trigger, and turns the trigger's event into a result."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.xcom import resolve_xcom_backend

from airflow_provider_seeany.api.batch_result import (
    MAX_RESULT_BYTES,
    BatchOutcome,
    BatchResult,
    BatchTimedOut,
    decode_batch_outcome,
    result_in,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.expected_duration import expected_seconds
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_ids
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.callback.batch import BatchCallbacks
from airflow_provider_seeany.exceptions import SeeAnyTaskIdError, SeeAnyTaskTimeout
from airflow_provider_seeany.outcomes import batch_result, batch_timeout
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from airflow_provider_seeany.triggers.stored_ids import StoredIds, must_be_stored
from airflow_provider_seeany.wait.deferral import NO_REPORT, decode_event, first_poll_at, log_callback_expected
from airflow_provider_seeany.xcoms.record import BatchCounts, Progress


class BatchWait:
    """
    The wait for a batch, as far as it happens in a worker. Its timeout starts here.

    :param seeany_task_ids: the tasks to wait for, whatever a template rendered to.
    :param expected_duration: the same of the seconds that each should take.
    """

    def __init__(
        self,
        *,
        seeany_task_ids: object,
        seeany_conn_id: str,
        settings: BatchSettings,
        log: Log,
        expected_duration: object = None,
    ) -> None:
        self._seeany_task_ids = seeany_task_ids
        self._seeany_conn_id = seeany_conn_id
        self.settings = settings
        self._log = log
        self._expected_duration = expected_duration
        self._deadline = time.time() + settings.timeout

    def ids(self) -> list[str]:
        """Return the ids to wait for, each once, or raise ``SeeAnyTaskIdError``."""
        try:
            return checked_task_ids(self._seeany_task_ids)
        except BadTaskId as error:
            raise SeeAnyTaskIdError(str(error)) from None

    def trigger(self, ids: list[str], context: Mapping[str, Any]) -> SeeAnyTaskBatchTrigger:
        """Return the trigger that continues the wait; very many ids are stored, and callbacks noted, beside it."""
        if self.settings.expect_callback:
            BatchCallbacks(context["ti"], seeany_conn_id=self._seeany_conn_id).register(ids)
            log_callback_expected(self._log, poll_interval=self.settings.callback_poll_interval, is_batch=True)
        stored_ids = StoredIds.of(context["ti"]) if must_be_stored(ids) else None
        if stored_ids is not None:
            stored_ids.store(ids)
        return SeeAnyTaskBatchTrigger(
            seeany_task_ids=ids if stored_ids is None else [],
            stored_ids=None if stored_ids is None else msgspec.to_builtins(stored_ids),
            seeany_conn_id=self._seeany_conn_id,
            settings=msgspec.to_builtins(self.settings),
            deadline=self._deadline,
            # As late as a first poll may be: if all have ended by now, it fires at once, and a scheduler under load can
            # be that late to note the deferral.
            first_poll_at=first_poll_at(math.inf, self._deadline),
            expected_duration=expected_seconds(self._expected_duration, self._log),
        )

    def delete_beside_trigger(self, task_instance: Any) -> None:
        """Delete what was stored beside the trigger, which has ended."""
        StoredIds.of(task_instance).delete()
        if self.settings.expect_callback:
            BatchCallbacks(task_instance, seeany_conn_id=self._seeany_conn_id).delete()

    def progress(self, ids: Sequence[str]) -> Progress:
        """Return what the UI shows until the trigger has polled."""
        return Progress.of_wait(
            self._seeany_conn_id,
            at=time.time(),
            began=self._deadline - self.settings.timeout,
            deadline=self._deadline,
            percent=0,
            batch=BatchCounts(total=len(ids)),
        )

    def outcome(self, event: Mapping[str, Any]) -> BatchOutcome:
        """Return the outcome that the trigger reported."""
        return decode_event(decode_batch_outcome, event, about="a batch of SeeAny tasks")

    def partial_result(self, outcome: BatchOutcome) -> BatchResult | None:
        """Return what a batch that did not succeed has completed, if any of its tasks has ended."""
        result = result_in(outcome)
        is_success = isinstance(outcome, BatchResult) and (self.settings.allow_failures or not outcome.failed)
        return None if result is None or is_success or not result.done else result

    def result(self, outcome: BatchOutcome, *, kept: str = "") -> dict[str, Any]:
        """
        Return the result of a success, and log what it lacks; raise ``SeeAnyError`` for any other end.

        :param kept: where the partial result is kept, for an exception's text.
        """
        result = batch_result(outcome, self.settings, seeany_conn_id=self._seeany_conn_id, kept=kept)
        if result.detail != "full":
            self._log.warning(
                "The responses of %s completed tasks are too large for an XCom (more than %d KB), so it holds %s. "
                "The whole results stay available by id: SeeAnyTaskResultOperator or SeeAnyHook.get_task",
                format_count(result.completed),
                MAX_RESULT_BYTES // 1024,
                _content(result),
            )
        if result.partial:
            self._log.warning(
                "Completed tasks with a partial result, of which some files failed: %s", format_count(result.partial)
            )
        for failure in result.failures:
            self._log.warning("SeeAny task %s failed: %s", sanitize(failure.id), failure.reason)
        if result.failed > len(result.failures):
            self._log.warning("%s more failed", format_count(result.failed - len(result.failures)))
        return result.as_json()

    def deferral_timed_out(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        # Which of the tasks have ended is not known.
        nothing = msgspec.structs.replace(ResultCollector(self.ids()).result(), unfinished=[])
        return batch_timeout(BatchTimedOut(result=nothing, last_error=NO_REPORT), timeout=self.settings.timeout)


def where_kept(result: BatchResult, xcom_key: str) -> str:
    """Return where the XCom with this key leads a user to the completed tasks of a batch that did not succeed."""
    where = f"in the XCom `{xcom_key}` of this task instance"
    # The tab cannot read what a custom XCom backend leaves in the database.
    if resolve_xcom_backend() is BaseXCom:
        where += " and on its tab SeeAny"
    if result.detail != "totals":
        return f"ids, URLs and costs are {where}"
    if result.completed_ids:
        return f"ids and total cost are {where}, results stay available by id"
    if len(result.failures) == result.failed and len(result.unfinished) == result.total - result.done:
        return f"the total cost is {where}, results stay available by id: all ids but its `failures` and `unfinished`"
    return f"the total cost is {where}, results stay available by id"


def _content(result: BatchResult) -> str:
    if result.detail == "table":
        return "a table of ids, URLs and costs"
    return "totals, failures and ids only" if result.completed_ids else "totals and failures only"
