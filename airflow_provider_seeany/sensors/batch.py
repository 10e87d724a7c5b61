"""The batch sensor: one Airflow task that waits for up to 10 000 SeeAny tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseSensorOperator, PokeReturnValue

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.wait.base import BaseSeeAnyOperator, interval_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_seeany.api.batch_result import BatchResult
    from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout
    from airflow_provider_seeany.wait.batch import BatchWait


class SeeAnyTaskBatchSensor(BaseSeeAnyOperator, BaseSensorOperator):
    """
    Waits until many SeeAny tasks have ended: one task instance and one trigger for up to 10 000 of them.

    It always waits in the triggerer, so there is no ``deferrable``; a triggerer has to run. Its questions, of all
    tasks together, keep to a pace. When a triggerer is restarted, it asks about each task again.

    ``return_value`` is one JSON object. An id that is asked for twice counts once::

        {
            "total": 5000,
            "completed": 4997,
            "failed": 3,
            "cost": {"CNY": 3497.9},          by currency, "?" where the answer names none
            "detail": "full",              what "tasks" holds, see below
            "tasks": [{"id": …}, …],          the completed tasks, in the order asked
            "failures": [{"id": …, "reason": …}, …]
        }

    It never has more than 48 KB, so that any of Airflow's databases takes it. ``detail`` says how much fits:

    - ``full``: the whole answers, as :class:`~airflow_provider_seeany.sensors.task.SeeAnyTaskSensor` returns them;
      enough for some 140 videos
    - ``table``: of each completed task ``id``, ``video_url`` (or, if it has none, ``result_url``, the first result),
      ``cost`` and ``cost_unit``, what the answer lacks left out; enough for some 350
    - ``totals``: ``tasks`` is empty; ``completed_ids`` lists the completed ones, if all fit: some 2 000 ids of 20
      characters. The log says how to get the results, which stay available by their ids

    A failed task, and one that SeeAny refuses to tell about, such as an id it does not know, raises
    ``SeeAnyBatchFailed`` with ids and reasons, by default after all have ended. A refused key ends the wait at once
    (``SeeAnyAuthError``), a time-out names the tasks that are not done (``SeeAnyTaskTimeout``). None of them is
    retried, and ``soft_fail`` makes each of them a skip. What was completed by then is not lost: the XCom
    ``batch_result`` of the task instance has the shape of ``return_value`` and holds it, together with ``unfinished``,
    the ids that had not ended; the tab *SeeAny* shows it. Passing faults do not end the wait. While the service is down
    as a whole, it asks about one task at a time, less and less often, and at full pace as soon as it is answered.

    More ids than fit into a trigger's arguments on MySQL (32 KB, some 1 300 ids of 20 characters) are kept in the XCom
    ``_seeany_ids`` of the task instance while it waits, with ``do_xcom_push=False`` too.

    :param seeany_task_ids: the ids: a list, an XComArg, or a template that renders to a list as JSON or as a Python
        literal. An empty list succeeds at once.
    :param seeany_conn_id: the connection to ask through (templated).
    :param fail_fast: fail at the first failure, instead of waiting for the other tasks.
    :param allow_failures: succeed also if tasks failed; ``failures`` tells which, and why.
    :param max_requests_per_second: most questions in a second, about all tasks together.
    :param max_concurrent_requests: most questions under way at once.
    :param poke_interval: seconds between two questions about a task while nothing better is known.
    :param max_poll_interval: most seconds between two questions about a task; see
        :class:`~airflow_provider_seeany.sensors.task.SeeAnyTaskSensor`. Both can be longer at
        ``max_requests_per_second``: 10 000 tasks at 50 a second are asked about every 200 s.
    :param timeout: seconds after which to give up; what is left is then asked about once more, for a minute at most.
        The SeeAny tasks go on, and may still cost money.
    """

    template_fields: Sequence[str] = ("seeany_task_ids", "seeany_conn_id")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        seeany_task_ids: Sequence[str] | str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        fail_fast: bool = False,
        allow_failures: bool = False,
        max_requests_per_second: float = 50,
        max_concurrent_requests: int = 20,
        poke_interval: timedelta | float = 10,
        max_poll_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=interval_seconds(poke_interval, name="poke_interval"),
            timeout=interval_seconds(timeout, name="timeout"),
            **kwargs,
        )
        if fail_fast and allow_failures:
            raise ValueError("fail_fast and allow_failures contradict each other: choose one")
        if not max_requests_per_second > 0:
            raise ValueError(f"max_requests_per_second must be above 0, got {max_requests_per_second!r}")
        if not max_concurrent_requests >= 1:
            raise ValueError(f"max_concurrent_requests must be at least 1, got {max_concurrent_requests!r}")
        self.seeany_task_ids = seeany_task_ids
        self.seeany_conn_id = seeany_conn_id
        self.fail_fast = fail_fast
        self.allow_failures = allow_failures
        self.max_requests_per_second = max_requests_per_second
        self.max_concurrent_requests = max_concurrent_requests
        self.max_poll_interval = interval_seconds(max_poll_interval, name="max_poll_interval")

    @cached_property
    def batch_wait(self) -> BatchWait:
        """The part of the wait that happens in this process. Its time starts when it is first used."""
        from airflow_provider_seeany.wait.batch import BatchWait

        return BatchWait(
            seeany_task_ids=self.seeany_task_ids,
            seeany_conn_id=self.seeany_conn_id,
            interval=self.poke_interval,
            max_interval=self.max_poll_interval,
            max_requests_per_second=self.max_requests_per_second,
            max_concurrent_requests=self.max_concurrent_requests,
            fail_fast=self.fail_fast,
            allow_failures=self.allow_failures,
            timeout=self.timeout,
            log=self.log,
            do_xcom_push=self.do_xcom_push,
        )

    def execute(self, context: Context) -> Any:
        """Check the ids and defer."""
        with self.failure_on_record(context):
            try:
                # The base class applies soft_fail and never_fail to what the ids are found to be.
                return super().execute(context)
            except AirflowSkipException as skip:
                self.log_skip(skip.__cause__)
                raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Leave for the triggerer, unless there is nothing to wait for."""
        ids = self.batch_wait.ids()
        if not ids:
            return PokeReturnValue(is_done=True, xcom_value=self._delivered(context, self.batch_wait.nothing()))
        self.defer(
            trigger=self.batch_wait.trigger(ids, context),
            method_name="execute_complete",
            timeout=self.batch_wait.defer_timeout,
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral, however it ended; nobody needs the ids beside the trigger any more."""
        from airflow_provider_seeany.triggers.stored_ids import StoredIds

        try:
            StoredIds.of(context["ti"]).delete()
        except Exception:
            self.log.warning("The stored ids of this batch could not be deleted", exc_info=True)
        return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on in a worker with what the trigger reported."""
        outcome = self.batch_wait.reported(event)
        self.partial_result = self.batch_wait.partial_result(outcome)
        kept = self._keep_partial_result(context, self.partial_result) if self.partial_result else ""
        return self._delivered(context, self.batch_wait.concluded(outcome, kept=kept))

    def _keep_partial_result(self, context: Context, result: BatchResult) -> str:
        """Push what an unsuccessful batch has brought, as it returns nothing, and say where it is then."""
        if not self.do_xcom_push:
            return ""
        from airflow_provider_seeany.wait.batch import kept_in
        from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY

        try:
            context["ti"].xcom_push(key=PARTIAL_RESULT_KEY, value=result.as_json())
        except Exception:
            self.log.exception("What this batch has brought could not be pushed as XCom %r", PARTIAL_RESULT_KEY)
            return ""
        return kept_in(result, PARTIAL_RESULT_KEY)

    def _delivered(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_seeany.xcoms.record import Record

        self.push_record(context, Record.of_batch(result, conn_id=self.seeany_conn_id))
        return result

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        return self.batch_wait.unreported()
