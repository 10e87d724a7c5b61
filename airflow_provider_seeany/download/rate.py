"""Gives up a connection that brings next to nothing: it would hold the place of another file for hours."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from time import monotonic

WINDOW = 30.0  # seconds over which a rate is measured


class TooSlow(Exception):
    """A connection brought less than the minimum rate."""


async def no_slower_than(bytes_per_second: int, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """
    Pass on what arrives. Only the time until it arrives counts, not that in which it is stored.

    :raises TooSlow: when there is more after a window whose rate was too low; silence is for another time limit.
    """
    waited, came, is_slow, began = 0.0, 0, False, monotonic()
    async for piece in pieces:
        if is_slow:
            raise TooSlow
        waited += monotonic() - began
        came += len(piece)
        yield piece
        if waited >= WINDOW:
            is_slow = came < bytes_per_second * waited
            waited, came = 0.0, 0
        began = monotonic()
