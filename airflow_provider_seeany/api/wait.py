"""
One wait for one task, without a clock or I/O: it is fed with answers and trouble and says what to do next.

A waiting trigger, a poking sensor and a blocking loop all follow it, so that they cannot differ::

    reply ──> Wait.heard(reply, now) ──> Pause(seconds)   ask again after that
                                     ──> Finished         completed or failed, with the answer
                                     ──> Refused          asking again cannot succeed
                                     ──> TimedOut         the deadline has passed
"""

from __future__ import annotations

import msgspec

from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.outcome import Finished, Outcome, Refused, TimedOut
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log, Oddities, log_completed

MIN_INVALID_RESPONSES = 5
"""Fewest unusable answers one after the other that are believed: proxies produce one now and then, not several."""

MIN_INVALID_SECONDS = 60.0
"""Fewest seconds between the first and the last of them: a proxy that is restarted repeats itself for a while."""

LAST_POLL_SECONDS = 60.0
"""
Most seconds after the deadline for questions that are due or under way then.

Less than the time after which Airflow would end the deferral itself, with a message that tells nothing.
"""

NOT_FOUND_GRACE = 30.0
"""
Seconds after the start of a wait in which a 404 means that the task is not visible yet: what created it, and what is
asked, may be different replicas of the service.
"""


class Pause(msgspec.Struct, frozen=True):
    """Ask again after so many seconds."""

    seconds: float


class Doubt:
    """Doubts unusable answers, until there were :data:`MIN_INVALID_RESPONSES` for :data:`MIN_INVALID_SECONDS`."""

    __slots__ = ("_in_a_row", "_since")

    def __init__(self) -> None:
        self._in_a_row = 0
        self._since = 0.0

    def is_over(self, reply: SeeAnyTask | Trouble, now: float) -> bool:
        """Take note of a reply and tell whether it is an unusable answer that has to be believed."""
        if not (isinstance(reply, Trouble) and reply.kind is Kind.INVALID_RESPONSE):
            self._in_a_row = 0
            return False
        if not self._in_a_row:
            self._since = now
        self._in_a_row += 1
        return self._in_a_row >= MIN_INVALID_RESPONSES and now >= self._since + MIN_INVALID_SECONDS


def credible(reply: SeeAnyTask | Trouble) -> SeeAnyTask | Trouble:
    """Return what a question brought, as trouble if it is an answer that cannot be true."""
    if not isinstance(reply, SeeAnyTask):
        return reply
    if reply.contradicts_itself:
        why = "the task in its data is not"
    elif reply.lacks_its_result:
        why = "the answer has no video_url, nor any other result"
    else:
        return reply
    return Trouble(
        kind=Kind.INVALID_RESPONSE,
        text=f"SeeAny says the {'video' if reply.is_video else 'task'} is completed, but {why}; it reads: "
        + sanitize(repr(dict(reply.payload)), limit=400),
    )


