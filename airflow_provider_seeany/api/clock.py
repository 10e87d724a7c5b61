"""The clock of a wait: Unix seconds that never go back when the system time is set back."""

from __future__ import annotations

import time
from collections.abc import Callable


class ForwardClock:
    """
    Returns Unix seconds when called.

    Deadlines are Unix seconds, so that they survive a restart. When the system time is set back, by any amount, this
    clock continues: no deadline comes later. When it is set forward, this clock follows, as Airflow's own timeouts do,
    and as is right for a machine that was suspended.

    :param began: when the wait began, in Unix seconds. An earlier system time has been set back since.
    :param wall: returns the system time.
    :param steady: returns monotonic seconds.
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
        self._offset = max(began, wall()) - steady()

    def __call__(self) -> float:
        """Return the time."""
        steady = self._steady()
        self._offset = max(self._offset, self._wall() - steady)
        return steady + self._offset
