"""Calls back when a simulated task has ended. The body and the repetitions are invented."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from .dialect import Body

logger = logging.getLogger(__name__)

DELAYS: Sequence[float] = (0.0, 1.0, 5.0, 15.0)
"""Seconds before each attempt; it gives up after the last."""


class CallbackSender:
    """Posts to the URL of each callback."""

    def __init__(self) -> None:
        self._pending: set[asyncio.Task[None]] = set()

    def send_after(self, seconds: float, url: str, task_id: str, body: Body) -> None:
        """Call back in so many seconds."""
        sending = asyncio.create_task(self._send(seconds, url, task_id, body))
        self._pending.add(sending)
        sending.add_done_callback(self._pending.discard)

    async def close(self) -> None:
        """Cancel the pending callbacks."""
        for sending in self._pending:
            sending.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)

    async def _send(self, seconds: float, url: str, task_id: str, body: Body) -> None:
        await asyncio.sleep(seconds)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            for delay in DELAYS:
                await asyncio.sleep(delay)
                status = await self._post(session, url, body)
                logger.info("CALLBACK for %s: %s", task_id, status)
                if status.startswith("2"):
                    return

    async def _post(self, session: aiohttp.ClientSession, url: str, body: Body) -> str:
        try:
            async with session.post(url, json=body, allow_redirects=False) as response:
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__
