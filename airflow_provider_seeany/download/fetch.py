"""Fetches a file: streams it, resumes it where a connection broke off, and refuses what is not the file."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from airflow_provider_seeany import __version__
from airflow_provider_seeany.api.errors import (
    ApiError,
    BadSettings,
    InvalidResponseError,
    PermanentError,
    TransientError,
)
from airflow_provider_seeany.api.public_url import without_user
from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.retries import acall_with_retries
from airflow_provider_seeany.api.route import Route, is_loopback, route_to
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.download.fetched import Fetched
from airflow_provider_seeany.download.guard import PrivateAddressError, is_public, public_socket
from airflow_provider_seeany.download.rate import WINDOW, TooSlow, no_slower_than
from airflow_provider_seeany.download.settings import format_bytes

MAX_REDIRECTS = 5
CHUNK = 1024 * 1024  # bytes that are hashed and written at once
MIN_PROGRESS = 64 * 1024
"""Bytes that a broken connection must have brought for the next one not to count as a retry."""

MAX_SLOW_CONNECTIONS = 3
"""So many connections in a row may be too slow: each next one may lead to another server of a CDN."""

CONNECT_TIMEOUT = 10.0
HEAD_TIMEOUT = 45.0  # maximum seconds until the head of a response is there
READ_TIMEOUT = 30.0  # maximum seconds without a byte; how long a whole file takes is not limited

EXPIRED_STATUSES = frozenset({401, 403, 404, 410})
"""How a CDN refuses a signed URL that has expired, or a file that it no longer has."""


class Fetcher:
    """
    Fetches files with one pool of connections. Made by :func:`open_fetcher`.

    It sends no key, no cookie and no credentials, whatever a URL or a response says.

    :param min_rate: minimum bytes per second of a connection.
    """

    def __init__(self, stack: AsyncExitStack, *, allow_private_addresses: bool, min_rate: int) -> None:
        self._stack = stack
        self._allow_private_addresses = allow_private_addresses
        self._min_rate = min_rate
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def fetch(self, file: Fetched) -> None:
        """
        Fetch a file. Transient errors are retried as those of the API are; a connection that broke off after it had
        brought something, or was too slow, is followed by another one at once.

        :raises ApiError: if the file cannot be fetched; nothing is left of it.
        """
        try:
            await self._receive_all(file)
            await file.commit()
        except BaseException:
            await file.discard()
            raise

    async def _receive_all(self, file: Fetched) -> None:
        is_complete, slow, before = False, 0, 0
        while not is_complete:
            try:
                is_complete = await acall_with_retries(self._receive, file)
            except TooSlow:
                # If it was not slow at first, this one did not hold its place in vain.
                slow = 1 if file.size - before >= self._min_rate * WINDOW else slow + 1
                if slow == MAX_SLOW_CONNECTIONS:
                    rate = f"{format_bytes(self._min_rate)}/s for {WINDOW:g} s"
                    raise TransientError(f"{slow} connections in a row were slower than {rate}") from None
            before = file.size

    async def _receive(self, file: Fetched) -> bool:
        """Make one request; return whether the file is complete, or raise if the request brought next to nothing."""
        before = file.size
        try:
            async with self._response(file.url, file.range_headers()) as raw:
                await file.begin(raw)
                async for chunk in _chunks(no_slower_than(self._min_rate, raw.content.iter_any())):
                    await file.write(chunk)
            file.check_end()
        except TransientError:
            if file.can_be_resumed and file.size - before >= MIN_PROGRESS:
                return False
            raise
        return True

    @asynccontextmanager
    async def _response(self, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request a URL, and those to which the responses redirect."""
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with await self._get(url, headers) as raw:
                    if raw.status not in (301, 302, 303, 307, 308):
                        yield raw
                        return
                    location = raw.headers.get("Location")
                    if not location:
                        raise InvalidResponseError("a redirect without an address", http_status=raw.status)
                    url = _redirected(url, location)
            raise PermanentError(f"more than {MAX_REDIRECTS} redirects")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _request_error(error) from None

    async def _get(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if not is_web_url(url):
            raise PermanentError("it is not an absolute http(s) URL")
        try:
            route = await asyncio.to_thread(route_to, url)
        except BadSettings as error:
            raise PermanentError(str(error)) from None
        # As it is written: another form would not match its signature.
        sent = URL(without_user(url), encoded=url.isascii())
        host = (sent.host or "").rstrip(".")
        if not self._allow_private_addresses and (is_loopback(host) or _is_private_literal(host)):
            raise PrivateAddressError(f"{host} {PrivateAddressError.TEXT}")
        more: dict[str, Any] = {}
        if route.proxy is not None:
            more = {"proxy": URL(route.proxy.url), "proxy_headers": route.proxy.headers}
            if url.startswith("http:"):
                headers = {**headers, **route.proxy.headers}
        session = await self._session(route)
        async with asyncio.timeout(HEAD_TIMEOUT):
            return await session.get(sent, headers=headers, allow_redirects=False, ssl=route.tls or True, **more)

    async def _session(self, route: Route) -> aiohttp.ClientSession:
        """Return the session for a route: a proxy resolves hosts itself, and may have a private address."""
        is_guarded = route.proxy is None and not self._allow_private_addresses
        key = (is_guarded, route.proxy is None)
        if key not in self._sessions:
            self._sessions[key] = await self._stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, socket_factory=public_socket if is_guarded else None),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    # Signed addresses, to which a response redirects, are long.
                    max_line_size=65_536,
                    max_field_size=65_536,
                    headers={
                        "User-Agent": f"airflow-provider-seeany/{__version__}",
                        "Accept": "*/*",
                        "Accept-Encoding": "identity",
                    },
                )
            )
        return self._sessions[key]


