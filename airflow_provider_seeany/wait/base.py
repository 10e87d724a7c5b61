"""
What the sensor and the operator share as Airflow sees them.

Every DAG file that uses them imports this at every parse, so it loads nothing of the provider that only a
running task needs: that is behind ``task_wait``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    conf,
)

from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.wait.start_from_trigger import (
    TEMPLATE_FIELDS,
    DecidedLate,
    start_trigger_args,
    starts_in_triggerer,
    worker_needed_because,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_seeany.api.batch_result import BatchResult
    from airflow_provider_seeany.api.task import SeeAnyTask
    from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout
    from airflow_provider_seeany.wait.task import TaskWait
    from airflow_provider_seeany.xcoms.record import Record


class BaseSeeAnyOperator(BaseOperator):
    """
    Says why it ends, also where Airflow itself would end it without a word: after a deferral, and when skipped.

    It also keeps a record of its end for the UI.
    """

    seeany_conn_id: str
    """The connection that is asked through."""

    partial_result: BatchResult | None = None
    """What a batch that did not succeed has brought all the same."""

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; a time-out that Airflow found itself gets the same exception as any other."""
        from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout

        with self.failure_on_record(context):
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowSkipException as skip:
                reason = skip.__cause__
                if isinstance(reason, AirflowSensorTimeout) and not isinstance(reason, SeeAnyTaskTimeout):
                    reason = self.unreported()
                self.log_skip(reason)
                raise skip from reason
            except (AirflowSensorTimeout, _deferral_timeout()) as error:
                if isinstance(error, SeeAnyTaskTimeout):
                    raise
                raise self.unreported() from error

    def log_skip(self, reason: BaseException | None) -> None:
        """Tell in the log why a task is skipped instead of failed: Airflow itself says only that it is."""
        if reason is not None:
            self.log.error("Skipped instead of failed: %s: %s", type(reason).__name__, reason)

    @contextmanager
    def failure_on_record(self, context: Context) -> Iterator[None]:
        """Keep a record for the UI if what happens inside fails, or is skipped instead."""
        try:
            yield
        except AirflowException as error:
            reason = error.__cause__ if isinstance(error, AirflowSkipException) else error
            self._keep_failure(context, reason)
            raise

    def push_record(self, context: Context, record: Record) -> None:
        """Push a record for the UI, unless the task pushes nothing. What goes wrong with it harms nobody."""
        if not self.do_xcom_push:
            return
        from airflow_provider_seeany.xcoms.result import push_record
        from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

        try:
            push_record(record, TaskInstanceKey.of(context["ti"]))
        except Exception:
            self.log.warning("The UI's record of this wait could not be kept", exc_info=True)

    def _keep_failure(self, context: Context, error: BaseException | None) -> None:
        from airflow_provider_seeany.api.task_id import as_task_id
        from airflow_provider_seeany.exceptions import SeeAnyError
        from airflow_provider_seeany.xcoms.record import Record

        if isinstance(error, SeeAnyError):
            asked_for = as_task_id(getattr(self, "seeany_task_id", None))
            record = Record.of_error(
                error,
                conn_id=self.seeany_conn_id,
                seeany_task_id=asked_for if isinstance(asked_for, str) else None,
                batch=self.partial_result,
            )
            self.push_record(context, record)


