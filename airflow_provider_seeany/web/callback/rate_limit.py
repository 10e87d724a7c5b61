"""How often one may ring, or be asked about: a bucket for each, which fills up again steadily."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class RateLimit:
    """
    Counts by any key, in this process only.

    :param per_second: how often in a second each may go on for ever. One URL may serve all tasks of a connection.
    :param burst: how often at once.
    :param clock: tells the seconds since any moment.
    """

    MAX_KEYS = 10_000

    def __init__(
        self, *, per_second: float = 50, burst: float = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Count it; return 0 if it is allowed, or else the seconds after which it will be."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        # The one that has been silent for longest, whose bucket is the fullest.
        while len(self._left) > self.MAX_KEYS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second
