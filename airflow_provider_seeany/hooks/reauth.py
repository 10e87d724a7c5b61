"""The client for long waits: reloads the connection after 401 and 403, and tolerates a missing one for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from airflow_provider_seeany.api.errors import ApiError, TransientError
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyConnectionNotFound
from airflow_provider_seeany.metrics import RequestCounter

if TYPE_CHECKING:
    from airflow_provider_seeany.api.asynchronous import AsyncClient
    from airflow_provider_seeany.api.request import ApiSettings
    from airflow_provider_seeany.api.task import SeeAnyTask

CONNECTION_RETRY_SECONDS = 300.0  # seconds for which a wait retries to read a connection that it has used before

FIRST_CONNECTION_RETRY_SECONDS = 30.0
"""The same for a connection that the wait has not used yet: most likely its id is misspelt."""

MIN_RELOAD_INTERVAL = 5.0  # minimum seconds between two reads of a missing connection, however many requests need it

CONNECTION_ERRORS = (SeeAnyConnectionNotFound, SeeAnyConfigError)
"""
Errors of a connection that cannot be used. They may pass: Airflow raises them, too, when a secrets backend or an
api-server is down for a moment, and people mend what they broke.
"""


class RetryBudget:
    """
    The time for which a connection may be unusable, counted anew after each :meth:`reset`.

    :param was_used: whether the wait has used the connection before.
    """

    def __init__(self, *, was_used: bool = True) -> None:
        self._seconds = CONNECTION_RETRY_SECONDS if was_used else FIRST_CONNECTION_RETRY_SECONDS
        self._failing_since: float | None = None
        self.in_a_row = 0
        self.left = self._seconds
        """The remaining seconds."""

    def record_failure(self, error: Exception) -> TransientError:
        """
        Return the error that a wait receives.

        :param error: one of :data:`CONNECTION_ERRORS`; it is raised once the budget is used up.
        """
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.in_a_row += 1
        self.left = self._failing_since + self._seconds - now
        if self.left <= 0:
            raise error
        return TransientError(str(error).rstrip("."))

    def reset(self) -> None:
        """Record that the connection can be used."""
        self._failing_since = None
        self.in_a_row = 0


class ReauthenticatingClient:
    """
    Sends requests through a connection; if the key is refused, reloads the connection and repeats the request once.

    Used as a context manager, by any number of concurrent requests.

    :param settings: those to begin with.
    :param read: reads the connection anew.
    :param lend: provides a client for settings.
    :param requests: counts them.
    """

    def __init__(
        self,
        settings: ApiSettings,
        read: Callable[[], Awaitable[ApiSettings]],
        lend: Callable[[ApiSettings], AbstractAsyncContextManager[AsyncClient]],
        requests: RequestCounter,
    ) -> None:
        self._settings = settings
        self._read = read
        self._lend = lend
        self._requests = requests
        self._reloading = asyncio.Lock()
        self._last_failure: tuple[float, Exception] | None = None
        self._budget = RetryBudget()
        # Clients with replaced keys are closed at the end only, as other requests may use them; idle they are cheap.
        self._clients = AsyncExitStack()
        self._client: AsyncClient
        self._refused_for_good: AsyncClient | None = None

    async def __aenter__(self) -> ReauthenticatingClient:
        self._client = await self._clients.enter_async_context(self._lend(self._settings))
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._requests.send()
        await self._clients.aclose()

    async def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Make one request for a task, by its checked id, or a second one with a new key.

        :raises ApiError: if it brings no usable response.
        :raises SeeAnyError: if the key was refused, and the connection cannot be used for longer than its budget.
        """
        client = self._client
        try:
            with self._requests:
                task = await client.get_task(seeany_task_id)
        except ApiError as error:
            if not error.refuses_key:
                self._budget.reset()
                raise
            try:
                is_replaced = await self._replace(client)
            except CONNECTION_ERRORS as unusable:
                raise self._budget.record_failure(unusable) from None
            if not is_replaced:
                raise
        else:
            self._budget.reset()
            return task
        with self._requests:
            return await self._client.get_task(seeany_task_id)

    async def _replace(self, refused: AsyncClient) -> bool:
        """Replace the client with the refused key; return whether there is another key."""
        async with self._reloading:
            # Of many concurrent refusals, the first one reloads.
            if self._client is refused and refused is not self._refused_for_good:
                settings = await self._reload()
                self._budget.reset()
                if settings == refused.settings:
                    self._refused_for_good = refused
                else:
                    self._client = await self._clients.enter_async_context(self._lend(settings))
        return self._client is not refused

    async def _reload(self) -> ApiSettings:
        if self._last_failure is not None and time.monotonic() < self._last_failure[0] + MIN_RELOAD_INTERVAL:
            raise self._last_failure[1].with_traceback(None)
        try:
            settings = await self._read()
        except CONNECTION_ERRORS as error:
            self._last_failure = time.monotonic(), error
            raise
        self._last_failure = None
        return settings
