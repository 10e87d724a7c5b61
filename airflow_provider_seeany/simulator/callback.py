"""Rings when a simulated task has ended, as a service with a webhook does. Body and repetitions are invented."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from .answers import Body

logger = logging.getLogger(__name__)

PAUSES: Sequence[float] = (0.0, 1.0, 5.0, 15.0)
"""Seconds before each attempt; it gives up after the last."""


class TokenClaims:
    """
    Posts to one URL.

    :param url: where to.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._under_way: set[asyncio.Task[None]] = set()

    def ring_after(self, seconds: float, answer: Body) -> None:
        """Ring in so many seconds, with the answer that the task then gives."""
        task = asyncio.create_task(self._ring(seconds, answer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Give up what has not been rung."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _ring(self, seconds: float, answer: Body) -> None:
        await asyncio.sleep(seconds)
        body = {"event": f"task.{answer['status']}", "data": answer}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            for pause in PAUSES:
                await asyncio.sleep(pause)
                status = await self._post(session, body)
                logger.info("RANG for %s: %s", answer["id"], status)
                if status.startswith("2"):
                    return

    async def _post(self, session: aiohttp.ClientSession, body: Body) -> str:
        try:
            async with session.post(self._url, json=body, allow_redirects=False) as response:
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__
