"""The sensor: waits for a SeeAny task in a DAG and returns it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator, interval_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SeeAnyTaskSensor(BaseTaskWaitOperator, BaseSensorOperator):
    """
    Waits until a SeeAny task is completed, returns the finished task and pushes its fields, so that
    ``wait.output["video_url"]`` works downstream in every mode. The XComs are those of
    :class:`~airflow_provider_seeany.operators.task.SeeAnyTaskResultOperator`.

    It waits in the triggerer and holds no worker meanwhile. That is what it is for, so ``deferrable`` does not
    follow ``[operators] default_deferrable``, which is off in a fresh Airflow. With ``deferrable=False`` it
    pokes or reschedules like any sensor, as its ``mode`` says.

    A failed task raises ``SeeAnyTaskFailed``, a time-out ``SeeAnyTaskTimeout``, a refused key or an unknown id
    a subclass of ``SeeAnyRequestError``; none of them is retried, and ``soft_fail`` makes each of them a skip.
    Passing faults of the network or the service do not end the wait.

    :param seeany_task_id: the id that the endpoint which created the task returned (templated; an XComArg too).
    :param seeany_conn_id: the connection to ask through (templated).
    :param deferrable: wait in the triggerer.
    :param poke_interval: seconds between two questions; in the triggerer, while nothing better is known.
    :param max_poll_interval: most seconds between two questions in the triggerer, which aims at the end of the task
        once the service's estimate or the progress has proved true. If it is no more than ``poke_interval``, no pause
        is longer than that one, jitter apart. A wait in a worker keeps to ``poke_interval``.
    :param worker_free: start and end in the triggerer as well, so that no worker is needed at all (Airflow 3.3+; a
        failure still ends in a worker). Only if everything set on the task is known to come out the same there: with
        callbacks on success, ``outlets``, a pool, something mapped over it and so on it starts in a worker, and the log
        says why; see :mod:`airflow_provider_seeany.wait.start_from_trigger`. ``None`` follows ``[seeany] worker_free``,
        which is off.
    :param expect_callback: SeeAny calls back when the task has ended (see ``SeeAnyHook.callback_url``), which wakes the
        wait at once; until then the triggerer hardly asks. Needs ``[seeany] callback_secret`` and ``deferrable``.
    :param callback_poll_interval: seconds between two questions in the triggerer while a callback is expected, in case
        it gets lost. It stands in for ``poke_interval`` and ``max_poll_interval`` there.
    :param timeout: seconds after which to give up. The SeeAny task goes on, and may still cost money.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        worker_free: bool | None = None,
        expect_callback: bool = False,
        callback_poll_interval: timedelta | float = 120,
        poke_interval: timedelta | float = 10,
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
            poke_interval=interval_seconds(poke_interval, name="poke_interval"),
            timeout=interval_seconds(timeout, name="timeout"),
            **kwargs,
        )

    @property
    def interval(self) -> float:
        """Seconds between two questions."""
        return self.poke_interval

    def execute(self, context: Context) -> Any:
        """Look once and defer, or poke until done."""
        from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout

        self.log_why_worker()
        if self.reschedule and (began := context["ti"].get_first_reschedule_date(context)) is not None:
            self.began = began.timestamp()
        with self.failure_on_record(context):
            try:
                # Also when deferring: the base class applies soft_fail and never_fail to the first look as well.
                return super().execute(context)
            except AirflowSkipException as skip:
                # The base class skips for a time-out of its own without naming a cause.
                reason = skip.__cause__ or self.task_wait.timed_out()
                self.log_skip(reason)
                raise skip from reason
            except AirflowSensorTimeout as error:
                if isinstance(error, SeeAnyTaskTimeout):
                    raise
                raise self.task_wait.timed_out() from error

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Sleep longer than usual where the service asked for it, or is in trouble."""
        usual: float = super()._get_next_poke_interval(*args, **kwargs)
        return max(usual, self.task_wait.pause)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Ask once; leave for the triggerer if the task is still running and the sensor is deferrable."""
        task = self.poll(context)
        if task is not None:
            return PokeReturnValue(is_done=True, xcom_value=self.deliver(context, task))
        if self.deferrable:
            self.defer_wait()
        return False
