"""One wait as a worker sees it: the first look, the trigger to leave it to, and what its outcome means."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

import msgspec

from airflow_provider_seeany.api.polling import SPREAD, FixedInterval, spread
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Log, Outcome, Pause, TimedOut, Wait, decode_outcome
from airflow_provider_seeany.exceptions import (
    SeeAnyError,
    SeeAnyTaskNotReady,
    SeeAnyTaskTimeout,
    api_error,
    completed_task,
    task_timeout,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.operators.worker_free import SWEEP_GRACE
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger

FIRST_LOOK_AFTER = (5.0, 10.0)
"""
Least and most seconds between the deferral and the trigger's first look.

A trigger that fires within about four seconds can lose its task to a scheduler that has not yet noted the
deferral (apache/airflow#72716).
"""


class TaskWait:
    """
    One wait of a sensor or operator, as far as it happens in the worker.

    :param seeany_task_id: the task to wait for. It is checked when it is asked for, not when a result is there
        already: a template may render to something else by then.
    :param seeany_conn_id: the connection to ask through.
    :param interval: seconds between two questions.
    :param max_interval: most seconds between two questions of the trigger, which may adapt its pace.
    :param timeout: seconds after which to give up, counted from here.
    :param log: the log of the Airflow task.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str,
        interval: float,
        max_interval: float,
        timeout: float,
        log: Log,
    ) -> None:
        self.seeany_task_id = seeany_task_id
        self.seeany_conn_id = seeany_conn_id
        self.interval = interval
        self.max_interval = max_interval
        self.timeout = timeout
        self.pause = interval
        """Seconds to sleep before the next look."""
        self._deadline = time.time() + timeout
        self._wait = Wait(
            str(seeany_task_id), polling=FixedInterval(poll_interval=interval), deadline=self._deadline, log=log
        )

    @cached_property
    def hook(self) -> SeeAnyHook:
        """The hook for the connection."""
        return SeeAnyHook(self.seeany_conn_id)

    def look(self) -> SeeAnyTask | None:
        """
        Ask once; return the completed task, or ``None`` while it is worth asking again.

        :raises SeeAnyError: if the task failed, the time is up, or asking again cannot succeed.
        """
        step = self._wait.heard(self.hook.look(self.seeany_task_id), time.time())
        if isinstance(step, Pause):
            self.pause = step.seconds
            return None
        return self._completed(step)

    def trigger(self) -> SeeAnyTaskTrigger:
        """Return the trigger that goes on where this left off."""
        now = time.time()
        soonest, latest = FIRST_LOOK_AFTER
        # So far inside the limits that the spread cannot leave them.
        pause = spread(min(max(self.interval, soonest / (1 - SPREAD / 2)), latest / (1 + SPREAD / 2)))
        asked_for = self.pause if self._wait.is_in_trouble else 0.0
        last_seen = self._wait.last_seen
        return SeeAnyTaskTrigger(
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            poll_interval=self.interval,
            max_poll_interval=self.max_interval,
            deadline=self._deadline,
            first_look_at=now + max(min(pause, self._deadline - now), soonest, asked_for),
            last_seen=msgspec.to_builtins(last_seen) if last_seen else None,
        )

    @property
    def sweep_timeout(self) -> timedelta:
        """The time limit for Airflow to set on the deferral."""
        return timedelta(seconds=self.timeout) + SWEEP_GRACE

    def concluded(self, event: Mapping[str, Any]) -> SeeAnyTask:
        """
        Return the completed task that the trigger reported.

        :raises SeeAnyError: if it reported anything else.
        """
        try:
            outcome = decode_outcome(event)
        except ValueError as error:
            raise SeeAnyError(
                f"The trigger of SeeAny task {self.seeany_task_id} reported something unknown ({error}). "
                "Do the triggerer and the workers run the same version of airflow-provider-seeany?"
            ) from None
        return self._completed(outcome)

    def timed_out(self) -> SeeAnyTaskTimeout:
        """Return the exception for a time-out that Airflow found while a worker was waiting."""
        return task_timeout(self._wait.timed_out(), seeany_task_id=self.seeany_task_id, timeout=self.timeout)

    def unreported(self) -> SeeAnyTaskTimeout:
        """Return the exception for a deferral that Airflow ended because no trigger had reported in time."""
        silence = TimedOut(last_trouble="the triggerer did not report in time; is one running?")
        return task_timeout(silence, seeany_task_id=self.seeany_task_id, timeout=self.timeout)

    def not_ready(self) -> SeeAnyError:
        """Return the exception for a caller who does not want to wait."""
        if (trouble := self._wait.last_trouble) is not None:
            return api_error(trouble, seeany_conn_id=self.seeany_conn_id, seeany_task_id=self.seeany_task_id)
        return SeeAnyTaskNotReady(f"SeeAny task {self.seeany_task_id} is not done yet: {self._wait.last_seen}.")

    def _completed(self, outcome: Outcome) -> SeeAnyTask:
        return completed_task(
            outcome,
            seeany_task_id=self.seeany_task_id,
            seeany_conn_id=self.seeany_conn_id,
            timeout=self.timeout,
        )
