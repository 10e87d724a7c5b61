"""Blocking work beside the event loop: a few at a time, and what hangs is left behind."""

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

LOST_AFTER = 300.0
"""Seconds after which work that still hangs makes room for other work."""


class Threads:
    """
    Runs blocking work, each in a thread of its own, which does not keep the process alive.

    Who waits may stop waiting at any time. The work then goes on, and its place stays taken: what waits for a database,
    say, must not pile up. But nothing that hangs takes a place for ever, see :data:`LOST_AFTER`.

    :param maximum: how many may be under way at once.
    """

    def __init__(self, maximum: int) -> None:
        self._places = anyio.CapacityLimiter(maximum)

    @property
    def busy(self) -> int:
        """How many places are taken."""
        return self._places.borrowed_tokens

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what the work returns, or raise what it raises."""
        place = object()
        await self._places.acquire_on_behalf_of(place)
        loop = asyncio.get_running_loop()
        job: Future[Result] = Future()
        job.set_running_or_notify_cancel()  # from here on, who stops waiting does not cancel it
        lost = loop.call_later(LOST_AFTER, partial(self._leave, place))

        def leave() -> None:
            lost.cancel()
            self._leave(place)

        def do() -> None:
            end: Callable[[], None]
            try:
                end = partial(job.set_result, work())
            except BaseException as error:
                end = partial(job.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(leave)  # first, so that who waits finds the place free
            end()

        threading.Thread(target=do, daemon=True, name="seeany-callback").start()
        return await asyncio.wrap_future(job)

    def _leave(self, place: object) -> None:
        with contextlib.suppress(RuntimeError):  # it has made room before
            self._places.release_on_behalf_of(place)
