"""
Notices that SeeAny does not call back about the tasks of a batch.

To poll each task now and then, in case its callback got lost, would take the requests that callbacks save. But what
happens to one task of a batch tells about the others. So every ``callback_poll_interval`` a sample is polled::

    a task of the sample has ended, and no callback comes within GRACE ──> all tasks are polled once
    fewer tasks are left than a sample has ──────────────────────────────> all of them are the sample

So a lost callback delays the end of the batch by about ``callback_poll_interval`` at most.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

MIN_SAMPLE = 10  # minimum number of tasks in a sample
SAMPLE_SHARE = 100  # every so many tasks one is in the sample, at least

GRACE = 15.0
"""Seconds in which a callback may come after a poll that found the task ended; the trigger reads it later still."""


class MissedCallbacks:
    """
    Chooses the tasks of a batch, by their indexes, to poll though SeeAny has not called back about them.

    :param interval: seconds between two samples.
    :param now: when the first is due, in seconds since any moment, the same for all calls.
    :param choose: chooses so many of a sequence.
    """

    def __init__(
        self, interval: float, now: float, choose: Callable[[Sequence[int], int], list[int]] = random.sample
    ) -> None:
        self._interval = interval
        self._choose = choose
        self._next_sample_at = now
        self._sample: set[int] = set()
        self._called_back: set[int] = set()
        self._suspects: dict[int, float] = {}

    @property
    def next_at(self) -> float:
        """When :meth:`due` has to be called next."""
        return min([self._next_sample_at, *self._suspects.values()])  # a sample is small

    def called_back(self, index: int) -> None:
        """Note that SeeAny has called back about a task."""
        self._called_back.add(index)
        self._suspects.pop(index, None)

    def ended(self, index: int, now: float) -> None:
        """Note that a poll found a task ended."""
        if index in self._sample and index not in self._called_back:
            self._suspects[index] = now + GRACE

    def due(self, running: Sequence[int], now: float) -> Sequence[int]:
        """Return the tasks to poll now, of those that are running as far as is known."""
        if any(at <= now for at in self._suspects.values()):
            self._suspects.clear()
            self._sample.clear()
            return running
        if now < self._next_sample_at:
            return ()
        self._next_sample_at = now + self._interval
        sample = self._choose(running, min(max(MIN_SAMPLE, len(running) // SAMPLE_SHARE), len(running)))
        self._sample = {*sample, *self._suspects}
        return sample
