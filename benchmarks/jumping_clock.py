"""A clock that jumps to the next timer where an event loop would sleep, so that minutes of waiting take none."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


class JumpingClock:
    """
    Advances by the CPU time of this thread and by what its event loop would have slept.

    So what the loop computes takes its time, as on a core of its own, whatever else the machine does.
    """

    def __init__(self) -> None:
        self._unix = time.time() - time.thread_time()
        self._ahead = 0.0
        self.slept = 0.0
        """Seconds that the loop would have slept."""

    def monotonic(self) -> float:
        """Return the seconds of an arbitrary clock."""
        return time.thread_time() + self._ahead

    def time(self) -> float:
        """Return Unix seconds."""
        return self._unix + self.monotonic()

    def skip(self, seconds: float) -> None:
        """Jump ahead instead of sleeping."""
        self._ahead += seconds
        self.slept += seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do what another process would do: it takes no time here."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._ahead -= time.thread_time() - began

    def install(self) -> None:
        """Replace the clocks of the module ``time``, for what is imported from now on."""
        time.time = self.time
        time.monotonic = self.monotonic

    def loop(self) -> asyncio.SelectorEventLoop:
        """Return an event loop that runs by this clock; what it gives to threads runs at once."""
        loop = asyncio.SelectorEventLoop(_JumpingSelector(self))
        loop.set_default_executor(_AtOnce())
        return loop


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("no timer is left to jump to")
            self._clock.skip(max(timeout, 0))
        return events


class _AtOnce(ThreadPoolExecutor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
