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

from airflow_provider_seeany.api.polling import MARGIN

TRY_THE_OTHER = 10
"""Every so manieth question for which there was a choice is taken from the less lucky line."""

FORGETTING = 0.05
"""How far each question moves what is known of a line's luck from the old value to the new one."""


class _Line:
    """
    Places by the time from which on to ask about them.

    :param turns: how many turns each place has had. An entry of an earlier turn is void.
    """

    def __init__(self, turns: list[int]) -> None:
        self.luck = 1.0
        """The share of the last questions that found a task ended, a running mean. At first, all are hoped to."""
        self._turns = turns
        self._heap: list[tuple[float, int, int]] = []

    def fill(self, places: range, at: float) -> None:
        """Put all these places into the line, in their order."""
        self._heap = [(at, place, 0) for place in places]
        heapify(self._heap)

    def push(self, place: int, at: float) -> None:
        """Put a place into the line."""
        heappush(self._heap, (at, place, self._turns[place]))

    def pop(self) -> int:
        """Take the first place out."""
        return heappop(self._heap)[1]

    @property
    def next_at(self) -> float:
        """When the first place is due; infinite if there is none."""
        while self._heap and self._heap[0][2] != self._turns[self._heap[0][1]]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")


class Turns:
    """
    The tasks of a batch that wait for their next question, by their places in it.

    :param places: the tasks, all of which are due at once.
    :param now: any clock's time, the same for all that follows.
    """

    def __init__(self, places: range, now: float) -> None:
        self._turns = [0] * len(places)
        self._due = _Line(self._turns)
        self._due.fill(places, now)
        self._should_have_ended = _Line(self._turns)
        self._taken_from: dict[int, _Line] = {}
        self._choices = 0
        self._waiting = len(places)

    def __bool__(self) -> bool:
        return self._waiting > 0

    @property
    def next_at(self) -> float:
        """When somebody's turn comes next; infinite if nobody waits."""
        return min(self._due.next_at, self._should_have_ended.next_at)

    def take(self, now: float) -> int:
        """Return the place to ask about, which then waits no more. There must be one whose turn has come."""
        lines = [line for line in (self._should_have_ended, self._due) if line.next_at <= now]
        lines.sort(key=lambda line: line.luck, reverse=True)  # stable: at a tie, who should have ended
        if len(lines) > 1:
            self._choices += 1
        line = lines[-1 if self._choices % TRY_THE_OTHER == 0 else 0]
        place = line.pop()
        self._turns[place] += 1
        self._taken_from[place] = line
        self._waiting -= 1
        return place

    def note(self, place: int, *, had_ended: bool) -> None:
        """Take note of what the question about a place found."""
        line = self._taken_from.pop(place)
        line.luck += FORGETTING * (had_ended - line.luck)

    def wait(self, place: int, *, due: float, ends: float | None) -> None:
        """
        Let a place wait for its next turn.

        :param due: when it is due by the rules for a single task.
        :param ends: when its task should end by its own word, if it gave one.
        """
        self._due.push(place, due)
        if ends is not None:
            self._should_have_ended.push(place, max(due, ends + MARGIN))
        self._waiting += 1
