"""Runs blocking calls beside the event loop: a few at a time, and without waiting for those that hang."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import anyio

Result = TypeVar("Result")

LOST_AFTER = 300.0  # seconds after which a call that hangs frees its slot


class Threads:
    """
    Runs blocking calls, each in a daemon thread of its own.

    A caller may stop waiting at any time. The call then continues and keeps its slot, so that calls that wait for a
    database, say, do not pile up; but none that hangs keeps it forever, see :data:`LOST_AFTER`.
    """

    def __init__(self, maximum: int) -> None:
        self._slots = anyio.CapacityLimiter(maximum)

    @property
    def busy(self) -> int:
        """Number of slots in use."""
        return self._slots.borrowed_tokens

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what the call returns, or raise what it raises."""
        slot = object()
        await self._slots.acquire_on_behalf_of(slot)
        loop = asyncio.get_running_loop()
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()  # from here on, a caller that stops waiting does not cancel it
        lost = loop.call_later(LOST_AFTER, partial(self._free, slot))

        def free() -> None:
            lost.cancel()
            self._free(slot)

        def work() -> None:
            end: Callable[[], None]
            try:
                end = partial(future.set_result, call())
            except BaseException as error:
                end = partial(future.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(free)  # first, so that the caller finds the slot free
            end()

        threading.Thread(target=work, daemon=True, name="seeany-callback").start()
        return await asyncio.wrap_future(future)

    def _free(self, slot: object) -> None:
        with contextlib.suppress(RuntimeError):  # it was freed before
            self._slots.release_on_behalf_of(slot)
