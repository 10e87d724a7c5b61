"""The transport of triggers: aiohttp. All waits of one event loop share their connections."""

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

from airflow_provider_seeany.api.parse import parse_task, unreachable
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES, ApiSettings
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import forget_locals
from airflow_provider_seeany.api.task import SeeAnyTask


class AsyncClient:
    """Sends requests without blocking the event loop. Made by :func:`shared_client`."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        # The limit of connections is kept here and not by the connector, whose queue would count as request time.
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=settings.route.tls or True),
            # sock_connect: the limit called connect would start a timer for each request, also on an open connection.
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout, sock_connect=settings.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The maximum that requests takes.
            max_line_size=65_536,
            max_field_size=65_536,
        )
        # Not once for the session, whose headers aiohttp sends to a proxy as well.
        self._request_arguments = _arguments(settings)

    async def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Make one request for a task, by its checked id.

        :raises ApiError: if it brings no usable response.
        """
        settings = self.settings
        try:
            # The response, which may quote the key, is no local variable: a crash report would show it.
            return parse_task(await self._get(settings.task_url(seeany_task_id)), seeany_task_id, settings.dialect)
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
            async with self._slots, self._session.get(URL(url, encoded=True), **self._request_arguments) as raw:
                body = bytearray(await raw.content.readany())
                # Nearly always that is the whole body.
                while not raw.content.at_eof() and len(body) <= MAX_RESPONSE_BYTES:
                    body += await raw.content.readany()
                return Response(status=raw.status, headers=raw.headers, body=bytes(body), secret=key)
        except aiohttp.ConnectionTimeoutError:
            late = TimeoutError(f"no connection within {self.settings.connect_timeout:g} s")
            raise unreachable(late, key) from None
        except TimeoutError:
            late = TimeoutError(f"no complete response within {self.settings.request_timeout:g} s")
            raise unreachable(late, key) from None
        except aiohttp.ClientHttpProxyError as error:
            # Its own text names the proxy's URL as the requested one.
            raise unreachable(OSError(f"the proxy returned HTTP {error.status} {error.message}"), key) from None
        except aiohttp.ClientResponseError:
            pass  # requests may be able to read the response
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, key) from None
        return await self._get_blocking(url)

    async def _get_blocking(self, url: str) -> Response:
        """Repeat the request with the workers' transport: a server that sends malformed headers sends them always."""

        def get() -> Response:
            from airflow_provider_seeany.api.blocking import BlockingClient

            client = BlockingClient(self.settings)
            try:
                return client.send(url)
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
    Provide the running loop's client for these settings; its last user closes it.

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
    headers = CIMultiDict(settings.headers)
    arguments: dict[str, Any] = {"headers": headers, "allow_redirects": False}
    if (proxy := settings.route.proxy) is not None:
        arguments |= {"proxy": URL(proxy.url), "proxy_headers": CIMultiDict(proxy.headers)}
        if settings.base_url.startswith("http:"):
            # Without a tunnel the proxy reads the request itself.
            headers.update(proxy.headers)
    return arguments
