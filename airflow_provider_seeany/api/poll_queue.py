"""
Which task of a batch to poll next, where more are due than the limits allow.

A request that finds a task ended delivers a result sooner; any other one only improves a forecast. So the tasks that
have most likely ended are polled first. There are two queues to take the next one from: the tasks whose forecasts say
that they should have ended, and all that are due, in that order. A queue's hit rate is the share of its last requests
that found a task ended; forecasts that do not come true soon lose their precedence. Now and then the queue with the
lower hit rate is tried all the same, since it may have become the better one.
"""

from __future__ import annotations

from heapq import heappop, heappush

from airflow_provider_seeany.api.intervals import MARGIN

EXPLORE_EVERY = 10  # every Nth contested poll comes from the queue with the lower hit rate
SMOOTHING = 0.05  # weight of the newest poll in a queue's hit rate, a running mean


class _Queue:
    """
    Tasks, by their indexes, in the order in which they are due.

    :param polls: how often each task was polled. An entry from before the last poll is void.
    """

    def __init__(self, polls: list[int], indexes: range = range(0), at: float = 0.0) -> None:
        self.hit_rate = 1.0
        self._polls = polls
        self._heap = [(at, index, 0) for index in indexes]  # sorted, so it is a heap

    def push(self, index: int, at: float) -> None:
        heappush(self._heap, (at, index, self._polls[index]))

    def pop(self) -> int:
        return heappop(self._heap)[1]

    @property
    def next_at(self) -> float:
        """When the first task is due; infinite if there is none."""
        while self._heap and self._heap[0][2] != self._polls[self._heap[0][1]]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")


class PollQueue:
    """
    The tasks of a batch that are not being polled, by their indexes.

    :param indexes: the tasks.
    :param due: when all of them are due first, in seconds since any moment, the same for all calls.
    """

    def __init__(self, indexes: range, due: float) -> None:
        self._polls = [0] * len(indexes)
        self._due = _Queue(self._polls, indexes, due)
        self._should_have_ended = _Queue(self._polls)
        self._taken_from: dict[int, _Queue] = {}
        self._hastened: dict[int, float] = {}
        self._contested = 0
        self._size = len(indexes)

    def __bool__(self) -> bool:
        return self._size > 0

    @property
    def next_at(self) -> float:
        """When the next task is due; infinite if there is none."""
        return min(self._due.next_at, self._should_have_ended.next_at)

    def take(self, now: float) -> int:
        """Remove and return the task to poll now. One must be due."""
        queues = [queue for queue in (self._should_have_ended, self._due) if queue.next_at <= now]
        queues.sort(key=lambda queue: queue.hit_rate, reverse=True)  # stable: a tie goes to the first
        if len(queues) > 1:
            self._contested += 1
        queue = queues[-1 if self._contested % EXPLORE_EVERY == 0 else 0]
        index = queue.pop()
        self._polls[index] += 1
        self._taken_from[index] = queue
        self._size -= 1
        return index

    def record(self, index: int, *, had_ended: bool) -> None:
        """Update the hit rate of the queue that a polled task came from."""
        queue = self._taken_from.pop(index)
        queue.hit_rate += SMOOTHING * (had_ended - queue.hit_rate)
        if had_ended:
            self._hastened.pop(index, None)

    def hasten(self, index: int, due: float) -> None:
        """Make a task due sooner than it was put back for; one that is being polled, as soon as it is put back."""
        if index in self._taken_from:
            self._hastened[index] = due
        else:
            self._due.push(index, due)

    def push(self, index: int, *, due: float, ends: float | None) -> None:
        """
        Put a task back.

        :param due: when the interval of its wait has passed.
        :param ends: when it should end by its forecasts, if there are any.
        """
        due = min(due, self._hastened.pop(index, due))
        self._due.push(index, due)
        if ends is not None:
            self._should_have_ended.push(index, max(due, ends + MARGIN))
        self._size += 1
