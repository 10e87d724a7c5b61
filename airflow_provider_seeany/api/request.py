"""Builds a request: the API's address, the key, the limits, and the path of a task."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from airflow_provider_seeany import __version__
from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.text import looks_like_key, truncate

if TYPE_CHECKING:
    from airflow_provider_seeany.api.route import Route

DEFAULT_BASE_URL = "https://api.seeany.com"
"""The documented address, without the version."""

DEFAULT_REQUEST_TIMEOUT = 30  # maximum seconds for one request, from connecting to the last byte
DEFAULT_CONNECT_TIMEOUT = 10  # maximum seconds of them for the connection, TCP and TLS
DEFAULT_MAX_CONNECTIONS = 100  # maximum concurrent requests of one process with one key; further ones queue

MAX_RESPONSE_BYTES = 4 * 1024 * 1024  # maximum bytes of a response; a real one has a few hundred


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    The API's address, key and limits. Equal settings share one pool of HTTP connections.

    :param base_url: the address as :func:`base_url` returns it for the dialect.
    """

    base_url: str
    api_key: Secret
    dialect: Dialect = DEFAULT_DIALECT
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    max_connections: int = DEFAULT_MAX_CONNECTIONS

    @cached_property
    def route(self) -> Route:
        """
        The route of requests to the API. Its first use reads files, so an event loop should leave it to a thread.

        :raises BadSettings: if the proxy or certificates of the environment cannot be used.
        """
        from airflow_provider_seeany.api.route import route_to

        return route_to(self.base_url)

    @cached_property
    def headers(self) -> dict[str, str]:
        """
        The headers of a request, for the API's host alone.

        The live service refuses clients without a ``User-Agent``.
        """
        return {
            "Authorization": self.api_key.bearer(),
            "Accept": "application/json",
            # Responses are small; this also rules out compression bombs.
            "Accept-Encoding": "identity",
            "User-Agent": f"airflow-provider-seeany/{__version__}",
        }

    def url(self, endpoint: str) -> str:
        """
        Return the URL of an endpoint: ``tasks/…``, ``/v1/tasks/…``, or ``api/developer/…`` in the other dialect.

        :raises BadSettings: if it leaves the API: another host, or ``..`` in its path.
        """
        try:
            parts = urlsplit(endpoint)
        except ValueError:
            parts = None
        if parts is None or not endpoint.isprintable() or any(c in endpoint for c in " \\#"):
            raise BadSettings(f"The endpoint {truncate(endpoint)!r} is not a valid path of a URL.")
        path = parts.path.lstrip("/")
        if parts.scheme or parts.netloc or any(unquote(segment) in (".", "..") for segment in path.split("/")):
            raise BadSettings(
                f"The endpoint {truncate(endpoint)!r} must be a path below {self.base_url}, without '..'."
            )
        query = f"?{parts.query}" if parts.query else ""
        return f"{self.base_url}/{path.removeprefix(f'{self.dialect.base_path}/'.lstrip('/'))}{query}"

    def task_url(self, seeany_task_id: str) -> str:
        """Return the URL of a task, by its checked id."""
        return f"{self.base_url}/{self.dialect.task_endpoint(quote(seeany_task_id, safe=''))}"


def checked_api_key(value: object) -> Secret:
    """
    Return the API key without surrounding white space, which pasting tends to add.

    :raises BadSettings: if it is missing, or cannot be part of an HTTP header. Neither the text nor a local variable
        shows it.
    """
    given = [str(value if value is not None else "").strip()]
    del value
    if not given[0]:
        raise BadSettings("it has no API key. Paste the key (sk-…) into its field API Key, the password")
    if not (given[0].isascii() and given[0].isprintable()) or " " in given[0]:
        given.clear()
        raise BadSettings(
            "its API key has white space or characters outside ASCII. "
            "Paste the key alone (sk-…), without 'Bearer' or quotes, into its field API Key, the password"
        )
    return Secret(given[0])


