"""Limits the rate of callbacks and polls, with a token bucket for each key, in this process only."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class RateLimit:
    """Token buckets by key, at most :data:`MAX_KEYS`. The defaults let one URL serve all tasks of a connection."""

    MAX_KEYS = 10_000

    def __init__(
        self, *, per_second: float = 50, burst: float = 500, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def acquire(self, key: Hashable) -> float:
        """Take a token and return 0; if there is none, return the seconds until there is one."""
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        is_allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if is_allowed else tokens, now)
        # The least recently used bucket, which is the fullest.
        while len(self._buckets) > self.MAX_KEYS:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - tokens) / self._per_second
