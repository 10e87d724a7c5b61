"""Asks SeeAny with aiohttp: the transport of triggers. All waits of one event loop share their connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_seeany.api.errors import ApiError, Trouble
from airflow_provider_seeany.api.parse import parse_task, unreachable
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES, ApiSettings
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import forget_locals
from airflow_provider_seeany.api.task import SeeAnyTask


class AsyncClient:
    """
    Asks SeeAny without blocking the event loop. Made by :func:`shared_client`.

    :param settings: where the API is and how to talk to it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        # Waiting for a connection that others hold does not count as waiting for SeeAny: the limit is kept here, where
        # the time of a request has not begun, and not by the connector.
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=settings.route.tls or True),
            # sock_connect: the limit called connect would start a timer for each request, to look into the pool.
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout, sock_connect=settings.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # As long as the lines that requests takes.
            max_line_size=65_536,
            max_field_size=65_536,
        )
        # With each request, and not once for the session: aiohttp sends headers of a session to a proxy as well.
        self._with_each = _arguments(settings)

    async def poll(self, seeany_task_id: str) -> SeeAnyTask | Trouble:
        """
        Ask once for a task; return the answer, or why there was none.

        :param seeany_task_id: an id checked by :func:`~airflow_provider_seeany.api.request.checked_task_id`.
        """
        try:
            return parse_task(await self._get(self.settings.task_url(seeany_task_id)), seeany_task_id)
        except ApiError as error:
            return error.trouble
        except BaseException as error:
            forget_locals(error)
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _get(self, url: str) -> Response:
        key = self.settings.api_key
        try:
            # encoded=True: the URL is sent as it was built, not normalised a second time.
            async with self._slots, self._session.get(URL(url, encoded=True), **self._with_each) as raw:
                body = bytearray(await raw.content.readany())
                # Nearly always that was all of it.
                while not raw.content.at_eof() and len(body) <= MAX_RESPONSE_BYTES:
                    body += await raw.content.readany()
                return Response(status=raw.status, headers=raw.headers, body=bytes(body), secret=key)
        except aiohttp.ConnectionTimeoutError:
            late = TimeoutError(f"no connection within {self.settings.connect_timeout:g} s")
            raise unreachable(late, key) from None
        except TimeoutError:
            late = TimeoutError(f"no complete answer within {self.settings.request_timeout:g} s")
            raise unreachable(late, key) from None
        except aiohttp.ClientHttpProxyError as error:
            # Its own text names the proxy's URL as the one that was asked for.
            raise unreachable(OSError(f"the proxy answered {error.status} {error.message}"), key) from None
        except aiohttp.ClientResponseError:
            # It cannot read something about a response that requests may be able to: see below.
            pass
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, key) from None
        return await self._get_as_workers_do(url)

    async def _get_as_workers_do(self, url: str) -> Response:
        """
        Ask again, by the other transport.

        A server that sends a malformed header once sends it for ever; no video is given up that a worker could read.
        """

        def get() -> Response:
            from airflow_provider_seeany.api.blocking import BlockingClient

            client = BlockingClient(self.settings)
            try:
                return client.get(url)
            finally:
                client.close()

        async with self._slots:
            return await asyncio.to_thread(get)


@dataclass
class _Shared:
    client: AsyncClient
    users: int = 0


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ApiSettings, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(settings: ApiSettings) -> AsyncIterator[AsyncClient]:
    """
    Lend the running loop's client for these settings; the last one to give it back closes it.

    A session of aiohttp belongs to the loop it was made in, hence one set of clients for each loop.
    """
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    shared = clients.get(settings)
    if shared is None:
        shared = clients[settings] = _Shared(AsyncClient(settings))
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users:
            del clients[settings]
            await shared.client.close()


def _arguments(settings: ApiSettings) -> dict[str, Any]:
    """Return what each request is made with, built once."""
    headers = CIMultiDict(settings.headers)
    proxy = settings.route.proxy
    if proxy is None:
        return {"headers": headers, "allow_redirects": False}
    if settings.base_url.startswith("http:"):
        # Without a tunnel the proxy reads the request itself.
        headers.update(proxy.headers)
    return {
        "headers": headers,
        "allow_redirects": False,
        "proxy": URL(proxy.url),
        "proxy_headers": CIMultiDict(proxy.headers),
    }