def base_url(
    host: str | None,
    *,
    port: object = None,
    schema: str | None = None,
    allow_http: bool = False,
    dialect: Dialect = DEFAULT_DIALECT,
) -> str:
    """
    Return the API's address, without a trailing slash, from what people type.

    :param host: a host or URL, with or without the ``typed_paths`` of the dialect; empty for the live service. A bare
        loopback host means ``http``, any other bare host ``https``. An IPv6 address may lack its brackets, as in a
        connection's URI.
    :param port: used if ``host`` has none.
    :param schema: ``http`` or ``https``, or a path prefix (what follows the host in a connection's URI).
    :param allow_http: accept ``http://`` to other hosts than this machine.
    :raises BadSettings: if it is not an address, has an API key, or would send the key unencrypted over a network.
    """
    # Loads what provider info, which every Airflow process reads, has no need of.
    from airflow_provider_seeany.api.route import is_loopback

    given = (host or "").strip() or DEFAULT_BASE_URL
    schema = (schema or "").strip().strip("/")
    scheme = schema if schema in ("http", "https") else ""
    prefix = "" if scheme else schema
    if any(looks_like_key(text) for text in (given, prefix, str(port))):
        raise BadSettings(
            "its Base URL (host), port or schema has an API key, or what looks like one (sk-…). The key belongs in "
            "the field API Key, the password, alone; replace it if it may have been seen"
        )
    if _is_ipv6(given):
        given = f"[{given}]"
    name, given_port, parts = _split(given if "://" in given else f"//{given}")
    odd = any(not text.isprintable() or any(c in text for c in " \\@?#") for text in (given, prefix))
    if "%" in name and ":" in name:
        raise BadSettings("its Base URL (host) is an IPv6 address with a zone (%…), which cannot be used. Set a name")
    if not name or odd:
        # Before an @ or behind a ? may be the key itself, typed into the wrong field.
        shown = (
            "" if any(c in given + prefix for c in "@?#") else f" {truncate('/'.join(filter(None, (given, prefix))))!r}"
        )
        raise BadSettings(
            f"its Base URL (host){shown} is not an address. Set a host or URL such as https://api.seeany.com, "
            "without user name, query or fragment, or leave it empty"
        )
    scheme = parts.scheme or scheme or ("http" if is_loopback(name) else "https")
    if scheme not in ("http", "https"):
        raise BadSettings(f"its Base URL (host) starts with {truncate(scheme)!r}; it must be https:// or http://")
    if scheme == "http" and not allow_http and not is_loopback(name):
        raise BadSettings(
            f"its Base URL (host) would send the API key unencrypted to {truncate(name)}. "
            'Use https://, or put {"allow_http": true} into its extra if that network is yours'
        )
    path = parts.path.rstrip("/") or (f"/{prefix}" if prefix else "")
    authority = f"[{name}]" if ":" in name else name
    number = _port(port if given_port is None else given_port)
    path = path.removesuffix(next((end for end in dialect.typed_paths if path.endswith(end)), ""))
    return f"{scheme}://{authority}{number}{path}{dialect.base_path}"


def _split(url: str) -> tuple[str, int | None, SplitResult]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port, parts
    except ValueError:
        return "", None, urlsplit("")


def _port(port: object) -> str:
    if port is None:
        return ""
    text = str(port).strip()
    if not (text.isdecimal() and text.isascii() and len(text) < 6 and 0 < int(text) < 65_536):
        raise BadSettings(f"its port {truncate(text)} is not between 1 and 65535")
    return f":{int(text)}"


def checked_seconds(value: object, *, name: str) -> float:
    """Return seconds from a connection's extra, a number or its text; refuse all but those up to one day."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if isinstance(value, bool) or not 0 < seconds <= 86_400:
        raise BadSettings(f"its {name} must be a number of seconds above 0, not {truncate(str(value))!r}")
    return seconds


def checked_count(value: object, *, name: str) -> int:
    """Return a count from a connection's extra, a number or its text; refuse all but 1 to 10 000."""
    count = int(text) if (text := str(value).strip()).isdecimal() and len(text) < 6 else 0
    if not 1 <= count <= 10_000:
        raise BadSettings(f"its {name} must be a whole number from 1 to 10000, not {truncate(str(value))!r}")
    return count


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
