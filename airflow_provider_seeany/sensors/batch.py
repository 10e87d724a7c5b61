"""The batch sensor: one Airflow task that waits for up to 10 000 SeeAny tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseSensorOperator, PokeReturnValue

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.settings import BatchSettings, to_seconds
from airflow_provider_seeany.wait.base import BaseSeeAnyOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_seeany.api.batch_result import BatchResult
    from airflow_provider_seeany.wait.batch import BatchWait


class SeeAnyTaskBatchSensor(BaseSeeAnyOperator, BaseSensorOperator):
    """
    Waits until many SeeAny tasks have ended: one task instance and one trigger for up to 10 000 of them.

    It always waits in the triggerer, so there is no ``deferrable``; a triggerer has to run. Its requests, for all tasks
    together, are limited in rate. When a triggerer is restarted, it polls each task again.

    ``return_value`` is one JSON object. An id that is given twice counts once::

        {
            "total": 5000,
            "completed": 4997,
            "failed": 3,
            "cost": {"CNY": 3497.9},          by currency, "?" where the response names none
            "detail": "full",                 what "tasks" holds, see below
            "tasks": [{"id": …}, …],          the completed tasks, in the order given
            "failures": [{"id": …, "reason": …}, …],
            "partial": 12                     how many of the completed have a partial result
        }

    It is never larger than 48 KB, so that any of Airflow's databases stores it. ``detail`` says how much fits:

    - ``full``: the whole responses, as :class:`~airflow_provider_seeany.sensors.task.SeeAnyTaskSensor` returns them;
      enough for some 140 videos
    - ``table``: of each completed task ``id``, ``video_url`` (or, if it has none, ``result_url``, the first result),
      ``cost`` and ``cost_unit``, as far as the response has them, and ``is_partial`` if it is; enough for some 350
    - ``totals``: ``tasks`` is empty; ``completed_ids`` lists the completed ones, if all fit: some 2 000 ids of 20
      characters. The log says how to get the results, which stay available by their ids

    A failed task, and one that SeeAny refuses to return, such as an id it does not know, raises ``SeeAnyBatchFailed``
    with ids and reasons, by default after all have ended. A refused key ends the wait at once (``SeeAnyAuthError``), a
    timeout names the tasks that are not done (``SeeAnyTaskTimeout``). None of them is retried, and ``soft_fail`` makes
    each of them a skip. What was completed by then is kept in the XCom ``batch_result``, which has the shape of
    ``return_value`` and ``unfinished``, the ids that had not ended; the tab *SeeAny* shows it. Transient errors do not
    end the wait. While the service as a whole is down, it polls one task at a time, at growing intervals.

    More ids than fit into a trigger's arguments on MySQL (32 KB, some 1 300 ids of 20 characters) are kept in the XCom
    ``_seeany_ids`` of the task instance while it waits, with ``do_xcom_push=False`` too.

    :param seeany_task_ids: the ids: a list, an XComArg, or a template that renders to a list as JSON or as a Python
        literal. An empty list succeeds at once.
    :param seeany_conn_id: the connection to poll through (templated).
    :param fail_fast: fail at the first failure, instead of waiting for the other tasks.
    :param allow_failures: succeed also if tasks failed; ``failures`` lists them with reasons.
    :param accept_partial: count a task as completed also if some of its files failed; see
        :class:`~airflow_provider_seeany.wait.base.BaseTaskWaitOperator`. If off, it is a failure, whose entry in
        ``failures`` has the files that were made as ``result_urls``.
    :param expect_callback: SeeAny calls back when a task has ended (see ``SeeAnyHook.callback_url``), and the triggerer
        polls that one next; until then it polls a few only. Needs ``[seeany] callback_secret``.
    :param callback_poll_interval: seconds between two samples while callbacks are expected: ten tasks, or one in a
        hundred if that is more. If one of them has ended without a callback, all are polled once.
    :param max_requests_per_second: maximum requests per second, for all tasks together.
    :param max_concurrent_requests: maximum requests under way at once.
    :param poke_interval: seconds between two polls of a task while its end cannot be estimated.
    :param max_poll_interval: maximum seconds between two polls of a task; see
        :class:`~airflow_provider_seeany.wait.base.BaseTaskWaitOperator`. Both can be longer at
        ``max_requests_per_second``: 10 000 tasks at 50 a second are polled about every 200 s.
    :param expected_duration: seconds that each task should take from its creation, one number for all; see there, too.
    :param timeout: seconds until the wait gives up; unfinished tasks are then polled once more, for a minute at most.
        The SeeAny tasks continue, and may still cost money.
    """

    template_fields: Sequence[str] = ("seeany_task_ids", "seeany_conn_id", "expected_duration")
    ui_color = "#e8f0fe"
    wait_mode = "batch"

    def __init__(
        self,
        *,
        seeany_task_ids: Sequence[str] | str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        fail_fast: bool = False,
        allow_failures: bool = False,
        accept_partial: bool = True,
        expect_callback: bool = False,
        callback_poll_interval: timedelta | float = 120,
        max_requests_per_second: float = 50,
        max_concurrent_requests: int = 20,
        poke_interval: timedelta | float = 10,
        max_poll_interval: timedelta | float = 30,
        expected_duration: timedelta | float | str | None = None,
        timeout: timedelta | float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=to_seconds(poke_interval, name="poke_interval"),
            timeout=to_seconds(timeout, name="timeout"),
            **kwargs,
        )
        self.seeany_task_ids = seeany_task_ids
        self.seeany_conn_id = seeany_conn_id
        self.fail_fast = fail_fast
        self.allow_failures = allow_failures
        self.accept_partial = accept_partial
        self.expect_callback = expect_callback
        self.callback_poll_interval = to_seconds(callback_poll_interval, name="callback_poll_interval")
        self.max_requests_per_second = max_requests_per_second
        self.max_concurrent_requests = max_concurrent_requests
        self.max_poll_interval = to_seconds(max_poll_interval, name="max_poll_interval")
        self.expected_duration = expected_duration
        self.wait_settings  # noqa: B018  refuses bad values where the DAG is parsed

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls of a task."""
        return self.poke_interval

    @property
    def wait_settings(self) -> BatchSettings:
        """The settings of the wait. Read late: Airflow may set attributes after ``__init__``."""
        return BatchSettings.of(self)

    @cached_property
    def worker_part(self) -> BatchWait:
        """The worker's part of the wait. Its timeout starts when this is first read."""
        from airflow_provider_seeany.wait.batch import BatchWait

        return BatchWait(
            seeany_task_ids=self.seeany_task_ids,
            seeany_conn_id=self.seeany_conn_id,
            settings=self.wait_settings,
            log=self.log,
            expected_duration=self.expected_duration,
        )

    def execute(self, context: Context) -> Any:
        """Check the ids and defer."""
        with self.recording_failure(context):
            try:
                # The base class applies soft_fail and never_fail to bad ids as well.
                return super().execute(context)
            except AirflowSkipException as skip:
                self.log_skip(skip.__cause__)
                raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Defer, unless there is nothing to wait for."""
        wait = self.worker_part
        if not (ids := wait.ids()):
            from airflow_provider_seeany.api.collector import ResultCollector

            return PokeReturnValue(
                is_done=True, xcom_value=self._deliver(context, ResultCollector([]).result().as_json())
            )
        self.show_progress(context, wait.progress(ids))
        self.defer(
            trigger=wait.trigger(ids, context),
            method_name="execute_complete",
            timeout=wait.settings.defer_timeout,
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral, however it ended; what was stored beside the trigger is not needed any more."""
        try:
            self.worker_part.delete_beside_trigger(context["ti"])
        except Exception:
            self.log.warning("What was stored for the trigger of this batch could not be deleted", exc_info=True)
        return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result that the trigger reported."""
        outcome = self.worker_part.outcome(event)
        self.partial_result = self.worker_part.partial_result(outcome)
        kept = self._keep_partial_result(context, self.partial_result) if self.partial_result else ""
        return self._deliver(context, self.worker_part.result(outcome, kept=kept))

    def _keep_partial_result(self, context: Context, result: BatchResult) -> str:
        """Push what an unsuccessful batch has completed, as it returns nothing; return where that is, for a user."""
        if not self.do_xcom_push:
            return ""
        from airflow_provider_seeany.wait.batch import where_kept
        from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY

        try:
            context["ti"].xcom_push(key=PARTIAL_RESULT_KEY, value=result.as_json())
        except Exception:
            self.log.exception("The partial result of this batch could not be pushed as XCom %r", PARTIAL_RESULT_KEY)
            return ""
        return where_kept(result, PARTIAL_RESULT_KEY)

    def _deliver(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_seeany.xcoms.record import Record

        self.finished = result
        self.record_success(context, Record.of_batch(result, conn_id=self.seeany_conn_id))
        if self.outlets:
            from airflow_provider_seeany.xcoms.asset_events import batch_extra, fill_outlet_events

            fill_outlet_events(self, context, batch_extra(result))
        return result
