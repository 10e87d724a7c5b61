"""How often one may ring: a bucket of rings for each who does, which fills up again steadily."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class RateLimit:
    """
    Counts rings by who rings, in this process only.

    :param per_second: rings a second that one may keep up. One URL may serve all tasks of a connection.
    :param burst: rings that it may make at once.
    :param clock: tells the seconds since any moment.
    """

    MOST_RINGERS = 10_000

    def __init__(
        self, *, per_second: float = 50, burst: float = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, ringer: Hashable) -> float:
        """Count a ring; return 0 if it may be answered, or else the seconds after which one may be."""
        now = self._clock()
        left, at = self._left.pop(ringer, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._left[ringer] = (left - 1 if allowed else left, now)
        # The one that has been silent for longest, whose bucket is the fullest.
        while len(self._left) > self.MOST_RINGERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second
