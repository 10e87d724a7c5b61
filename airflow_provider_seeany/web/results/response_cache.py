"""Large responses of sums, kept for some seconds, so that many viewers of the same page cost hardly more than one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

MAX_BYTES = 32 * 1024 * 1024
"""Maximum size of all kept responses."""

MIN_BYTES = 50_000
"""Smaller ones are not kept: they are made in no time, and so they are never old."""

SECONDS = 10.0


class ResponseCache:
    """Keeps responses by what they were made from: what the viewer may read, and the parameters."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the response that is kept, else a new one."""
        with self._lock:
            until, response = self._kept.get(key, (0.0, b""))
        if time.monotonic() < until:
            return response
        response = make()
        if len(response) >= MIN_BYTES:
            self._keep(key, response)
        return response

    def clear(self) -> None:
        """Forget all responses."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    def _keep(self, key: Hashable, response: bytes) -> None:
        with self._lock:
            self._size -= len(self._kept.pop(key, (0.0, b""))[1])
            self._kept[key] = time.monotonic() + SECONDS, response
            self._size += len(response)
            while self._size > MAX_BYTES:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._size -= len(dropped)
