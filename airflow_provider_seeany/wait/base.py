"""
The base classes of sensors and operators.

Every DAG file that uses them imports this at every parse, so it loads nothing of the provider that only a running task
needs: that is behind ``worker_part``.
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

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.settings import TaskSettings, to_seconds
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.wait.start_from_trigger import StartsFromTrigger
from airflow_provider_seeany.wait.worker_needed import TEMPLATE_FIELDS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_seeany.api.batch_result import BatchResult
    from airflow_provider_seeany.api.task import SeeAnyTask
    from airflow_provider_seeany.wait.batch import BatchWait
    from airflow_provider_seeany.wait.task import TaskWait
    from airflow_provider_seeany.xcoms.record import Progress, Record


SHOW_INTERVAL = 10.0  # minimum seconds between two writes of a worker's progress


class BaseSeeAnyOperator(BaseOperator):
    """
    Adds a reason to deferral timeouts and skips, which Airflow leaves without one.

    It also keeps a record of the end for the UI.
    """

    seeany_conn_id: str

    partial_result: BatchResult | None = None
    """What a batch that did not succeed has completed."""

    began: float | None = None
    """When the wait began, in Unix seconds, if that was in an earlier process."""

    finished: SeeAnyTask | Mapping[str, Any] | None = None
    """The result, once this process has it: the completed task, or that of a batch."""

    waiting_ti: Any = None
    """The task instance, as soon as it waits."""

    is_killed = False
    """Whether Airflow has ended the wait in this process."""

    _shows_at = 0.0

    is_resumed = False
    """Whether the wait was deferred before."""

    @property
    def wait_mode(self) -> str:
        """How this waits, as metrics name it."""
        raise NotImplementedError

    @property
    def worker_part(self) -> TaskWait | BatchWait:
        """The worker's part of the wait. Its timeout starts when this is first read."""
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; a timeout that Airflow found itself gets the same exception as any other."""
        from airflow_provider_seeany.exceptions import SeeAnyTaskTimeout

        self.is_resumed = True
        with self.recording_failure(context):
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowSkipException as skip:
                reason = skip.__cause__
                if isinstance(reason, AirflowSensorTimeout) and not isinstance(reason, SeeAnyTaskTimeout):
                    reason = self.worker_part.deferral_timed_out()
                self.log_skip(reason)
                raise skip from reason
            except (AirflowSensorTimeout, _deferral_timeout()) as error:
                if isinstance(error, SeeAnyTaskTimeout):
                    raise
                raise self.worker_part.deferral_timed_out() from error

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the files and their cost for OpenLineage, whose listener calls this; nothing for a failure."""
        from airflow_provider_seeany.lineage import lineage_of

        return None if self.finished is None else lineage_of(self.finished)

    def log_skip(self, reason: BaseException | None) -> None:
        """Log why a task is skipped instead of failed; Airflow logs only that it is."""
        if reason is not None:
            self.log.warning("Skipped instead of failed: %s: %s", type(reason).__name__, reason)

    @contextmanager
    def recording_failure(self, context: Context, *, is_wait: bool = True) -> Iterator[None]:
        """
        Push a record for the UI if the block fails, or is skipped instead.

        :param is_wait: whether that ends a wait, for the metrics.
        """
        from airflow_provider_seeany.api.task_id import as_task_id
        from airflow_provider_seeany.exceptions import SeeAnyError
        from airflow_provider_seeany.wait.count import count_end
        from airflow_provider_seeany.xcoms.record import Record

        if is_wait:
            self.waiting_ti = context.get("ti")
        # Airflow stores each link in an XCom whenever a worker leaves the task, also one that leads nowhere yet.
        self.operator_extra_links = ()
        try:
            yield
        except AirflowException as error:
            reason = error.__cause__ if isinstance(error, AirflowSkipException) else error
            if isinstance(reason, SeeAnyError):
                task_id = as_task_id(getattr(self, "seeany_task_id", None))
                record = Record.of_error(
                    reason,
                    conn_id=self.seeany_conn_id,
                    seeany_task_id=task_id if isinstance(task_id, str) else None,
                    batch=self.partial_result,
                )
                self.push_record(context, record)
                if is_wait:
                    count_end(self, context.get("ti"), record, error)
            raise

    def record_success(self, context: Context, record: Record) -> None:
        """Push the record of a wait that succeeded, and count that."""
        from airflow_provider_seeany.wait.count import count_end

        self.push_record(context, record)
        count_end(self, context.get("ti"), record)

    def show_progress(self, context: Context, progress: Progress) -> None:
        """Push the progress for the UI, at most every :data:`SHOW_INTERVAL` seconds."""
        from airflow_provider_seeany.xcoms.result import publishes_progress

        now = time.monotonic()
        if now >= self._shows_at and publishes_progress():
            self._shows_at = now + SHOW_INTERVAL
            self.push_record(context, progress)

    def push_record(self, context: Context, record: Record | Progress) -> None:
        """Push a record for the UI, unless the task pushes nothing. An error in this does not fail the task."""
        if not self.do_xcom_push:
            return
        from airflow_provider_seeany.xcoms.result import push_record
        from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

        try:
            push_record(record, TaskInstanceKey.of(context["ti"]))
        except Exception:
            self.log.warning("The UI's record of this wait could not be kept", exc_info=True)


