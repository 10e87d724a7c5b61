"""The wait for a batch, as far as it happens in a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
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
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_ids
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.exceptions import (
    SeeAnyTaskIdError,
    SeeAnyTaskTimeout,
    batch_result,
    batch_timeout,
)
from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger
from airflow_provider_seeany.triggers.stored_ids import StoredIds, must_be_stored
from airflow_provider_seeany.wait.deferral import SILENCE, decode_event, first_poll_at
from airflow_provider_seeany.wait.start_from_trigger import defer_timeout


class BatchWait:
    """
    The wait for a batch, as far as it happens in a worker: what to leave to the trigger, and what came of it.

    :param seeany_task_ids: the tasks to wait for, whatever a template made of them.
    :param seeany_conn_id: the connection to ask through.
    :param interval: seconds between two questions about a task while nothing better is known.
    :param max_interval: most seconds between two questions about a task.
    :param max_requests_per_second: most questions in a second.
    :param max_concurrent_requests: most questions under way at once.
    :param fail_fast: end at the first failure.
    :param allow_failures: take a result with failures for a success.
    :param timeout: seconds after which to give up, counted from here.
    :param log: the log of the Airflow task.
    :param do_xcom_push: whether the Airflow task pushes XComs.
    """

    def __init__(
        self,
        *,
        seeany_task_ids: object,
        seeany_conn_id: str,
        interval: float,
        max_interval: float,
        max_requests_per_second: float,
        max_concurrent_requests: int,
        fail_fast: bool,
        allow_failures: bool,
        timeout: float,
        log: Log,
        do_xcom_push: bool = True,
    ) -> None:
        self._seeany_task_ids = seeany_task_ids
        self._seeany_conn_id = seeany_conn_id
        self._interval = interval
        self._max_interval = max_interval
        self._max_requests_per_second = max_requests_per_second
        self._max_concurrent_requests = max_concurrent_requests
        self._fail_fast = fail_fast
        self._allow_failures = allow_failures
        self._timeout = timeout
        self._do_xcom_push = do_xcom_push
        self._log = log
        self._deadline = time.time() + timeout

    def ids(self) -> list[str]:
        """
        Return the ids to wait for, each once.

        :raises SeeAnyTaskIdError: if they are no list of ids.
        """
        try:
            return checked_task_ids(self._seeany_task_ids)
        except BadTaskId as error:
            raise SeeAnyTaskIdError(str(error)) from None

    def nothing(self) -> dict[str, Any]:
        """Return the result of waiting for no task."""
        return ResultCollector([]).result().as_json()

    def trigger(self, ids: list[str], context: Mapping[str, Any]) -> SeeAnyTaskBatchTrigger:
        """
        Return the trigger that does the waiting; very many ids are stored beside it.

        :param ids: the tasks to wait for.
        :param context: the context of the Airflow task.
        """
        stored_ids = StoredIds.of(context["ti"]) if must_be_stored(ids) else None
        if stored_ids is not None:
            stored_ids.store(ids)
        return SeeAnyTaskBatchTrigger(
            seeany_task_ids=ids if stored_ids is None else [],
            stored_ids=None if stored_ids is None else msgspec.to_builtins(stored_ids),
            seeany_conn_id=self._seeany_conn_id,
            poll_interval=self._interval,
            max_poll_interval=self._max_interval,
            max_requests_per_second=self._max_requests_per_second,
            max_concurrent_requests=self._max_concurrent_requests,
            fail_fast=self._fail_fast,
            deadline=self._deadline,
            timeout=self._timeout,
            # As soon as may be: of some thousand tasks, some have ended by now.
            first_poll_at=first_poll_at(0, self._deadline),
            do_xcom_push=self._do_xcom_push,
        )

    @property
    def defer_timeout(self) -> timedelta:
        """The time limit for Airflow to set on the deferral."""
        return defer_timeout(self._timeout)

    def reported(self, event: Mapping[str, Any]) -> BatchOutcome:
        """
        Return what the trigger reported.

        :raises SeeAnyError: if that cannot be understood.
        """
        return decode_event(decode_batch_outcome, event, about="a batch of SeeAny tasks")

    def partial_result(self, outcome: BatchOutcome) -> BatchResult | None:
        """Return what a batch that did not succeed has brought all the same, if any of its tasks has ended."""
        result = result_in(outcome)
        is_success = isinstance(outcome, BatchResult) and (self._allow_failures or not outcome.failed)
        return None if result is None or is_success or not result.done else result

    def concluded(self, outcome: BatchOutcome, *, kept: str = "") -> dict[str, Any]:
        """
        Return the result of a success, and say in the log what it lacks.

        :param outcome: what the trigger reported.
        :param kept: where what an unsuccessful batch has brought is kept, for a person.
        :raises SeeAnyError: for any other end, also a result with failures that are not allowed.
        """
        result = batch_result(
            outcome,
            seeany_conn_id=self._seeany_conn_id,
            timeout=self._timeout,
            fail_fast=self._fail_fast,
            allow_failures=self._allow_failures,
            kept=kept,
        )
        if result.detail != "full":
            self._log.warning(
                "The answers of %s completed tasks are too much for an XCom (more than %d KB), so it holds %s. "
                "The whole results stay available by id: SeeAnyTaskResultOperator or SeeAnyHook.get_task",
                format_count(result.completed),
                MAX_RESULT_BYTES // 1024,
                _content(result),
            )
        for failure in result.failures:
            self._log.warning("SeeAny task %s failed: %s", sanitize(failure.id), failure.reason)
        if result.failed > len(result.failures):
            self._log.warning("%s more failed", format_count(result.failed - len(result.failures)))
        return result.as_json()

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        # Which of them are done, nobody knows.
        nothing = msgspec.structs.replace(ResultCollector(self.ids()).result(), unfinished=[])
        return batch_timeout(BatchTimedOut(result=nothing, last_error=SILENCE), timeout=self._timeout)


def kept_in(result: BatchResult, xcom_key: str) -> str:
    """
    Say where the completed tasks of a batch that did not succeed are found.

    :param result: what the batch has brought.
    :param xcom_key: the key of the XCom that holds it.
    """
    where = f"in the XCom `{xcom_key}` of this task instance"
    # What a custom XCom backend leaves in the database is its own; the tab can make nothing of it.
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
