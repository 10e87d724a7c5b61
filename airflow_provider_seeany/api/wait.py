"""
One wait for one task, without a clock or I/O: it receives each task or error and returns what to do next.

Triggers, poking sensors and blocking loops all follow it, so that they cannot differ::

    Wait.receive(task or error, now) ──> Pause(seconds)   poll again after that
                                     ──> Finished         completed or failed, with the payload
                                     ──> Refused          another request cannot succeed
                                     ──> TimedOut         the deadline has passed
"""

from __future__ import annotations

import msgspec

from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, PermanentError
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.invalid_responses import InvalidResponseCounter, validated
from airflow_provider_seeany.api.outcome import Finished, Outcome, Refused, TimedOut
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import AnomalyLog, Log, log_completed

LAST_POLL_SECONDS = 60.0
"""
Maximum seconds after the deadline for requests that are due or under way then: less than the time after which Airflow
would end the deferral itself, without a reason.
"""

NOT_FOUND_GRACE = 30.0
"""
Seconds after the start of a wait in which a 404 means that the task is not visible yet: the service may have created
it on another replica.
"""


class Pause(msgspec.Struct, frozen=True):
    """Poll again after so many seconds."""

    seconds: float


class Wait:
    """
    Follows one task until it ends, a request is refused, or the deadline passes. Logs changes only.

    All times are Unix seconds.

    :param polling: returns the interval to the next request.
    :param deadline: ``None`` for never.
    :param began: when the wait began; ``None`` if the task must be visible by now.
    :param last_snapshot: the last snapshot of an earlier part of the same wait.
    :param anomalies: logs unexpected values; the waits of a batch share one.
    """

    # A batch has thousands of them.
    __slots__ = (
        "_anomalies",
        "_deadline",
        "_errors_in_a_row",
        "_failing_since",
        "_invalid_responses",
        "_log",
        "_name",
        "_polling",
        "_stalls_at",
        "_visible_by",
        "first_poll_at",
        "last_error",
        "last_snapshot",
    )

    def __init__(
        self,
        seeany_task_id: str,
        *,
        polling: PollPolicy,
        deadline: float | None,
        log: Log,
        began: float | None = None,
        last_snapshot: Snapshot | None = None,
        anomalies: AnomalyLog | None = None,
    ) -> None:
        self.last_snapshot = last_snapshot
        self.last_error: ApiError | None = None
        self._name = sanitize(seeany_task_id)
        self._polling = polling
        self._deadline = float("inf") if deadline is None else deadline
        self._visible_by = float("-inf") if began is None else began + NOT_FOUND_GRACE
        self._log = log
        self._failing_since: float | None = None
        self._errors_in_a_row = 0
        self._invalid_responses = InvalidResponseCounter()
        self._stalls_at = float("inf")
        self._anomalies = anomalies or AnomalyLog(last_snapshot)
        self.first_poll_at: float | None = None
        """When the first request is due; ``None`` without a snapshot."""
        if last_snapshot and last_snapshot.at is not None:
            self._stalls_at = last_snapshot.stalls_at(last_snapshot.at)
            # The worker's snapshot counts like a response: one more tells how fast the estimate falls.
            interval = self._interval(last_snapshot, last_snapshot.at)
            self.first_poll_at = min(last_snapshot.at + interval, self._deadline)

    def receive(self, reply: SeeAnyTask | ApiError, now: float) -> Outcome | Pause:
        """Take a request's task or error, and return what to do next."""
        if isinstance(reply, SeeAnyTask):
            try:
                reply = validated(reply)
            except InvalidResponseError as error:
                reply = error
        is_believed = self._invalid_responses.receive(reply, now)
        if isinstance(reply, ApiError):
            return self._receive_error(reply.detached(), now, is_believed=is_believed)
        self._receive_task(reply, now)
        if not reply.is_running:
            return Finished(dict(reply.payload))
        return self._pause(self._interval(reply, now), now)

    @property
    def is_failing(self) -> bool:
        """Whether the last request failed."""
        return self._errors_in_a_row > 0

    @property
    def looked_ended(self) -> bool:
        """Whether the last response had a result, or read as if the task had ended, under an unknown status."""
        return self.last_snapshot is not None and (self.last_snapshot.looks_ended or self.last_snapshot.had_result)

    def timed_out(self) -> TimedOut:
        """Return the outcome for a wait past its deadline."""
        snapshot = self.last_snapshot
        return TimedOut(
            last_snapshot=str(snapshot) if snapshot else None,
            last_error=str(self.last_error) if self.is_failing else None,
            result_url=snapshot.result_url if snapshot else None,
            had_result=snapshot is not None and snapshot.had_result,
            looks_ended=snapshot is not None and snapshot.looks_ended,
        )

    def _interval(self, source: SeeAnyTask | Snapshot, now: float) -> float:
        return self._polling.after_response(
            estimated_remaining=source.estimated_remaining, progress=source.progress, now=now
        )

    def _pause(self, seconds: float, now: float) -> Pause | TimedOut:
        if now >= self._deadline:
            return self.timed_out()
        # The last request is made at the deadline itself: a task that just made it is not lost.
        return Pause(min(seconds, self._deadline - now))

    def _receive_task(self, task: SeeAnyTask, now: float) -> None:
        if self._failing_since is not None:
            self._log.info(
                "SeeAny responded again after %d failures in %.0f s", self._errors_in_a_row, now - self._failing_since
            )
        self._failing_since = None
        self._errors_in_a_row = 0
        self._anomalies.log_new(task, self._log)
        if task.is_completed:
            log_completed(task, self._name, self._log)
        elif task.is_failed:
            self._log.warning("SeeAny task %s failed: %s", self._name, task.failure_reason)
        else:
            self._keep_snapshot(Snapshot.of(task, now), now)

    def _keep_snapshot(self, snapshot: Snapshot, now: float) -> None:
        before = self.last_snapshot
        self.last_snapshot = snapshot
        # The estimate alone changes with every response; a line for each would drown the log.
        if before is None or (before.status, before.progress) != (snapshot.status, snapshot.progress):
            self._log.info("SeeAny task %s: %s", self._name, snapshot)
            self._stalls_at = snapshot.stalls_at(now)
        elif now >= self._stalls_at:
            self._log.info("SeeAny task %s: %s, unchanged for a long time; the wait continues", self._name, snapshot)
            self._stalls_at = float("inf")

    def _receive_error(self, error: ApiError, now: float, *, is_believed: bool) -> Outcome | Pause:
        self.last_error = error
        self._errors_in_a_row += 1
        is_permanent = isinstance(error, PermanentError)
        may_appear = is_permanent and error.http_status == 404 and now < self._visible_by
        if (is_permanent or is_believed) and not may_appear:
            return Refused.of(error)
        if self._failing_since is None:
            self._failing_since = now
            self._log.warning(
                "%s; %sthe wait for SeeAny task %s continues",
                error,
                "the task may not be visible yet, so " if may_appear else "",
                self._name,
            )
        seconds = self._polling.after_error(error, in_a_row=self._errors_in_a_row)
        if may_appear:
            # The request that decides whether the id is unknown is made as soon as it can decide that.
            seconds = min(seconds, self._visible_by - now)
        return self._pause(seconds, now)
