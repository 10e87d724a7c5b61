"""The time of a wait: Unix seconds that a time of day set anew cannot turn back."""

from __future__ import annotations

import time
from collections.abc import Callable


class ForwardClock:
    """
    Tells Unix seconds that never go back. Call it for the time.

    Deadlines are Unix seconds, so that they survive a restart. The time of day they are held against may be set
    anew meanwhile. Set back, by any amount, this clock goes on as if it had not been: no deadline comes later. Set
    forward it follows, as Airflow's own time limits do, and as is right for a machine that was suspended.

    :param began: when the wait began, in Unix seconds. Now is no sooner: a time of day before it was set back.
    :param wall: the time of day.
    :param steady: seconds that only ever go on, from any moment.
    """

    def __init__(
        self,
        began: float = float("-inf"),
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._ahead = max(began, wall()) - steady()

    def __call__(self) -> float:
        """Return the time."""
        steady = self._steady()
        self._ahead = max(self._ahead, self._wall() - steady)
        return steady + self._ahead