class BaseTaskWaitOperator(BaseSeeAnyOperator):
    """
    Waits for one SeeAny task, in the triggerer unless told otherwise.

    Subclasses set ``timeout`` (seconds), tell their ``interval`` and say how to wait in a worker.

    :param seeany_task_id: the task to wait for (templated; an XComArg too).
    :param seeany_conn_id: the connection to ask through (templated).
    :param deferrable: wait in the triggerer, holding no worker.
    :param max_poll_interval: most seconds between two questions in the triggerer.
    :param worker_free: start and end in the triggerer as well, see
        :mod:`airflow_provider_seeany.wait.start_from_trigger`. ``None`` follows ``[seeany] worker_free``, which is off.
    :param expect_callback: let SeeAny's callback wake the wait, see :mod:`airflow_provider_seeany.callback`.
    :param callback_poll_interval: seconds between two questions in the triggerer while a callback is expected.
    """

    template_fields: Sequence[str] = TEMPLATE_FIELDS
    operator_extra_links: Sequence[BaseOperatorLink] = RESULT_LINKS
    ui_color = "#e8f0fe"

    finished_task: SeeAnyTask | None = None
    """The result, once this process has it; the links are made of it."""

    timeout: float
    """Seconds after which to give up."""

    start_from_trigger = DecidedLate(starts_in_triggerer, of_class=False)
    start_trigger_args = DecidedLate(start_trigger_args, of_class=None)

    began: float | None = None
    """When the wait began, in Unix seconds, if that was in an earlier process."""

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str,
        deferrable: bool,
        max_poll_interval: timedelta | float,
        worker_free: bool | None,
        expect_callback: bool,
        callback_poll_interval: timedelta | float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.seeany_task_id = seeany_task_id
        self.seeany_conn_id = seeany_conn_id
        self.deferrable = deferrable
        self.max_poll_interval = interval_seconds(max_poll_interval, name="max_poll_interval")
        if worker_free is None:
            worker_free = conf.getboolean("seeany", "worker_free", fallback=False)
        self.worker_free = worker_free
        if expect_callback and not deferrable:
            raise ValueError("expect_callback needs deferrable=True: a callback cannot wake a wait in a worker")
        self.expect_callback = expect_callback
        self.callback_poll_interval = interval_seconds(callback_poll_interval, name="callback_poll_interval")

    @property
    def interval(self) -> float:
        """Seconds between two questions."""
        raise NotImplementedError

    def deliver(self, context: Context, task: SeeAnyTask) -> dict[str, Any]:
        """
        Push the fields of the completed task under keys of their own and return the whole of it.

        An XComArg such as ``wait.output["video_url"]`` names an XCom by its key; it does not look into
        ``return_value``.
        """
        from airflow_provider_seeany.xcoms.record import Record

        self.finished_task = task
        if self.do_xcom_push:
            for key, value in task.result_fields().items():
                context["ti"].xcom_push(key=key, value=value)
        self.push_record(context, Record.of_task(task, conn_id=self.seeany_conn_id))
        return task.as_json()

    @cached_property
    def task_wait(self) -> TaskWait:
        """The part of the wait that happens in this process. Its time starts when it is first used."""
        from airflow_provider_seeany.wait.task import TaskWait

        return TaskWait(
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            interval=self.interval,
            max_interval=self.max_poll_interval,
            callback_interval=self.callback_poll_interval if self.expect_callback else None,
            timeout=self.timeout,
            log=self.log,
            began=self.began,
            do_xcom_push=self.do_xcom_push,
        )

    def poll(self, context: Context) -> SeeAnyTask | None:
        """
        Ask once; return the completed task, or ``None`` while it is worth asking again.

        With a callback expected, the wait can be found before it asks: no ring is lost between the two.
        """
        if not self.expect_callback:
            return self.task_wait.poll()
        doorbell = self.task_wait.doorbell(context["ti"])
        doorbell.register()
        try:
            task = self.task_wait.poll()
        except BaseException:
            doorbell.unregister()
            raise
        if task is not None:
            doorbell.unregister()
        else:
            self.task_wait.tell_callback_expected()
        return task

    def wait_here(self, context: Context) -> SeeAnyTask:
        """Return the completed task; leave for the triggerer if it is still running and the wait is deferrable."""
        while (task := self.poll(context)) is None:
            if self.deferrable:
                self.defer_wait()
            time.sleep(self.task_wait.pause)
        return task

    def log_why_worker(self) -> None:
        """Say in the log why a wait that should be worker-free is in a worker, unless the DAG's author chose that."""
        if self.worker_free and self.deferrable:
            # Here its templates are rendered already; the DAG still has it as it was written.
            written = self.dag.task_dict.get(self.task_id) if self.has_dag() else None  # type: ignore[no-untyped-call]
            reason = worker_needed_because(written if isinstance(written, BaseTaskWaitOperator) else self)
            reason = reason or "Airflow starts mapped tasks, and those of `dags test`, in a worker"
            self.log.info("worker_free is on, but this wait starts in a worker: %s", reason)

    def defer_wait(self) -> NoReturn:
        """Leave the worker and go on waiting in the triggerer."""
        self.defer(
            trigger=self.task_wait.trigger(),
            method_name="execute_complete",
            timeout=self.task_wait.defer_timeout,
        )

    def on_kill(self) -> None:
        """Close what is held, when a user or a time limit ends the wait in a worker."""
        if "task_wait" in self.__dict__:
            self.task_wait.abandon()

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        return self.task_wait.unreported()

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on in a worker with what the trigger reported, or with the wait if it could not even begin."""
        from airflow_provider_seeany.wait.task import taken_over

        if (unrendered := taken_over(event)) is not None:
            self.began = unrendered.began
            self.log.info(
                "This wait goes on from a worker: the triggerer was given its templates unrendered, as the DAG has "
                "changed since it began"
            )
            return self.deliver(context, self.wait_here(context))
        return self.deliver(context, self.task_wait.concluded(event))


def interval_seconds(value: timedelta | float, *, name: str) -> float:
    """
    Return an interval or a time limit in seconds.

    :raises ValueError: if it is not above zero, since that would ask without a pause, or not at all.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be a number of seconds above 0, or a timedelta; got {value!r}")
    return seconds


def _deferral_timeout() -> type[AirflowException]:
    """Return the exception of a deferral that Airflow ended, which common-compat does not export."""
    try:
        from airflow.sdk.exceptions import TaskDeferralTimeout
    except ImportError:  # Airflow before 3.2
        from airflow.exceptions import TaskDeferralTimeout  # type: ignore[no-redef]
    return TaskDeferralTimeout
