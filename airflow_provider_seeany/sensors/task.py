"""The sensor: waits for a SeeAny task and returns it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_seeany.api.settings import to_seconds
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SeeAnyTaskSensor(BaseTaskWaitOperator, BaseSensorOperator):
    """
    Waits until a SeeAny task is completed, returns the finished task and pushes its fields, so that
    ``wait.output["video_url"]`` works downstream in every mode. The XComs are those of
    :class:`~airflow_provider_seeany.operators.task.SeeAnyTaskResultOperator`.

    It waits in the triggerer and holds no worker meanwhile. That is its purpose, so ``deferrable`` does not follow
    ``[operators] default_deferrable``, which is off in a fresh Airflow. With ``deferrable=False`` it pokes or
    reschedules like any sensor, as its ``mode`` says.

    A failed task raises ``SeeAnyTaskFailed``, a timeout ``SeeAnyTaskTimeout``, a refused key or an unknown id
    a subclass of ``SeeAnyRequestError``; none of them is retried, and ``soft_fail`` makes each of them a skip.
    Transient errors of the network or the service do not end the wait.

    It takes the parameters of :class:`~airflow_provider_seeany.wait.base.BaseTaskWaitOperator`, among them
    ``seeany_task_id``, ``seeany_conn_id``, ``timeout``, ``max_poll_interval``, ``deferrable``, ``worker_free``,
    ``expect_callback`` and ``accept_partial``, those of any sensor, and:

    :param poke_interval: seconds between two polls; in the triggerer, while the end cannot be estimated.
    """

    def __init__(self, *, poke_interval: timedelta | float = 10, **kwargs: Any) -> None:
        super().__init__(poke_interval=to_seconds(poke_interval, name="poke_interval"), **kwargs)

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls."""
        return self.poke_interval

    def execute(self, context: Context) -> Any:
        """Poll once and defer, or poke until done."""
        from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout

        self.log_why_worker()
        if self.reschedule and (began := context["ti"].get_first_reschedule_date(context)) is not None:
            self.began = began.timestamp()
        with self.recording_failure(context):
            try:
                # Also when deferring: the base class applies soft_fail and never_fail to the first poll as well.
                return super().execute(context)
            except AirflowSkipException as skip:
                # The base class skips for a timeout of its own without naming a cause.
                reason = skip.__cause__ or self.worker_part.timed_out()
                self.log_skip(reason)
                raise skip from reason
            except AirflowSensorTimeout as error:
                if isinstance(error, SeeAnyTaskTimeout):
                    raise
                raise self.worker_part.timed_out() from error

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        """Sleep longer than usual after ``Retry-After`` and errors."""
        usual: float = super()._get_next_poke_interval(*args, **kwargs)
        return max(usual, self.worker_part.pause)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Poll once; defer if the task is still running and the sensor is deferrable."""
        task = self.poll(context)
        if task is not None:
            return PokeReturnValue(is_done=True, xcom_value=self.deliver(context, task))
        if self.deferrable:
            self.defer_wait()
        return False
