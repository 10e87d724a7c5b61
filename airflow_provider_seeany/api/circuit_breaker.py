"""
The circuit breaker of a batch, for a service that is down as a whole.

Each task backs off on its own, but thousands of them would still send as many requests as the limit allows::

                 FAILURE_THRESHOLD different tasks in a row got no response
    ┌────────┐ ─────────────────────────────────────────────────────────> ┌───────────────────────────────────┐
    │ closed │                                                            │ open: one probe at a time, half-  │
    │        │ <───────────────────────────────────────────────────────── │ open when it is due, after pauses │
    └────────┘                    the first response                      │ that grow to a minute             │
                                                                          └───────────────────────────────────┘
"""

from __future__ import annotations

from airflow_provider_seeany.api.errors import ApiError, PermanentError
from airflow_provider_seeany.api.intervals import BACKOFF_MAX, PollPolicy
from airflow_provider_seeany.api.invalid_responses import InvalidResponseCounter
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count
from airflow_provider_seeany.api.wait_log import LOG_INTERVAL, Log

FAILURE_THRESHOLD = 20
"""So many different tasks that fail without a response in between are the service's failure and not theirs."""

MIN_FAILURES_LOGGED = 5  # after so many failures in a row the next response is logged


class CircuitBreaker:
    """
    Opens when no task of a batch gets a response.

    :param poll_interval: seconds between two requests for a task, from which the pauses between probes grow.
    """

    def __init__(self, *, poll_interval: float, log: Log) -> None:
        self._backoff = PollPolicy(poll_interval=min(poll_interval, BACKOFF_MAX))
        self._log = log
        self._invalid_responses = InvalidResponseCounter()
        self._failures = 0
        self._failing_since = 0.0
        self._failed_indexes: set[int] = set()
        self._probes = 0
        self._opening_logged_at = self._closing_logged_at = float("-inf")
        self.next_probe_at = float("-inf")
        """No request is due sooner while it is open."""

    @property
    def is_open(self) -> bool:
        """Whether the service is down, so that one request at a time is enough."""
        return len(self._failed_indexes) >= FAILURE_THRESHOLD

    def receive(self, index: int, reply: SeeAnyTask | ApiError, now: float) -> ApiError | None:
        """Take a request's task or error; return an invalid response if it has to be believed of all tasks."""
        is_believed = self._invalid_responses.receive(reply, now)
        # A permanent error is a response, too.
        if not isinstance(reply, ApiError) or isinstance(reply, PermanentError):
            self._close(now)
            return None
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        self._failed_indexes.add(index)
        # What comes sooner was sent before it opened.
        if self.is_open and now >= self.next_probe_at:
            self._schedule_probe(reply, now)
        return reply if is_believed and self.is_open else None

    def _schedule_probe(self, error: ApiError, now: float) -> None:
        self._probes += 1
        self.next_probe_at = now + self._backoff.after_error(error, in_a_row=self._probes)
        if self._probes == 1 and now >= self._opening_logged_at + LOG_INTERVAL:
            self._opening_logged_at = now
            self._log.warning("SeeAny does not respond at all: polling one task at a time until it does")

    def _close(self, now: float) -> None:
        if self._failures >= MIN_FAILURES_LOGGED and now >= self._closing_logged_at + LOG_INTERVAL:
            self._closing_logged_at = now
            self._log.info(
                "SeeAny responded again after %s failures in %.0f s",
                format_count(self._failures),
                now - self._failing_since,
            )
        self._failures = self._probes = 0
        self._failed_indexes.clear()
        self.next_probe_at = float("-inf")
