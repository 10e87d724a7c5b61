"""
One wait for many tasks, without a clock or I/O: it says whom to ask about when, and is fed with what that brought.

Each task is followed by a :class:`~airflow_provider_seeany.api.wait.Wait` of its own, so that a task in a batch is
judged as any other. What is added here is that all of them share one pace: they wait for their turns, as
:mod:`~airflow_provider_seeany.api.poll_queue` says, which come ``max_requests_per_second`` apart, and far more seldom
while the service is down, as :mod:`~airflow_provider_seeany.api.circuit_breaker` says::

    Batch.next_request(now) ──> "vid_1"         ask about this one now, then tell heard()
                             ──> Pause(seconds)  nothing to ask yet; ask again after that, or after the next reply
    Batch.outcome(now)       ──> None            go on
                             ──> BatchResult     every task has ended, or the first failure ends the batch
                             ──> BatchTimedOut   the deadline has passed
                             ──> BatchAborted    the key was refused, so that every other request would be, too
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome, BatchTimedOut
from airflow_provider_seeany.api.circuit_breaker import CircuitBreaker
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.api.intervals import AdaptiveInterval, FixedInterval
from airflow_provider_seeany.api.outcome import Finished, Refused, TimedOut
from airflow_provider_seeany.api.poll_queue import PollQueue
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS, Pause, Wait
from airflow_provider_seeany.api.wait_log import LOG_INTERVAL, Log, Oddities, ThrottledLog

MAX_ENDED_SHOWN = 20
"""Most ids that a time-out names of tasks that have probably ended."""

MAX_PAUSE = 3600.0
"""Most seconds to pause where nothing is due and there is no deadline."""


class Batch:
    """
    Follows many tasks until each has ended, one thing ends them all, or the deadline passes.

    All of it may be lost at any time but the ids: what is made anew asks about each task again.

    :param ids: the tasks, checked by :func:`checked_task_ids`.
    :param deadline: when to give up, in Unix seconds; ``None`` for never.
    :param log: where to log its progress.
    :param now: Unix seconds.
    :param began: when the wait began, in Unix seconds; ``None`` if its tasks must be visible by now.
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
    ) -> None:
        self._ids = ids
        self._settings = settings
        # The pace of the batch as a whole.
        self._pace = FixedInterval(poll_interval=settings.poll_interval)
        self._spacing = 1 / settings.max_requests_per_second
        self._deadline = deadline
        self._ends_at = float("inf") if deadline is None else max(deadline, now) + LAST_POLL_SECONDS
        self._began = began
        self._log = log
        self._calm_log = ThrottledLog(log)
        self._oddities = Oddities()
        self._turns = PollQueue(range(len(ids)), now)
        # Made when the first answer comes.
        self._waits: dict[int, tuple[Wait, AdaptiveInterval]] = {}
        self._under_way: dict[str, int] = {}
        self._next_slot = now
        self.results = ResultCollector(ids)
        """What the tasks brought so far."""
        self._refused: Refused | None = None
        self._last_trouble: Trouble | None = None
        self._last_trouble_at: int | None = None
        self._is_answered = False
        self._outage = CircuitBreaker(poll_interval=settings.poll_interval, log=log)
        self._told = (now, 0)
        self._log.info("Waiting for %s SeeAny task%s", format_count(len(ids)), "" if len(ids) == 1 else "s")

    def next_request(self, now: float) -> str | Pause:
        """Return the task to ask about now, or how long to pause unless a reply comes first."""
        soonest = self._ends_at
        if len(self._under_way) < (1 if self._outage.is_open else self._settings.max_concurrent_requests):
            at = max(self._turns.next_at, self._next_slot, self._next_probe_at)
            if at <= now:
                place = self._turns.take(now)
                self._next_slot = now + self._spacing
                self._under_way[self._ids[place]] = place
                return self._ids[place]
            soonest = min(at, soonest)
        return Pause(min(max(soonest - now, 0), MAX_PAUSE))

    @property
    def _next_probe_at(self) -> float:
        at = self._outage.next_probe_at
        # As in a single wait, the last question is asked at the deadline.
        return at if self._deadline is None else min(at, self._deadline)

    def receive(self, seeany_task_id: str, reply: SeeAnyTask | Trouble, now: float) -> None:
        """
        Take note of what a question brought.

        :param seeany_task_id: whom it was about.
        :param reply: the answer, or why there was none.
        :param now: Unix seconds.
        """
        place = self._under_way.pop(seeany_task_id)
        if self.results.has_ended(place):
            return
        known = self._waits.pop(place, None)
        wait, polling = known or self._wait(seeany_task_id)
        step = wait.receive(reply, now)
        self._turns.note(place, had_ended=isinstance(step, Finished | Refused))
        self._note_trouble(place, reply, now)
        match step:
            case Pause(seconds):
                self._waits[place] = wait, polling
                left = polling.seconds_left if isinstance(reply, SeeAnyTask) else None
                self._turns.push(place, due=now + seconds, ends=None if left is None else now + left)
            case Finished() if isinstance(reply, SeeAnyTask) and reply.is_completed:
                self.results.add(place, reply)
            case Finished() if isinstance(reply, SeeAnyTask):
                self.results.fail(place, reply.failure_reason)
            case Refused(trouble):
                # One 403 among answers is about the task, not about the key.
                if trouble.http_status == 401 or (trouble.refuses_key and not self._is_answered):
                    self._refused = step
                else:
                    self.results.fail(place, str(trouble))
            case TimedOut():
                # Not asked about again, and not among those that have ended; what was seen of it is told.
                self._waits[place] = wait, polling
        self._note_outage(place, reply, now)
        self._tell(now)

    def _note_trouble(self, place: int, reply: SeeAnyTask | Trouble, now: float) -> None:
        if isinstance(reply, SeeAnyTask):
            self._is_answered = True
            if self._last_trouble_at == place:
                self._last_trouble = None
            return
        self._last_trouble, self._last_trouble_at = reply, place
        if reply.kind is Kind.THROTTLED:
            # The service asks the caller for patience, not the task.
            self._next_slot = max(self._next_slot, now + self._pace.after_error(reply, in_a_row=1))

    def _note_outage(self, place: int, reply: SeeAnyTask | Trouble, now: float) -> None:
        believed = self._outage.receive(place, reply, now)
        if believed is not None:
            self.results.fail_the_rest(str(believed))
        if self._outage.is_open and self._deadline is not None and now >= self._deadline:
            self._ends_at = min(self._ends_at, now)  # there is nobody to ask about what is left

    def connection_failed(self, trouble: Trouble, *, in_a_row: int, now: float) -> BatchOutcome | Pause:
        """Take note that nobody can be asked for now, and say what to do next."""
        self._last_trouble = trouble
        self._calm_log.warning("%s; the wait goes on", trouble)
        self._calm_log.flush(now)
        seconds = self._pace.after_error(trouble, in_a_row=in_a_row)
        if self._deadline is not None and now >= self._deadline:
            return self._timed_out()
        return Pause(seconds if self._deadline is None else min(seconds, self._deadline - now))

    def outcome(self, now: float) -> BatchOutcome | None:
        """Return what the batch has ended with, or ``None`` while it has not."""
        if self._refused is not None:
            return BatchAborted(why=self._refused, result=self.results.result())
        over = self.results.done == len(self._ids) or (self._settings.fail_fast and self.results.failed)
        if over:
            self._calm_log.flush(float("inf"))
            self._log.info("%s", self.results)
            return self.results.result()
        if now >= self._ends_at or not (self._turns or self._under_way):
            return self._timed_out()
        return None

    def _wait(self, seeany_task_id: str) -> tuple[Wait, AdaptiveInterval]:
        polling = AdaptiveInterval(
            poll_interval=self._settings.poll_interval, max_poll_interval=self._settings.max_poll_interval
        )
        wait = Wait(
            seeany_task_id,
            polling=polling,
            deadline=self._deadline,
            log=self._calm_log,
            began=self._began,
            oddities=self._oddities,
        )
        return wait, polling

    def _timed_out(self) -> BatchTimedOut:
        self._calm_log.flush(float("inf"))
        looked_ended = sorted(place for place, (wait, _) in self._waits.items() if wait.looked_ended)
        return BatchTimedOut(
            result=self.results.result(),
            looked_ended=[self._ids[place] for place in looked_ended[:MAX_ENDED_SHOWN]],
            last_trouble=str(self._last_trouble) if self._last_trouble else None,
        )

    def _tell(self, now: float) -> None:
        self._calm_log.flush(now)
        told_at, done = self._told
        if now >= told_at + LOG_INTERVAL and done != self.results.done:
            self._told = (now, self.results.done)
            self._log.info("%s", self.results)
