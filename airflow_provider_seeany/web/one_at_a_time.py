"""Lets requests that compute much do so one at a time, while a few others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

MAX_WAIT = 2.0  # maximum seconds for which a request waits for those of others

MAX_WAITING = 4
"""Maximum number of requests that wait: each holds one of the 40 threads of all of Airflow's plain routes."""

RETRY_AFTER = 2  # seconds, if a request did not get to run


class TooBusy(Exception):
    """Raised if other requests take too long."""


class OneAtATime:
    """Lets one request of a kind run at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots = BoundedSemaphore(1 + MAX_WAITING)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """
        Wait until no other request runs.

        :raises TooBusy: if other requests take too long, or too many wait already.
        """
        if not self._slots.acquire(blocking=False):
            raise TooBusy
        try:
            if not self._lock.acquire(timeout=MAX_WAIT):
                raise TooBusy
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._slots.release()
