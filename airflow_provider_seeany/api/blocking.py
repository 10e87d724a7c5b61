"""The transport of workers, of the Test button and of scripts: requests."""

from __future__ import annotations

import http.client
import json
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

from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.parse import parse_json, parse_task, unreachable
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES, ApiSettings
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.route import Route
from airflow_provider_seeany.api.secret import forget_locals
from airflow_provider_seeany.api.task import SeeAnyTask


class _Headers(requests.auth.AuthBase):
    """Sets the API's headers last, and only in requests to the API's host: users may use the session as well."""

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


class _Sockets:
    """The sockets of a session, to be shut down while another thread reads from them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._are_shut_down = False
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def add(self, new: socket.socket) -> None:
        with self._lock:
            self._sockets.add(new)
            if self._are_shut_down:
                _shut_down(new)

    def shut_down(self) -> None:
        """Shut down all of them, and those still to come."""
        with self._lock:
            self._are_shut_down = True
            for each in self._sockets:
                _shut_down(each)


def _shut_down(each: socket.socket) -> None:
    """Let the reading thread see the end of the stream; after a close it would continue to wait."""
    with suppress(OSError):
        # Not a TLS socket's own method, which would take away the state that the reader is using.
        socket.socket.shutdown(each, socket.SHUT_RDWR)


class _HeaderLines:
    """
    The lines of a header, without malformed ones.

    At a malformed line http.client would stop and take the headers behind it, a length among them, for part of the
    body; and urllib3 would log it, whatever it quotes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._may_be_folded = False
        self._left_out = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # for closing

    def readline(self, limit: int) -> bytes:
        while line := self._stream.readline(limit):
            named = _NAMED.match(line)
            if named or line in (b"\r\n", b"\n") or (self._may_be_folded and line[:1] in b" \t"):
                self._may_be_folded = True
                return named[1] + line[named.end() - 1 :] if named else bytes(line)
            self._may_be_folded = False
            self._left_out += 1
            if len(line) >= limit or self._left_out > _MAX_LEFT_OUT:
                raise http.client.HTTPException("too many malformed header lines")
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
        # The headers are read next, by a function that cannot be replaced.
        self._body, self.fp = self.fp, _HeaderLines(self.fp)  # type: ignore[assignment]
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        self.fp = self._body
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
            # What follows is not HTTP.
            self.will_close = True


class _RegistersSocket:
    """Mixin: a connection that registers its socket."""

    sockets: ClassVar[_Sockets]
    sock: socket.socket
    response_class = _Response

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        # TLS inside TLS, through a proxy, wraps its socket.
        self.sockets.add(getattr(self.sock, "socket", self.sock))


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections that follow the route and register their sockets."""

    def __init__(self, sockets: _Sockets, route: Route) -> None:
        self._sockets = sockets
        self._route = route
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._route.tls, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use them at and behind a proxy, too."""
        tls = self._route.tls
        return super().proxy_manager_for(proxy, ssl_context=tls, proxy_ssl_context=tls, **kwargs)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the headers for the proxy alone."""
        return self._route.proxy.headers if self._route.proxy else {}

    def cert_verify(self, *args: Any) -> None:
        """Do nothing: requests would add the certificates of certifi to those of the context."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _RegistersSocket):
            bases = (_RegistersSocket, pool.ConnectionCls)
            pool.ConnectionCls = type("Connection", bases, {"sockets": self._sockets})
        return pool


class _Session(requests.Session):
    """Follows no redirect, and does not prepare to: requests would read the whole body and parse the target."""

    def __init__(self, settings: ApiSettings) -> None:
        super().__init__()
        route = settings.route
        # The route has read the environment; ~/.netrc is not read at all.
        self.trust_env = False
        if route.proxy is not None:
            self.proxies = {urlsplit(settings.base_url).scheme: route.proxy.url}
        self.auth = _Headers(settings)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.sockets = _Sockets()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(self.sockets, route))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no target."""


class BlockingClient:
    """Sends requests and waits for the responses. Keeps its connections until :meth:`close`."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.session = _Session(settings)

    def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Make one request for a task, by its checked id.

        :raises ApiError: if it brings no usable response.
        """
        settings = self.settings
        try:
            # The response, which may quote the key, is no local variable: a crash report would show it.
            return parse_task(self.send(settings.task_url(seeany_task_id)), seeany_task_id, settings.dialect)
        except BaseException as error:
            forget_locals(error)
            raise

    def get_json(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """
        Make one GET and return the decoded JSON.

        :raises ApiError: if it brings no usable response.
        """
        url = self.settings.url(endpoint)
        try:
            return parse_json(self.send(url, params=params), self.settings.dialect)
        except BaseException as error:
            forget_locals(error)
            raise

    def post_json(self, endpoint: str, payload: object) -> Any:
        """
        Make one POST and return the decoded JSON.

        :raises BadSettings: if the payload is no JSON.
        :raises ApiError: if it brings no usable response.
        """
        url = self.settings.url(endpoint)
        try:
            body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadSettings(f"The payload cannot be sent as JSON: {type(error).__name__}.") from None
        try:
            return parse_json(self.send(url, body=body), self.settings.dialect)
        except BaseException as error:
            forget_locals(error)
            raise

    def test_key(self) -> str:
        """
        Return what to tell a person whose key is accepted.

        :raises ApiError: if it is not, or nobody can tell.
        """
        return self.settings.dialect.test_key(self)

    def send(self, url: str, *, params: Mapping[str, Any] | None = None, body: bytes | None = None) -> Response:
        """
        Make the request, a POST if it has a body, in a thread of its own, for no longer than the request timeout.

        The timeouts of requests are for one read: a server that trickles a header could hold it for ever.

        :raises ApiError: if there is no response.
        """
        limit = self.settings.request_timeout
        done: SimpleQueue[Response | Exception] = SimpleQueue()
        Thread(target=lambda: done.put(self._exchange(self.session, url, params, body)), daemon=True).start()
        try:
            result = done.get(timeout=limit)
        except Empty:
            # The thread may still use the old session until it notices.
            self.session.sockets.shut_down()
            self.session = _Session(self.settings)
            error = requests.ReadTimeout(f"no complete response within {limit:g} s")
            raise unreachable(error, self.settings.api_key) from None
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _exchange(
        self, session: requests.Session, url: str, params: Mapping[str, Any] | None, body: bytes | None
    ) -> Response | Exception:
        key = self.settings.api_key
        limits = (self.settings.connect_timeout, self.settings.request_timeout)
        try:
            with session.request(
                "GET" if body is None else "POST",
                url,
                params=params,
                data=body,
                headers={} if body is None else {"Content-Type": "application/json"},
                timeout=limits,
                allow_redirects=False,
                stream=True,
            ) as raw:
                received = bytearray()
                # In pieces: only a read at the end notices a truncated body.
                while len(received) <= MAX_RESPONSE_BYTES and (piece := raw.raw.read(65_536, decode_content=False)):
                    received += piece
                return Response(status=raw.status_code, headers=raw.headers, body=bytes(received), secret=key)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return unreachable(error, key)
        except Exception as error:
            return error
