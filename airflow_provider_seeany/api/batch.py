"""
One wait for many tasks, without a clock or I/O: it returns which task to poll when, and receives the result.

A :class:`~airflow_provider_seeany.api.wait.Wait` follows each task, so that a task in a batch is judged as any other.
This module makes them share the limits: a :mod:`~airflow_provider_seeany.api.poll_queue` picks the task to poll next,
requests are ``max_requests_per_second`` apart, and a :mod:`~airflow_provider_seeany.api.circuit_breaker` makes them
rare while the service is down. Where SeeAny calls back, a task is polled after that, and
:mod:`~airflow_provider_seeany.api.missed_callbacks` chooses the other polls::

    Batch.next_request(now) ──> "vid_1"         poll this task now, then call receive()
                            ──> Pause(seconds)  nothing is due; call again after that, or after the next receive()
    Batch.outcome(now)      ──> None            continue
                            ──> BatchResult     every task has ended, or the first failure ends the batch
                            ──> BatchTimedOut   the deadline has passed
                            ──> BatchAborted    the key was refused, as it would be in every other request
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome, BatchTimedOut
from airflow_provider_seeany.api.circuit_breaker import CircuitBreaker
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import ApiError, ThrottledError
from airflow_provider_seeany.api.intervals import AdaptiveInterval, ExpectedEnd, OnCallback, PollPolicy
from airflow_provider_seeany.api.missed_callbacks import MissedCallbacks
from airflow_provider_seeany.api.outcome import Finished, Refused, TimedOut
from airflow_provider_seeany.api.poll_queue import PollQueue
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS, Pause, Wait
from airflow_provider_seeany.api.wait_log import LOG_INTERVAL, AnomalyLog, Log, ThrottledLog

MAX_ENDED_SHOWN = 20  # maximum ids that a timeout names of tasks that have probably ended
CALLED_BACK_AHEAD = 1e6  # seconds by which a task that SeeAny has called back about is due before all others
MAX_PAUSE = 3600.0  # maximum seconds to pause where nothing is due and there is no deadline


class Batch:
    """
    Follows many tasks until each has ended, one error ends the batch, or the deadline passes.

    A restart needs the ids alone: a new batch polls each task again. All times are Unix seconds.

    :param ids: the tasks, checked by :func:`~airflow_provider_seeany.api.task_id.checked_task_ids`.
    :param deadline: ``None`` for never.
    :param began: when the wait began; ``None`` if its tasks must be visible by now.
    :param expected_duration: seconds that each task should take from then on.
    """

    def __init__(
        self,
        ids: Sequence[str],
        settings: BatchSettings,
        *,
        deadline: float | None,
        log: Log,
        now: float,
        began: float | None = None,
        expected_duration: float | None = None,
    ) -> None:
        self._ids = ids
        self._settings = settings
        # For errors that concern the batch as a whole.
        self._backoff = PollPolicy(poll_interval=settings.poll_interval)
        self._spacing = 1 / settings.max_requests_per_second
        self._deadline = float("inf") if deadline is None else deadline
        self._ends_at = max(self._deadline, now) + LAST_POLL_SECONDS
        self._began = began
        self._expected_duration = expected_duration
        self._log = log
        self._throttled_log = ThrottledLog(log)
        self._anomalies = AnomalyLog()
        self._missed = MissedCallbacks(settings.callback_poll_interval, now) if settings.expect_callback else None
        self._queue = PollQueue(range(len(ids)), self._deadline if self._missed else now)
        # Made when the first response comes.
        self._waits: dict[int, tuple[Wait, PollPolicy]] = {}
        self._in_flight: dict[str, int] = {}
        self._next_slot = now
        self.results = ResultCollector(ids)
        """The results so far."""
        self._refused: Refused | None = None
        self._last_error: ApiError | None = None
        self._last_error_index: int | None = None
        self._key_works = False
        self._breaker = CircuitBreaker(poll_interval=settings.poll_interval, log=log)
        self._logged_at, self._logged_done = now, 0
        self._log.info("Waiting for %s SeeAny task%s", format_count(len(ids)), "" if len(ids) == 1 else "s")

    def next_request(self, now: float) -> str | Pause:
        """Return the task to poll now, or how long to pause unless a request ends first."""
        next_at = self._ends_at
        if self._missed is not None and now < self._deadline:
            if self._missed.next_at <= now:
                for index in self._missed.due(self._running(), now):
                    self._queue.hasten(index, now)
            next_at = min(next_at, self._missed.next_at)
        if len(self._in_flight) < (1 if self._breaker.is_open else self._settings.max_concurrent_requests):
            # As in a single wait, the last request is made at the deadline.
            probe_at = min(self._breaker.next_probe_at, self._deadline)
            due = max(self._queue.next_at, self._next_slot, probe_at)
            if due <= now:
                index = self._queue.take(now)
                self._next_slot = now + self._spacing
                self._in_flight[self._ids[index]] = index
                return self._ids[index]
            next_at = min(due, next_at)
        return Pause(min(max(next_at - now, 0), MAX_PAUSE))

    def receive(self, seeany_task_id: str, reply: SeeAnyTask | ApiError, now: float) -> None:
        """Take the task, or the error, of the request for a task."""
        index = self._in_flight.pop(seeany_task_id)
        if self.results.has_ended(index):
            return
        known = self._waits.pop(index, None)
        wait, polling = known or self._new_wait(seeany_task_id, now)
        step = wait.receive(reply, now)
        if had_ended := isinstance(step, Finished | Refused):
            self._note_end(index, now)
        self._queue.record(index, had_ended=had_ended)
        self._keep_error(index, reply, now)
        match step:
            case Pause(seconds):
                self._waits[index] = wait, polling
                left = None
                if isinstance(reply, SeeAnyTask) and isinstance(polling, AdaptiveInterval):
                    left = polling.seconds_left
                self._queue.push(index, due=now + seconds, ends=None if left is None else now + left)
            case Finished() if isinstance(reply, SeeAnyTask):
                if reply.is_success(accept_partial=self._settings.accept_partial):
                    self.results.add(index, reply)
                else:
                    self.results.add_failed(index, reply)
            case Refused():
                error = step.error()
                # A 403 is about the task and not about the key if other requests succeeded.
                if error.http_status == 401 or (error.refuses_key and not self._key_works):
                    self._refused = step
                else:
                    self.results.fail(index, str(error))
            case TimedOut():
                # Not polled again, but not ended either: the outcome names it.
                self._waits[index] = wait, polling
        self._update_breaker(index, reply, now)
        self._log_progress(now)

    def called_back(self, indexes: Iterable[int], now: float) -> None:
        """Poll the tasks with these indexes next: SeeAny has called back about them."""
        if self._missed is None or now >= self._deadline:
            return
        for index in indexes:
            self._missed.called_back(index)
            if not self.results.has_ended(index):
                self._queue.hasten(index, now - CALLED_BACK_AHEAD)

    def _running(self) -> list[int]:
        """Return the tasks that have not ended, as far as is known, and are not being polled."""
        polled = set(self._in_flight.values())
        return [each for each in range(len(self._ids)) if not self.results.has_ended(each) and each not in polled]

    def _note_end(self, index: int, now: float) -> None:
        if self._missed is not None:
            self._missed.ended(index, now)

    def _keep_error(self, index: int, reply: SeeAnyTask | ApiError, now: float) -> None:
        if isinstance(reply, SeeAnyTask):
            self._key_works = True
            if self._last_error_index == index:
                self._last_error = None
            return
        self._last_error, self._last_error_index = reply, index
        if isinstance(reply, ThrottledError):
            # It concerns all requests of the caller, not the task.
            self._next_slot = max(self._next_slot, now + self._backoff.after_error(reply, in_a_row=1))

    def _update_breaker(self, index: int, reply: SeeAnyTask | ApiError, now: float) -> None:
        believed = self._breaker.receive(index, reply, now)
        if believed is not None:
            self.results.fail_the_rest(str(believed))
        if self._breaker.is_open and now >= self._deadline:
            self._ends_at = min(self._ends_at, now)  # further requests are pointless

    def connection_failed(self, error: ApiError, *, in_a_row: int, now: float) -> BatchOutcome | Pause:
        """Take an error of the Airflow connection, without which no request is possible; return what to do next."""
        self._last_error = error.detached()
        self._throttled_log.warning("%s; the wait continues", error)
        self._throttled_log.flush(now)
        if now >= self._deadline:
            return self._timed_out()
        return Pause(min(self._backoff.after_error(error, in_a_row=in_a_row), self._deadline - now))

    def outcome(self, now: float) -> BatchOutcome | None:
        """Return the batch's outcome; ``None`` while it continues."""
        if self._refused is not None:
            return BatchAborted(why=self._refused, result=self.results.result())
        if self.results.done == len(self._ids) or (self._settings.fail_fast and self.results.failed):
            self._throttled_log.flush(float("inf"))
            self._log.info("%s", self.results)
            return self.results.result()
        if now >= self._ends_at or not (self._queue or self._in_flight):
            return self._timed_out()
        return None

    def _polling(self, now: float) -> PollPolicy:
        if self._missed is not None:
            return OnCallback(poll_interval=self._settings.poll_interval)
        return AdaptiveInterval(
            poll_interval=self._settings.poll_interval,
            max_poll_interval=self._settings.max_poll_interval,
            expected_end=ExpectedEnd.of(self._expected_duration, began=now if self._began is None else self._began),
        )

    def _new_wait(self, seeany_task_id: str, now: float) -> tuple[Wait, PollPolicy]:
        polling = self._polling(now)
        wait = Wait(
            seeany_task_id,
            polling=polling,
            deadline=self._deadline,
            log=self._throttled_log,
            began=self._began,
            anomalies=self._anomalies,
        )
        return wait, polling

    def _timed_out(self) -> BatchTimedOut:
        self._throttled_log.flush(float("inf"))
        looked_ended = sorted(index for index, (wait, _) in self._waits.items() if wait.looked_ended)
        return BatchTimedOut(
            result=self.results.result(),
            looked_ended=[self._ids[index] for index in looked_ended[:MAX_ENDED_SHOWN]],
            last_error=str(self._last_error) if self._last_error else None,
        )

    def _log_progress(self, now: float) -> None:
        self._throttled_log.flush(now)
        if now >= self._logged_at + LOG_INTERVAL and self._logged_done != self.results.done:
            self._logged_at, self._logged_done = now, self.results.done
            self._log.info("%s", self.results)
