"""Finds the proxy and the certificates for the API, as ``requests`` would, once for both transports."""

from __future__ import annotations

import ipaddress
import os
import ssl
from base64 import b64encode
from functools import cache
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import msgspec

from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.secret import Hidden


class Proxy(msgspec.Struct, frozen=True):
    """A proxy: its URL without credentials, and the headers for it alone, which have the credentials."""

    url: str
    headers: dict[str, str]


class Route(msgspec.Struct, frozen=True):
    """The proxy and the TLS context of requests; ``tls`` is ``None`` if nothing on the route is encrypted."""

    proxy: Proxy | None
    tls: ssl.SSLContext | None


def route_to(url: str) -> Route:
    """
    Find the route to a URL by this process's environment.

    :raises BadSettings: if its proxy or certificates cannot be used; the text names the variable.
    """
    proxy = _proxy_for(url)
    encrypted = url.startswith("https:") or (proxy is not None and proxy.url.startswith("https:"))
    return Route(proxy, _tls() if encrypted else None)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its address or, as RFC 6761 has it, its name; nothing is resolved."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _proxy_for(url: str) -> Proxy | None:
    # Heavy, and only needed here: the rules of NO_PROXY are requests' own.
    from requests.utils import get_environ_proxies, select_proxy

    if is_loopback(urlsplit(url).hostname or ""):
        # It may be unencrypted only because it does not leave this machine.
        return None
    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    variable = next(
        (name for name, held in os.environ.items() if name.lower().endswith("_proxy") and held == found),
        "The proxy setting of this machine",
    )
    try:
        parts = urlsplit(found if "://" in found else f"http://{found}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    # Errors do not quote the URL, which may have a password.
    if not host:
        raise BadSettings(f"{variable} is not the URL of a proxy. Set one such as http://proxy.example.com:3128")
    if parts.scheme not in ("http", "https"):
        raise BadSettings(
            f"{variable} names a {parts.scheme}:// proxy, which triggers cannot use. "
            "Set the URL of an HTTP proxy, http://… or https://…, or list the API's host in NO_PROXY"
        )
    authority = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return Proxy(
        urlunsplit((parts.scheme, authority, "", "", "")),
        _credentials(unquote(parts.username or ""), unquote(parts.password or "")),
    )


def _credentials(user: str, password: str) -> dict[str, str]:
    if not user and not password:
        return {}
    both = f"{user}:{password}"
    try:
        raw = both.encode("latin-1")
    except UnicodeEncodeError:
        raw = both.encode()
    return {"Proxy-Authorization": Hidden(f"Basic {b64encode(raw).decode()}")}


def _tls() -> ssl.SSLContext:
    """Return a context with the certificates that requests would use."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := os.environ.get(variable):
            break
    else:
        variable, bundle = "certifi", certifi.where()
    try:
        return _tls_context(bundle)
    except OSError as error:
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise BadSettings(
            f"{variable} names certificates that cannot be read, {bundle!r}: {reason}. "
            "Set the path of a PEM file, or of a folder made by c_rehash"
        ) from None


@cache
def _tls_context(bundle: str) -> ssl.SSLContext:
    # Reading the certificates takes some 40 ms.
    is_folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
