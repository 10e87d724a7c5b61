"""The worker's part of the wait for one task: polls, makes its trigger, and turns the trigger's event into a task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError
from airflow_provider_seeany.api.expected_duration import expected_seconds
from airflow_provider_seeany.api.intervals import poll_policy
from airflow_provider_seeany.api.outcome import Outcome, TimedOut, Unrendered, decode_outcome
from airflow_provider_seeany.api.settings import TaskSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import as_task_id
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import Pause, Wait
from airflow_provider_seeany.api.wait_log import AnomalyLog, Log, log_abandoned, log_completed
from airflow_provider_seeany.callback.registration import CallbackRegistration
from airflow_provider_seeany.exceptions import SeeAnyTaskNotReady, SeeAnyTaskTimeout, api_error
from airflow_provider_seeany.hooks.reauth import CONNECTION_ERRORS, RetryBudget
from airflow_provider_seeany.hooks.seeany import SeeAnyHook, checked_id
from airflow_provider_seeany.outcomes import completed_task, task_timeout
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.wait.deferral import NO_REPORT, decode_event, first_poll_at, log_callback_expected
from airflow_provider_seeany.xcoms.record import Progress

MAX_PAUSE_IN_POKE = 15.0
"""
Maximum seconds between two polls of a poke that stays until it is clear whether a connection stays missing, or an
invalid response has to be believed: the process of the next poke would start over.
"""


def decode_unrendered(event: Mapping[str, Any]) -> Unrendered | None:
    """Return the event of a trigger that has not polled, so that a worker has to continue the wait."""
    try:
        return msgspec.convert(event, Unrendered)
    except msgspec.ValidationError:
        return None


class TaskWait:
    """
    The wait for one task, as far as it happens in a worker.

    :param seeany_task_id: the task to wait for. It is checked when it is polled, not when there is a result already: a
        template may render to something else by then.
    :param began: when the wait began, in Unix seconds, if that was in an earlier process; ``None`` for now.
    :param expected_duration: whatever a template rendered to, for the trigger.
    :param mode: how it waits, as metrics name it.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str,
        settings: TaskSettings,
        log: Log,
        began: float | None = None,
        expected_duration: object = None,
        mode: str = SeeAnyHook.mode,
    ) -> None:
        # Any template may have rendered it.
        self.seeany_task_id: Any = as_task_id(seeany_task_id)
        self.seeany_conn_id = seeany_conn_id
        self.settings = settings
        self.pause = settings.poll_interval
        """Seconds to sleep before the next poll."""
        self._expected_duration = expected_duration
        self._mode = mode
        self._log = log
        self._is_resumed = began is not None
        self._clock = ForwardClock() if began is None else ForwardClock(began)
        began = self._clock() if began is None else began
        self._deadline = began + settings.timeout
        self._wait = Wait(
            str(self.seeany_task_id),
            polling=poll_policy(settings, in_worker=True),
            deadline=self._deadline,
            log=log,
            began=began,
        )

    @cached_property
    def hook(self) -> SeeAnyHook:
        """The hook for the connection."""
        hook = SeeAnyHook(self.seeany_conn_id)
        hook.mode = self._mode
        return hook

    def registration(self, task_instance: Any) -> CallbackRegistration:
        """Return the registration by which a callback finds this wait."""
        return CallbackRegistration(
            task_instance, seeany_conn_id=self.seeany_conn_id, seeany_task_id=checked_id(self.seeany_task_id)
        )

    def log_callback_expected(self) -> None:
        """Log that a callback is expected from now on, and why it may not come."""
        log_callback_expected(self._log, poll_interval=self.settings.callback_poll_interval)

    def poll(self) -> SeeAnyTask | None:
        """Poll once; return the completed task, ``None`` while the wait continues, or raise ``SeeAnyError``."""
        budget = RetryBudget()
        while True:
            reply = self._reply(budget)
            step = self._wait.receive(reply, self._clock())
            if not isinstance(step, Pause):
                return self._completed(step)
            is_unclear = budget.in_a_row or isinstance(reply, InvalidResponseError)
            if not (self._is_resumed and is_unclear):
                self.pause = step.seconds
                return None
            time.sleep(min(step.seconds, MAX_PAUSE_IN_POKE))

    def _reply(self, budget: RetryBudget) -> SeeAnyTask | ApiError:
        """Poll; a connection that cannot be used ends a wait that has just begun, a later one tolerates it."""
        reply: SeeAnyTask | ApiError
        try:
            reply = self.hook.poll(self.seeany_task_id)
        except CONNECTION_ERRORS as error:
            if not self._is_resumed:
                raise
            return budget.record_failure(error)
        except ApiError as error:
            reply = error
        budget.reset()
        return reply

    def result(self) -> SeeAnyTask:
        """Return the completed task without waiting, or raise ``SeeAnyError``; only transient errors are retried."""
        step = self._wait.receive(self.hook.get_task(self.seeany_task_id), self._clock())
        if not isinstance(step, Pause):
            return self._completed(step)
        if (error := self._wait.last_error) is not None:
            raise api_error(error, seeany_conn_id=self.seeany_conn_id, seeany_task_id=self.seeany_task_id)
        raise SeeAnyTaskNotReady(f"{self._about} is not done yet: {self._wait.last_snapshot}.")

    def progress(self) -> Progress:
        """Return what the UI shows until the next poll."""
        snapshot, now = self._wait.last_snapshot, self._clock()
        pause = self.settings.callback_poll_interval if self.settings.expect_callback else self.pause
        return Progress.of_wait(
            self.seeany_conn_id,
            at=now,
            seeany_task_id=self.seeany_task_id,
            began=self._deadline - self.settings.timeout,
            deadline=self._deadline,
            percent=snapshot.progress if snapshot else None,
            seconds_left=snapshot.estimated_remaining if snapshot else None,
            next_poll_at=int(min(now + pause, self._deadline)),
        )

    def abandon(self) -> None:
        """Close what this process holds, and log that the SeeAny task continues."""
        self.hook.close()
        log_abandoned(self._about, self._log)

    @property
    def _about(self) -> str:
        return f"SeeAny task {sanitize(str(self.seeany_task_id))}"

    def trigger(self, *, end_from_trigger: bool = False) -> SeeAnyTaskTrigger:
        """Return the trigger that continues the wait, and may end it."""
        last_snapshot = self._wait.last_snapshot
        return SeeAnyTaskTrigger(
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            settings=msgspec.to_builtins(self.settings),
            deadline=self._deadline,
            first_poll_at=first_poll_at(
                self.settings.poll_interval,
                self._deadline,
                min_delay=self.pause if self._wait.is_failing else 0.0,
            ),
            expected_duration=expected_seconds(self._expected_duration, self._log),
            last_snapshot=msgspec.to_builtins(last_snapshot) if last_snapshot else None,
            end_from_trigger=end_from_trigger,
        )

    def reported_task(self, event: Mapping[str, Any]) -> SeeAnyTask:
        """Return the completed task that the trigger reported, or raise ``SeeAnyError`` for any other end."""
        task = self._completed(decode_event(decode_outcome, event, about=self._about))
        if self.settings.expect_callback:
            # If a callback ended the wait, no trigger has logged it.
            AnomalyLog().log_new(task, self._log)
            log_completed(task, sanitize(str(self.seeany_task_id)), self._log)
        return task

    def timed_out(self) -> SeeAnyTaskTimeout:
        """Return the exception for a timeout that Airflow found while a worker was waiting."""
        return self._timeout(self._wait.timed_out())

    def deferral_timed_out(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        return self._timeout(TimedOut(last_error=NO_REPORT))

    def _timeout(self, outcome: TimedOut) -> SeeAnyTaskTimeout:
        return task_timeout(outcome, seeany_task_id=self.seeany_task_id, timeout=self.settings.timeout)

    def _completed(self, outcome: Outcome) -> SeeAnyTask:
        return completed_task(
            outcome,
            seeany_task_id=str(self.seeany_task_id),
            seeany_conn_id=self.seeany_conn_id,
            timeout=self.settings.timeout,
            accept_partial=self.settings.accept_partial,
        )
