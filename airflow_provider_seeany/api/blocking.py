"""Asks SeeAny with requests: the transport of workers, of the Test button and of scripts."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit
from weakref import WeakSet

import requests
import urllib3

from airflow_provider_seeany.api.errors import ApiError, Trouble
from airflow_provider_seeany.api.parse import parse_json, parse_task, unreachable
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES, ApiSettings
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.route import Route
from airflow_provider_seeany.api.secret import forget_locals
from airflow_provider_seeany.api.task import SeeAnyTask


class _Headers(requests.auth.AuthBase):
    """Sets our headers last, and only in requests to the API's host, whatever else the session is used for."""

    def __init__(self, settings: ApiSettings) -> None:
        self._host = _host(settings.base_url)
        self._headers = settings.headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if _host(request.url or "") == self._host:
            request.headers.update(self._headers)
        return request


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _Lines:
    """The sockets of a session, to be hung up while another thread reads from them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._are_cut = False
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def add(self, line: socket.socket) -> None:
        """Take note of a new one."""
        with self._lock:
            self._sockets.add(line)
            if self._are_cut:
                _hang_up(line)

    def truncate(self) -> None:
        """Hang up all of them, and those still to come."""
        with self._lock:
            self._are_cut = True
            for line in self._sockets:
                _hang_up(line)


def _hang_up(line: socket.socket) -> None:
    """Let who reads see the end of what is sent; if the socket were closed, he would go on waiting."""
    with suppress(OSError):
        # Not a TLS socket's own method, which would take away the state that the reader is using.
        socket.socket.shutdown(line, socket.SHUT_RDWR)


class _HeaderLines:
    """
    The lines of a header, without those that name none.

    At such a line http.client would stop and take the headers behind it, a length among them, for part of the body;
    and urllib3 would log it, whatever it quotes.

    :param lines: what the lines are read from.
    """

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self._may_be_folded = False
        self._left_out = 0

    def __getattr__(self, name: str) -> Any:
        # For closing, should the header be too bad.
        return getattr(self._lines, name)

    def readline(self, limit: int) -> bytes:
        """Return the next line, or the one too many that shall make an end of it."""
        while line := self._lines.readline(limit):
            named = _NAMED.match(line)
            if named or line in (b"\r\n", b"\n") or (self._may_be_folded and line[:1] in b" \t"):
                self._may_be_folded = True
                return named[1] + line[named.end() - 1 :] if named else bytes(line)
            self._may_be_folded = False
            self._left_out += 1
            if len(line) >= limit or self._left_out > _MAX_LEFT_OUT:
                raise http.client.HTTPException("too much in the header that is none")
        return b""


_NAMED = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MAX_LEFT_OUT = 100


class _Response(http.client.HTTPResponse):
    """Reads past informational responses (1xx), of which http.client itself knows one, 100, and past broken headers."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            http.client.parse_headers(self.fp)
            version, status, reason = super()._read_status()  # type: ignore[misc]
        # What reads the headers comes next, and is a function that cannot be told of another one.
        self._body, self.fp = self.fp, _HeaderLines(self.fp)  # type: ignore[assignment]
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        self.fp = self._body
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
            # What comes next is not HTTP any more.
            self.will_close = True


class _Watched:
    """Part of a connection that tells of its socket."""

    lines: ClassVar[_Lines]
    sock: socket.socket
    response_class = _Response

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        # TLS through a proxy that is itself reached by TLS is no socket, but has one.
        self.lines.add(getattr(self.sock, "socket", self.sock))


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections whose sockets are known, on the route that was found."""

    def __init__(self, lines: _Lines, route: Route) -> None:
        self._lines = lines
        self._route = route
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Trust whom the route trusts."""
        super().init_poolmanager(*args, ssl_context=self._route.tls, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Trust them at and behind a proxy, too."""
        tls = self._route.tls
        return super().proxy_manager_for(proxy, ssl_context=tls, proxy_ssl_context=tls, **kwargs)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return what the proxy alone is told."""
        return self._route.proxy.headers if self._route.proxy else {}

    def cert_verify(self, *args: Any) -> None:
        """Leave that to the context: requests would add the certificates of certifi to those it holds."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = type("Connection", (_Watched, pool.ConnectionCls), {"lines": self._lines})
        return pool


class _Session(requests.Session):
    """
    Follows no redirect, and does not prepare to: requests would read the whole body and parse the target.

    :param settings: where the API is, and how to get there.
    """

    def __init__(self, settings: ApiSettings) -> None:
        super().__init__()
        route = settings.route
        # The environment is looked at by `route` alone, and ~/.netrc not at all.
        self.trust_env = False
        if route.proxy is not None:
            self.proxies = {urlsplit(settings.base_url).scheme: route.proxy.url}
        self.auth = _Headers(settings)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.lines = _Lines()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(self.lines, route))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no target."""


class BlockingClient:
    """
    Asks SeeAny and waits for the answer. Keeps its connections until :meth:`close`.

    :param settings: where the API is and how to talk to it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.session = _Session(settings)

    def poll(self, seeany_task_id: str) -> SeeAnyTask | Trouble:
        """
        Ask once for a task; return the answer, or why there was none.

        :param seeany_task_id: an id checked by :func:`~airflow_provider_seeany.api.request.checked_task_id`.
        """
        try:
            return parse_task(self.get(self.settings.task_url(seeany_task_id)), seeany_task_id)
        except ApiError as error:
            return error.trouble
        except BaseException as error:
            forget_locals(error)
            raise

    def get_json(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """
        Ask once for any endpoint and return the decoded JSON.

        :raises ApiError: if that brought no answer.
        """
        url = self.settings.url(endpoint)
        try:
            return parse_json(self.get(url, params))
        except BaseException as error:
            forget_locals(error)
            raise

    def get(self, url: str, params: Mapping[str, Any] | None = None) -> Response:
        """
        Make the request in a thread of its own, and do not wait for it longer than the limit.

        The time-outs of requests are for one read: a server that trickles a header could hold it for ever.

        :raises ApiError: if no response came.
        """
        limit = self.settings.request_timeout
        done: SimpleQueue[Response | Exception] = SimpleQueue()
        Thread(target=lambda: done.put(self._exchange(self.session, url, params)), daemon=True).start()
        try:
            reply = done.get(timeout=limit)
        except Empty:
            # The old session stays with the thread that may still be using it, for as long as it takes to notice.
            self.session.lines.truncate()
            self.session = _Session(self.settings)
            error = requests.ReadTimeout(f"no complete answer within {limit:g} s")
            raise unreachable(error, self.settings.api_key) from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _exchange(self, session: requests.Session, url: str, params: Mapping[str, Any] | None) -> Response | Exception:
        key = self.settings.api_key
        limits = (self.settings.connect_timeout, self.settings.request_timeout)
        try:
            with session.get(url, params=params, timeout=limits, allow_redirects=False, stream=True) as raw:
                body = bytearray()
                # In pieces: only a read at the end notices that a body was cut short.
                while len(body) <= MAX_RESPONSE_BYTES and (piece := raw.raw.read(65_536, decode_content=False)):
                    body += piece
                return Response(status=raw.status_code, headers=raw.headers, body=bytes(body), secret=key)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return unreachable(error, key)
        except Exception as error:
            return error
