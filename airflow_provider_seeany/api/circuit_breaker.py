"""
What a batch makes of a service that is down as a whole.

Each task backs off on its own, but thousands of them would still ask as often as may be, and none of it would help::

                 FAILURE_THRESHOLD different tasks brought no answer, and not one did
    ┌─────────┐ ─────────────────────────────────────────────────────────────> ┌──────────────────────────────┐
    │ no pace │                                                                │ one question at a time, after│
    │ of its  │ <───────────────────────────────────────────────────────────── │ pauses that grow to a minute │
    │ own     │                    the first answer                            └──────────────────────────────┘
    └─────────┘
"""

from __future__ import annotations

from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.api.intervals import BACKOFF_MAX, FixedInterval
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count
from airflow_provider_seeany.api.wait import Doubt
from airflow_provider_seeany.api.wait_log import LOG_INTERVAL, Log

FAILURE_THRESHOLD = 20
"""So many different tasks without an answer, and none with one, are the service's trouble and not theirs."""

MIN_FAILURES_LOGGED = 5
"""After so many questions in a row without an answer, whomever they were about, the next answer is worth a line."""


class CircuitBreaker:
    """
    Follows whether anything is answered at all.

    :param poll_interval: seconds between two questions about a task, from which the pauses grow.
    :param log: where to tell that it begins, and that it is over.
    """

    def __init__(self, *, poll_interval: float, log: Log) -> None:
        self._backoff = FixedInterval(poll_interval=min(poll_interval, BACKOFF_MAX))
        self._log = log
        self._doubt = Doubt()
        self._unanswered = 0
        self._unanswered_since = 0.0
        self._unanswered_indexes: set[int] = set()
        self._probes = 0
        self._begin_told_at = self._end_told_at = float("-inf")
        self.next_probe_at = float("-inf")
        """Ask nothing sooner, if it is on."""

    @property
    def is_open(self) -> bool:
        """Whether the service is down, so that one question at a time is enough."""
        return len(self._unanswered_indexes) >= FAILURE_THRESHOLD

    def receive(self, index: int, reply: SeeAnyTask | Trouble, now: float) -> Trouble | None:
        """
        Take note of what a question brought.

        :param place: whom it was about.
        :param reply: the answer, or why there was none.
        :param now: Unix seconds.
        :return: an unusable answer that has to be believed of all tasks, as it would be of a single one.
        """
        is_believed = self._doubt.is_over(reply, now)
        # A refusal is an answer, too: the service knows what it was asked.
        if not isinstance(reply, Trouble) or reply.kind is Kind.PERMANENT:
            self._note_answer(now)
            return None
        self._unanswered_since = self._unanswered_since if self._unanswered else now
        self._unanswered += 1
        self._unanswered_indexes.add(index)
        # What comes sooner was asked before it began.
        if self.is_open and now >= self.next_probe_at:
            self._note_probe(reply, now)
        return reply if is_believed and self.is_open else None

    def _note_probe(self, trouble: Trouble, now: float) -> None:
        self._probes += 1
        self.next_probe_at = now + self._backoff.after_error(trouble, in_a_row=self._probes)
        if self._probes == 1 and now >= self._begin_told_at + LOG_INTERVAL:
            self._begin_told_at = now
            self._log.warning("SeeAny does not answer at all: asking about one task at a time until it does")

    def _note_answer(self, now: float) -> None:
        if self._unanswered >= MIN_FAILURES_LOGGED and now >= self._end_told_at + LOG_INTERVAL:
            self._end_told_at = now
            self._log.info(
                "SeeAny answered again after %s failures in %.0f s",
                format_count(self._unanswered),
                now - self._unanswered_since,
            )
        self._unanswered = self._probes = 0
        self._unanswered_indexes.clear()
        self.next_probe_at = float("-inf")