class BaseTaskWaitOperator(StartsFromTrigger, BaseSeeAnyOperator):
    """
    Waits for one SeeAny task, in the triggerer unless ``deferrable`` is off.

    :param seeany_task_id: the id that the endpoint which created the task returned (templated; an XComArg too).
    :param seeany_conn_id: the connection to poll through (templated).
    :param deferrable: wait in the triggerer, holding no worker.
    :param worker_free: start and end in the triggerer as well, so that no worker is needed at all (Airflow 3.3+; a
        failure still ends in a worker). Where something set on the task takes a worker, such as ``outlets`` or a pool,
        it starts in one, and the log says why; see :mod:`airflow_provider_seeany.wait.start_from_trigger`. ``None``
        follows ``[seeany] worker_free``, which is off.
    :param expect_callback: SeeAny calls back when the task has ended (see ``SeeAnyHook.callback_url``), which resumes
        the wait at once; until then the triggerer polls rarely. Needs ``[seeany] callback_secret`` and ``deferrable``.
    :param callback_poll_interval: seconds between two polls in the triggerer while a callback is expected, in case it
        gets lost. It replaces the two other intervals there.
    :param max_poll_interval: maximum seconds between two polls in the triggerer, which aims at the end of the task
        once the service's estimate or the progress has proved true. If it is no more than the poll interval, no pause
        is longer than that, jitter apart. A wait in a worker keeps to the poll interval.
    :param accept_partial: succeed also if some of the files failed (``partial_failed``) and the others are there; the
        XCom ``is_partial`` tells it. If off, that raises ``SeeAnyTaskFailed``, which lists the files that were made.
    :param expected_duration: seconds that the task should take from its creation, such as the ``wait_time`` in the
        response that created it (templated; an XComArg too). Counted from the beginning of the wait, it aims the polls
        in the triggerer until the service gives an estimate or a progress. What is no number is logged and ignored.
    :param timeout: seconds until the wait gives up. The SeeAny task continues, and may still cost money.
    """

    template_fields: Sequence[str] = TEMPLATE_FIELDS
    operator_extra_links: Sequence[BaseOperatorLink] = RESULT_LINKS
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = True,
        worker_free: bool | None = None,
        expect_callback: bool = False,
        callback_poll_interval: timedelta | float = 120,
        max_poll_interval: timedelta | float = 30,
        accept_partial: bool = True,
        expected_duration: timedelta | float | str | None = None,
        timeout: timedelta | float = 3600,
        **kwargs: Any,
    ) -> None:
        timeout = to_seconds(timeout, name="timeout")  # first, as Airflow's sensor also takes it from default_args
        super().__init__(**kwargs)
        self.seeany_task_id = seeany_task_id
        self.seeany_conn_id = seeany_conn_id
        self.deferrable = deferrable
        if worker_free is None:
            worker_free = conf.getboolean("seeany", "worker_free", fallback=False)
        self.worker_free = worker_free
        if expect_callback and not deferrable:
            raise ValueError("expect_callback needs deferrable=True: a callback cannot resume a wait in a worker")
        self.expect_callback = expect_callback
        self.callback_poll_interval = to_seconds(callback_poll_interval, name="callback_poll_interval")
        self.max_poll_interval = to_seconds(max_poll_interval, name="max_poll_interval")
        self.accept_partial = accept_partial
        self.expected_duration = expected_duration
        self.timeout = timeout

    @property
    def wait_settings(self) -> TaskSettings:
        """The settings of the wait. Read late: Airflow may set attributes after ``__init__``."""
        return TaskSettings.of(self)

    @cached_property
    def worker_part(self) -> TaskWait:
        """The worker's part of the wait. Its timeout starts when this is first read."""
        from airflow_provider_seeany.wait.task import TaskWait

        return TaskWait(
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            settings=self.wait_settings,
            log=self.log,
            began=self.began,
            expected_duration=self.expected_duration,
            mode=self.wait_mode,
        )

    @property
    def wait_mode(self) -> str:
        """How this waits, as metrics name it; an operator that holds its worker does so as a sensor that pokes."""
        if not self.deferrable:
            return getattr(self, "mode", "poke")
        from airflow_provider_seeany.metrics import mode_of_deferral

        return mode_of_deferral(began_in_trigger=self.is_resumed and self.began_in_trigger)

    def poll(self, context: Context) -> SeeAnyTask | None:
        """
        Poll once; return the completed task, or ``None`` while the wait continues.

        A callback is registered before the poll, so that none is missed in between.
        """
        task = self._registered_poll(context) if self.expect_callback else self.worker_part.poll()
        if task is None:
            self.show_progress(context, self.worker_part.progress())
        return task

    def _registered_poll(self, context: Context) -> SeeAnyTask | None:
        registration = self.worker_part.registration(context["ti"])
        registration.register()
        try:
            task = self.worker_part.poll()
        except BaseException:
            registration.unregister()
            raise
        if task is not None:
            registration.unregister()
        else:
            self.worker_part.log_callback_expected()
        return task

    def wait_or_defer(self, context: Context) -> SeeAnyTask:
        """Return the completed task; defer if it is still running and the wait is deferrable."""
        while (task := self.poll(context)) is None:
            if self.deferrable:
                self.defer_wait()
            time.sleep(self.worker_part.pause)
        return task

    def defer_wait(self) -> NoReturn:
        """Leave the worker and continue in the triggerer."""
        wait = self.worker_part
        self.defer(
            trigger=wait.trigger(end_from_trigger=self.ends_in_trigger),
            method_name="execute_complete",
            timeout=wait.settings.defer_timeout,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task that the trigger reported; continue the wait here if the trigger could not even begin."""
        from airflow_provider_seeany.wait.task import decode_unrendered

        if (unrendered := decode_unrendered(event)) is not None:
            self.began = unrendered.began
            self.log.info(
                "This wait continues in a worker: the triggerer was given its templates unrendered, as the DAG has "
                "changed since it began"
            )
            return self.deliver(context, self.wait_or_defer(context))
        return self.deliver(context, self.worker_part.reported_task(event))

    def deliver(self, context: Context, task: SeeAnyTask) -> dict[str, Any]:
        """
        Push the fields of the completed task under keys of their own, tell the outlets, and return the whole of it.

        An XComArg such as ``wait.output["video_url"]`` names an XCom by its key; it does not look into
        ``return_value``.
        """
        from airflow_provider_seeany.links.task import links_of
        from airflow_provider_seeany.xcoms.record import Record
        from airflow_provider_seeany.xcoms.result import field_xcoms

        self.finished = task
        self.operator_extra_links = links_of(task)
        if self.do_xcom_push:
            for key, value in field_xcoms(task).items():
                context["ti"].xcom_push(key=key, value=value)
        self.record_success(context, Record.of_task(task, conn_id=self.seeany_conn_id))
        if self.outlets:
            from airflow_provider_seeany.xcoms.asset_events import fill_outlet_events, task_extra

            fill_outlet_events(self, context, task_extra(task))
        return task.as_json()

    def on_kill(self) -> None:
        """Close connections when a user or a time limit ends the wait in a worker."""
        if "worker_part" in self.__dict__:
            from airflow_provider_seeany.wait.count import count_killed

            self.worker_part.abandon()
            count_killed(self)


def _deferral_timeout() -> type[AirflowException]:
    """Return the exception of a deferral that Airflow ended, which common-compat does not export."""
    try:
        from airflow.sdk.exceptions import TaskDeferralTimeout
    except ImportError:  # Airflow before 3.2
        from airflow.exceptions import TaskDeferralTimeout  # type: ignore[no-redef]
    return TaskDeferralTimeout