@asynccontextmanager
async def open_fetcher(*, allow_private_addresses: bool, min_rate: int) -> AsyncIterator[Fetcher]:
    """Provide a fetcher for the running event loop."""
    async with AsyncExitStack() as stack:
        yield Fetcher(stack, allow_private_addresses=allow_private_addresses, min_rate=min_rate)


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location.strip())
    except ValueError:
        target = ""
    if not is_web_url(target):
        scheme = sanitize(target.partition(":")[0], limit=20)
        raise PermanentError(f"it redirects to what is not an http(s) URL ({scheme}:)")
    return target


def _is_private_literal(host: str) -> bool:
    """Tell whether a host is a private address, also in a spelling that only C libraries know, such as ``127.1``."""
    try:
        host = socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        if ":" not in host:
            return False
    return not is_public(host)


def _request_error(error: Exception) -> ApiError:
    """Return the error for a request without a complete response; its text never has the URL, nor a signature."""
    match error:
        case PrivateAddressError():
            return _private(error)
        case aiohttp.ClientConnectorError() if (refused := PrivateAddressError.find_in(error.os_error)) is not None:
            return _private(refused)
        case aiohttp.ClientConnectorError():
            return TransientError(f"no connection to {error.host}: {sanitize(str(error.os_error))}")
        case ValueError():  # InvalidURL, or a port or a host that cannot be
            return PermanentError("its URL cannot be requested")
        case aiohttp.ClientPayloadError() | ConnectionError():
            return TransientError("the connection broke off")
        case aiohttp.ConnectionTimeoutError():
            return TransientError(f"no connection within {CONNECT_TIMEOUT:g} s")
        case aiohttp.ServerTimeoutError():
            return TransientError(f"no byte within {READ_TIMEOUT:g} s")
        case TimeoutError():
            return TransientError(f"no response within {HEAD_TIMEOUT:g} s")
    return TransientError(f"the request failed: {type(error).__name__}")


def _private(error: OSError) -> ApiError:
    return PermanentError(
        f"it leads to a private address: {sanitize(str(error))}. "
        "If that host is yours, set allow_private_addresses=True"
    )


async def _chunks(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Gather what arrives into larger chunks; those before a connection breaks off, too."""
    chunk = bytearray()
    try:
        async for piece in pieces:
            chunk += piece
            if len(chunk) >= CHUNK:
                yield bytes(chunk)
                chunk.clear()
    except (aiohttp.ClientError, OSError, TooSlow) as error:
        if chunk:
            yield bytes(chunk)
        raise error
    if chunk:
        yield bytes(chunk)
