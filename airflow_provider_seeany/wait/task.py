"""The wait for one task, as far as it happens in a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

import msgspec

from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError
from airflow_provider_seeany.api.intervals import FixedInterval
from airflow_provider_seeany.api.outcome import Outcome, TimedOut, Unrendered, decode_outcome
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import as_task_id
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import Pause, Wait
from airflow_provider_seeany.api.wait_log import AnomalyLog, Log, log_abandoned, log_completed
from airflow_provider_seeany.callback.registration import CallbackRegistration, log_expected
from airflow_provider_seeany.callback.url import why_no_callback
from airflow_provider_seeany.exceptions import (
    SeeAnyTaskNotReady,
    SeeAnyTaskTimeout,
    api_error,
    completed_task,
    task_timeout,
)
from airflow_provider_seeany.hooks.reauth import CONNECTION_ERRORS, RetryBudget
from airflow_provider_seeany.hooks.seeany import SeeAnyHook, checked_id
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.wait.deferral import SILENCE, decode_event, first_poll_at
from airflow_provider_seeany.wait.start_from_trigger import defer_timeout

MAX_PAUSE_IN_POKE = 15.0
"""
Most seconds between two questions of a poke that stays to find something out, as the process of the next poke would
know nothing of this one: whether a connection stays away, and whether an unusable answer has to be believed.
"""


def taken_over(event: Mapping[str, Any]) -> Unrendered | None:
    """Return what a trigger reported if a worker has to go on with the wait, which has not asked for anything yet."""
    try:
        return msgspec.convert(event, Unrendered)
    except msgspec.ValidationError:
        return None


class TaskWait:
    """
    One wait of a sensor or operator, as far as it happens in the worker.

    :param seeany_task_id: the task to wait for. It is checked when it is asked for, not when a result is there
        already: a template may render to something else by then.
    :param seeany_conn_id: the connection to ask through.
    :param interval: seconds between two questions.
    :param max_interval: most seconds between two questions of the trigger, which may adapt its pace.
    :param callback_interval: seconds between two questions of the trigger if a callback is expected, else ``None``.
    :param timeout: seconds after which to give up, counted from the wait's begin.
    :param log: the log of the Airflow task.
    :param began: when the wait began, in Unix seconds, if that was in an earlier process; ``None`` for now.
    :param do_xcom_push: whether the Airflow task pushes XComs.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str,
        interval: float,
        max_interval: float,
        callback_interval: float | None = None,
        timeout: float,
        log: Log,
        began: float | None = None,
        do_xcom_push: bool = True,
    ) -> None:
        # Any template may have rendered it.
        self.seeany_task_id: Any = as_task_id(seeany_task_id)
        self.seeany_conn_id = seeany_conn_id
        self.interval = interval
        self.max_interval = max_interval
        self.callback_interval = callback_interval
        self.timeout = timeout
        self._do_xcom_push = do_xcom_push
        self.pause = interval
        """Seconds to sleep before the next look."""
        self._log = log
        self._is_resumed = began is not None
        self._clock = ForwardClock() if began is None else ForwardClock(began)
        began = self._clock() if began is None else began
        self._deadline = began + timeout
        self._wait = Wait(
            str(self.seeany_task_id),
            polling=FixedInterval(poll_interval=interval),
            deadline=self._deadline,
            log=log,
            began=began,
        )

    @cached_property
    def hook(self) -> SeeAnyHook:
        """The hook for the connection."""
        return SeeAnyHook(self.seeany_conn_id)

    def doorbell(self, task_instance: Any) -> CallbackRegistration:
        """
        Return the mark by which a callback finds this wait.

        :raises SeeAnyTaskIdError: if that cannot be the id of a task.
        """
        return CallbackRegistration(
            task_instance, seeany_conn_id=self.seeany_conn_id, seeany_task_id=checked_id(self.seeany_task_id)
        )

    def tell_callback_expected(self) -> None:
        """Say in the log that from now on SeeAny is expected to ring, and why it may not."""
        log_expected(self._log, poll_interval=self.callback_interval)
        if (reason := why_no_callback()) is not None:
            self._log.warning("SeeAny cannot ring, as far as this worker can tell: %s", reason)

    def poll(self) -> SeeAnyTask | None:
        """
        Ask once; return the completed task, or ``None`` while it is worth asking again.

        :raises SeeAnyError: if the task failed, the time is up, or asking again cannot succeed.
        """
        patience = RetryBudget()
        while True:
            reply: SeeAnyTask | ApiError
            try:
                reply = self._get_task(patience)
            except ApiError as error:
                reply = error
            step = self._wait.receive(reply, self._clock())
            if not isinstance(step, Pause):
                return self._completed(step)
            is_to_be_found_out = patience.in_a_row or isinstance(reply, InvalidResponseError)
            if not (self._is_resumed and is_to_be_found_out):
                self.pause = step.seconds
                return None
            time.sleep(min(step.seconds, MAX_PAUSE_IN_POKE))

    def _get_task(self, patience: RetryBudget) -> SeeAnyTask:
        """Make one request; an unusable connection ends the wait at its begin, and is retried later."""
        try:
            task = self.hook.poll(self.seeany_task_id)
        except CONNECTION_ERRORS as error:
            if not self._is_resumed:
                raise
            raise patience.record_failure(error) from None
        except ApiError:
            patience.reset()
            raise
        patience.reset()
        return task

    def result(self) -> SeeAnyTask:
        """
        Return the completed task without waiting for it; only passing faults are asked about again.

        :raises SeeAnyError: if it is not done, has failed, or cannot be asked for.
        """
        step = self._wait.receive(self.hook.get_task(self.seeany_task_id), self._clock())
        if not isinstance(step, Pause):
            return self._completed(step)
        if (error := self._wait.last_error) is not None:
            raise api_error(error, seeany_conn_id=self.seeany_conn_id, seeany_task_id=self.seeany_task_id)
        raise SeeAnyTaskNotReady(f"{self._about} is not done yet: {self._wait.last_snapshot}.")

    def abandon(self) -> None:
        """Close what this process holds, and say that the SeeAny task goes on."""
        self.hook.close()
        log_abandoned(self._about, self._log)

    @property
    def _about(self) -> str:
        return f"SeeAny task {sanitize(str(self.seeany_task_id))}"

    def trigger(self) -> SeeAnyTaskTrigger:
        """Return the trigger that goes on where this left off."""
        asked_for = self.pause if self._wait.is_failing else 0.0
        last_snapshot = self._wait.last_snapshot
        return SeeAnyTaskTrigger(
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            poll_interval=self.interval,
            max_poll_interval=self.max_interval,
            callback_poll_interval=self.callback_interval,
            deadline=self._deadline,
            timeout=self.timeout,
            first_poll_at=first_poll_at(self.interval, self._deadline, asked_for=asked_for),
            last_snapshot=msgspec.to_builtins(last_snapshot) if last_snapshot else None,
            do_xcom_push=self._do_xcom_push,
        )

    @property
    def defer_timeout(self) -> timedelta:
        """The time limit for Airflow to set on the deferral."""
        return defer_timeout(self.timeout)

    def concluded(self, event: Mapping[str, Any]) -> SeeAnyTask:
        """
        Return the completed task that the trigger reported.

        :raises SeeAnyError: if it reported anything else.
        """
        task = self._completed(decode_event(decode_outcome, event, about=self._about))
        if self.callback_interval is not None:
            # If it was a ring that ended the wait, no trigger has told it.
            AnomalyLog().log_new(task, self._log)
            log_completed(task, sanitize(str(self.seeany_task_id)), self._log)
        return task

    def timed_out(self) -> SeeAnyTaskTimeout:
        """Return the exception for a time-out that Airflow found while a worker was waiting."""
        return task_timeout(self._wait.timed_out(), seeany_task_id=self.seeany_task_id, timeout=self.timeout)

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        silence = TimedOut(last_error=SILENCE)
        return task_timeout(silence, seeany_task_id=self.seeany_task_id, timeout=self.timeout)

    def _completed(self, outcome: Outcome) -> SeeAnyTask:
        return completed_task(
            outcome,
            seeany_task_id=str(self.seeany_task_id),
            seeany_conn_id=self.seeany_conn_id,
            timeout=self.timeout,
        )
