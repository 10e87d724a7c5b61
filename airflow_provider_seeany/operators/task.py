"""The operator: pushes what a SeeAny task made and cost to XCom, waiting for it if need be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator, interval_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SeeAnyTaskResultOperator(BaseTaskWaitOperator):
    """
    Pushes the result of a SeeAny task to XCom; waits for it, in the triggerer, if it is still running.

    ``return_value`` is the finished answer as a JSON object, ``completed_at`` in it an ISO 8601 UTC string.
    Under keys of their own: ``video_url``, ``thumbnail_url``, ``cost`` (the JSON number as given),
    ``cost_unit``, ``duration``, ``resolution``, ``completed_at`` and ``result_urls`` (a list). A key that the
    answer lacks is not pushed, and none is with ``do_xcom_push=False``.

    :param seeany_task_id: the id that the endpoint which created the task returned (templated; an XComArg too).
    :param seeany_conn_id: the connection to ask through (templated).
    :param wait_for_completion: wait for a task that is still running. If off, such a task raises
        ``SeeAnyTaskNotReady``, which is retried as ``retries`` and ``retry_delay`` say.
    :param deferrable: wait in the triggerer.
    :param poll_interval: seconds between two questions; in the triggerer, while nothing better is known.
    :param max_poll_interval: most seconds between two questions in the triggerer, which aims at the end of the task
        once the service's estimate or the progress has proved true. If it is no more than ``poll_interval``, no pause
        is longer than that one, jitter apart. A wait in a worker keeps to ``poll_interval``.
    :param worker_free: start and end in the triggerer as well, so that no worker is needed at all (Airflow 3.3+; a
        failure still ends in a worker). Only if everything set on the task is known to come out the same there: with
        callbacks on success, ``outlets``, a pool, something mapped over it and so on it starts in a worker, and the log
        says why; see :mod:`airflow_provider_seeany.wait.start_from_trigger`. ``None`` follows ``[seeany] worker_free``,
        which is off.
    :param expect_callback: SeeAny calls back when the task has ended (see ``SeeAnyHook.callback_url``), which wakes the
        wait at once; until then the triggerer hardly asks. Needs ``[seeany] callback_secret`` and ``deferrable``.
    :param callback_poll_interval: seconds between two questions in the triggerer while a callback is expected, in case
        it gets lost. It stands in for ``poll_interval`` and ``max_poll_interval`` there.
    :param timeout: seconds after which to give up. The SeeAny task goes on, and may still cost money.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        worker_free: bool | None = None,
        expect_callback: bool = False,
        callback_poll_interval: timedelta | float = 120,
        poll_interval: timedelta | float = 10,
        max_poll_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            seeany_task_id=seeany_task_id,
            seeany_conn_id=seeany_conn_id,
            deferrable=deferrable,
            max_poll_interval=max_poll_interval,
            worker_free=worker_free,
            expect_callback=expect_callback,
            callback_poll_interval=callback_poll_interval,
            **kwargs,
        )
        self.wait_for_completion = wait_for_completion
        self.poll_interval = interval_seconds(poll_interval, name="poll_interval")
        self.timeout = interval_seconds(timeout, name="timeout")

    @property
    def interval(self) -> float:
        """Seconds between two questions."""
        return self.poll_interval

    def execute(self, context: Context) -> dict[str, Any]:
        """Push the result at once if it is there; else wait for it, or raise."""
        self.log_why_worker()
        with self.failure_on_record(context):
            if not self.wait_for_completion:
                return self.deliver(context, self.task_wait.result())
            task = self.wait_here(context)
        return self.deliver(context, task)
