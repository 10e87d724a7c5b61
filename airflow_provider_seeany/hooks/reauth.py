"""Asks on through a connection that is changed, broken or missing for a while, as a long wait may find it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyConnectionNotFound

if TYPE_CHECKING:
    from airflow_provider_seeany.api.asynchronous import AsyncClient
    from airflow_provider_seeany.api.request import ApiSettings
    from airflow_provider_seeany.api.task import SeeAnyTask

CONNECTION_RETRY_SECONDS = 300.0
"""Seconds for which a wait looks for a connection that it has used before, before it ends."""

FIRST_CONNECTION_RETRY_SECONDS = 30.0
"""The same for a connection that no part of the wait has used yet: most likely its id is misspelt."""

MIN_RELOAD_INTERVAL = 5.0
"""Fewest seconds between two readings of a connection that was missing, by however many questions it is needed."""

CONNECTION_ERRORS = (SeeAnyConnectionNotFound, SeeAnyConfigError)
"""
What is said of a connection that cannot be used. Airflow says so, too, of a secrets backend or an api-server that is
down for a moment, and people mend what they broke.
"""


class RetryBudget:
    """
    Bears with a connection for :data:`CONNECTION_RETRY_SECONDS`, each time anew.

    :param was_used: whether the wait has used the connection before; if not, :data:`FIRST_CONNECTION_RETRY_SECONDS`
        counts.
    """

    def __init__(self, *, was_used: bool = True) -> None:
        self._seconds = CONNECTION_RETRY_SECONDS if was_used else FIRST_CONNECTION_RETRY_SECONDS
        self._since: float | None = None
        self.in_a_row = 0
        self.left = self._seconds
        """Seconds after which it will not be borne with any more."""

    def record_failure(self, error: Exception) -> Trouble:
        """
        Return what a wait is told of the error.

        :param error: one of :data:`CONNECTION_ERRORS`; raised once there is no patience left.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self.in_a_row += 1
        self.left = self._since + self._seconds - now
        if self.left <= 0:
            raise error
        return Trouble(kind=Kind.TRANSIENT, text=str(error).rstrip("."))

    def reset(self) -> None:
        """Take note that the connection is there."""
        self._since = None
        self.in_a_row = 0


class ReauthenticatingClient:
    """
    Asks through a connection; if the key is refused, reads the connection again, once, and asks with what is new.

    Used as a context manager. Many may ask at once.

    :param read: reads the connection.
    :param lend: lends a client for settings.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[ApiSettings]],
        lend: Callable[[ApiSettings], AbstractAsyncContextManager[AsyncClient]],
    ) -> None:
        self._read = read
        self._lend = lend
        self._reading = asyncio.Lock()
        self._unread: tuple[float, Exception] | None = None
        self._patience = RetryBudget()
        # Clients whose keys were replaced are kept to the end: others may be asking with them, and one that nobody asks
        # with soon holds no connection.
        self._borrowed = AsyncExitStack()
        self._client: AsyncClient
        self._refused_for_good: AsyncClient | None = None

    async def __aenter__(self) -> ReauthenticatingClient:
        self._client = await self._borrow(await self._read())
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._borrowed.aclose()

    async def poll(self, seeany_task_id: str) -> SeeAnyTask | Trouble:
        """
        Ask for a task; return the answer, or why there was none.

        :param seeany_task_id: an id checked by :func:`~airflow_provider_seeany.api.request.checked_task_id`.
        :raises SeeAnyError: if the key was refused, and the connection cannot be used any more, for longer than that
            may pass.
        """
        client = self._client
        reply = await client.poll(seeany_task_id)
        if not (isinstance(reply, Trouble) and reply.refuses_key):
            self._patience.reset()
            return reply
        try:
            is_new = await self._is_replaced(client)
        except CONNECTION_ERRORS as error:
            return self._patience.record_failure(error)
        return await self._client.poll(seeany_task_id) if is_new else reply

    async def _is_replaced(self, refused: AsyncClient) -> bool:
        """Tell whether there is another key than the refused one, which is then used from now on."""
        async with self._reading:
            # Of many who are refused at once, the first one reads.
            if self._client is refused and refused is not self._refused_for_good:
                settings = await self._read_again()
                self._patience.reset()
                if settings == refused.settings:
                    self._refused_for_good = refused
                else:
                    self._client = await self._borrow(settings)
        return self._client is not refused

    async def _read_again(self) -> ApiSettings:
        """Read the connection, unless it was missing a moment ago: then it still is."""
        if self._unread is not None and time.monotonic() < self._unread[0] + MIN_RELOAD_INTERVAL:
            raise self._unread[1]
        try:
            settings = await self._read()
        except CONNECTION_ERRORS as error:
            self._unread = time.monotonic(), error
            raise
        self._unread = None
        return settings

    async def _borrow(self, settings: ApiSettings) -> AsyncClient:
        return await self._borrowed.enter_async_context(self._lend(settings))