class Wait:
    """
    Follows one task until it ends, cannot be asked for, or the deadline passes. Logs on change only.

    :param seeany_task_id: the task waited for.
    :param polling: says how long to sleep between questions.
    :param deadline: when to give up, in Unix seconds; ``None`` for never.
    :param log: where to tell what changes.
    :param began: when the wait began, in Unix seconds; ``None`` if it asks for a task that must be visible by now.
    :param last_snapshot: what an earlier part of the same wait saw, if there was one.
    :param oddities: warns of what is odd; of its own unless waits that belong together share one.
    """

    # A batch has thousands of them.
    __slots__ = (
        "_deadline",
        "_doubt",
        "_in_trouble_since",
        "_log",
        "_name",
        "_oddities",
        "_polling",
        "_stalls_at",
        "_troubles_in_a_row",
        "_visible_by",
        "first_poll_at",
        "last_snapshot",
        "last_trouble",
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
        oddities: Oddities | None = None,
    ) -> None:
        self.last_snapshot = last_snapshot
        self._name = sanitize(seeany_task_id)
        self.last_trouble: Trouble | None = None
        self._polling = polling
        self._deadline = deadline
        self._visible_by = float("-inf") if began is None else began + NOT_FOUND_GRACE
        self._log = log
        self._in_trouble_since: float | None = None
        self._troubles_in_a_row = 0
        self._doubt = Doubt()
        self._stalls_at = float("inf")
        self._oddities = oddities or Oddities(last_snapshot)
        self.first_poll_at: float | None = None
        """When the polling would ask first, in Unix seconds; ``None`` if an earlier part of the wait saw nothing."""
        if last_snapshot and last_snapshot.at is not None:
            self._stalls_at = last_snapshot.stalls_at(last_snapshot.at)
            # What the worker saw is an answer like any other: with it, one more tells how fast the estimate falls.
            self.first_poll_at = last_snapshot.at + self._ask_polling(last_snapshot, last_snapshot.at)
            if deadline is not None:
                self.first_poll_at = min(self.first_poll_at, deadline)

    def receive(self, reply: SeeAnyTask | Trouble, now: float) -> Outcome | Pause:
        """
        Take note of what a question brought and say what to do next.

        :param reply: the answer, or why there was none.
        :param now: Unix seconds.
        """
        reply = credible(reply)
        is_believed = self._doubt.is_over(reply, now)
        if isinstance(reply, Trouble):
            return self._note_trouble(reply, now, is_believed=is_believed)
        self._note_answer(reply, now)
        if not reply.is_running:
            return Finished(dict(reply.payload))
        return self._pause(self._ask_polling(reply, now), now)

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last question brought no answer."""
        return self._troubles_in_a_row > 0

    @property
    def looked_ended(self) -> bool:
        """Whether the last answer had a result, or read as if the task had ended, under a status that is no end."""
        return self.last_snapshot is not None and (self.last_snapshot.looks_ended or self.last_snapshot.had_result)

    def timed_out(self) -> TimedOut:
        """Return the outcome of a wait whose time is up."""
        seen = self.last_snapshot
        return TimedOut(
            last_snapshot=str(seen) if seen else None,
            last_trouble=str(self.last_trouble) if self._troubles_in_a_row and self.last_trouble else None,
            result_url=seen.result_url if seen else None,
            had_result=seen is not None and seen.had_result,
            looks_ended=seen is not None and seen.looks_ended,
        )

    def _ask_polling(self, payload: SeeAnyTask | Snapshot, at: float) -> float:
        return self._polling.after_response(
            estimated_remaining=payload.estimated_remaining, progress=payload.progress, now=at
        )

    def _pause(self, seconds: float, now: float) -> Pause | TimedOut:
        if self._deadline is None:
            return Pause(seconds)
        if now >= self._deadline:
            return self.timed_out()
        # The last question is asked at the deadline itself: a task that just made it is not lost.
        return Pause(min(seconds, self._deadline - now))

    def _note_answer(self, task: SeeAnyTask, now: float) -> None:
        if self._in_trouble_since is not None:
            self._log.info(
                "SeeAny answered again after %d failures in %.0f s",
                self._troubles_in_a_row,
                now - self._in_trouble_since,
            )
        self._in_trouble_since = None
        self._troubles_in_a_row = 0
        self._oddities.notice(task, self._log)
        if task.is_completed:
            log_completed(task, self._name, self._log)
        elif task.is_failed:
            self._log.warning("SeeAny task %s failed: %s", self._name, task.failure_reason)
        else:
            self._note_running(Snapshot.of(task, now), now)

    def _note_running(self, seen: Snapshot, now: float) -> None:
        before = self.last_snapshot
        self.last_snapshot = seen
        # The estimate alone changes on every answer; a line for each would drown the log.
        if before is None or (before.status, before.progress) != (seen.status, seen.progress):
            self._log.info("SeeAny task %s: %s", self._name, seen)
            self._stalls_at = seen.stalls_at(now)
        elif now >= self._stalls_at:
            self._log.info("SeeAny task %s: %s, as for a long while; the wait goes on", self._name, seen)
            self._stalls_at = float("inf")

    def _note_trouble(self, trouble: Trouble, now: float, *, is_believed: bool) -> Outcome | Pause:
        self.last_trouble = trouble
        self._troubles_in_a_row += 1
        may_appear = trouble.kind is Kind.PERMANENT and trouble.http_status == 404 and now < self._visible_by
        if (trouble.kind is Kind.PERMANENT or is_believed) and not may_appear:
            return Refused(trouble)
        if self._in_trouble_since is None:
            self._in_trouble_since = now
            self._log.warning(
                "%s; %sasking for SeeAny task %s goes on",
                trouble,
                "it may not be visible yet, so " if may_appear else "",
                self._name,
            )
        seconds = self._polling.after_error(trouble, in_a_row=self._troubles_in_a_row)
        if may_appear:
            # Whether it is unknown for good is to be found out as soon as that can be told.
            seconds = min(seconds, self._visible_by - now)
        return self._pause(seconds, now)
