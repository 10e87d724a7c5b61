"""
Whose turn it is, where more questions of a batch are due than may be asked.

Each question that finds a task ended is one result sooner; each other one only tells more about that task. So those
are asked about first who have most likely ended. There are two lines to take the next one from: the tasks that
should have ended by their own word, and all that are due, in that order. How likely either is to find an end is
known from the last questions taken from it: an estimate that tells nothing soon loses its precedence. Now and then
the less lucky line is tried all the same, since its luck may have turned.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from airflow_provider_seeany.api.intervals import MARGIN

EXPLORE_EVERY = 10
"""Every so manieth question for which there was a choice is taken from the less lucky line."""

SMOOTHING = 0.05
"""How far each question moves what is known of a line's luck from the old value to the new one."""


class _Queue:
    """
    Places by the time from which on to ask about them.

    :param turns: how many turns each place has had. An entry of an earlier turn is void.
    """

    def __init__(self, rounds: list[int]) -> None:
        self.hit_rate = 1.0
        """The share of the last questions that found a task ended, a running mean. At first, all are hoped to."""
        self._rounds = rounds
        self._heap: list[tuple[float, int, int]] = []

    def fill(self, indexes: range, at: float) -> None:
        """Put all these places into the line, in their order."""
        self._heap = [(at, index, 0) for index in indexes]
        heapify(self._heap)

    def push(self, index: int, at: float) -> None:
        """Put a place into the line."""
        heappush(self._heap, (at, index, self._rounds[index]))

    def pop(self) -> int:
        """Take the first place out."""
        return heappop(self._heap)[1]

    @property
    def next_at(self) -> float:
        """When the first place is due; infinite if there is none."""
        while self._heap and self._heap[0][2] != self._rounds[self._heap[0][1]]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")


class PollQueue:
    """
    The tasks of a batch that wait for their next question, by their places in it.

    :param places: the tasks, all of which are due at once.
    :param now: any clock's time, the same for all that follows.
    """

    def __init__(self, indexes: range, now: float) -> None:
        self._rounds = [0] * len(indexes)
        self._due = _Queue(self._rounds)
        self._due.fill(indexes, now)
        self._should_have_ended = _Queue(self._rounds)
        self._taken_from: dict[int, _Queue] = {}
        self._choices = 0
        self._waiting = len(indexes)

    def __bool__(self) -> bool:
        return self._waiting > 0

    @property
    def next_at(self) -> float:
        """When somebody's turn comes next; infinite if nobody waits."""
        return min(self._due.next_at, self._should_have_ended.next_at)

    def take(self, now: float) -> int:
        """Return the place to ask about, which then waits no more. There must be one whose turn has come."""
        queues = [queue for queue in (self._should_have_ended, self._due) if queue.next_at <= now]
        queues.sort(key=lambda queue: queue.hit_rate, reverse=True)  # stable: at a tie, who should have ended
        if len(queues) > 1:
            self._choices += 1
        queue = queues[-1 if self._choices % EXPLORE_EVERY == 0 else 0]
        index = queue.pop()
        self._rounds[index] += 1
        self._taken_from[index] = queue
        self._waiting -= 1
        return index

    def note(self, index: int, *, had_ended: bool) -> None:
        """Take note of what the question about a place found."""
        queue = self._taken_from.pop(index)
        queue.hit_rate += SMOOTHING * (had_ended - queue.hit_rate)

    def push(self, index: int, *, due: float, ends: float | None) -> None:
        """
        Let a place wait for its next turn.

        :param due: when it is due by the rules for a single task.
        :param ends: when its task should end by its own word, if it gave one.
        """
        self._due.push(index, due)
        if ends is not None:
            self._should_have_ended.push(index, max(due, ends + MARGIN))
        self._waiting += 1
