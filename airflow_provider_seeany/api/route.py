"""Finds the proxy and the certificates for the API, once for both transports, where ``requests`` would find them."""

from __future__ import annotations

import ipaddress
import os
import ssl
from base64 import b64encode
from functools import cache
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import msgspec

from airflow_provider_seeany.api.secret import Hidden
from airflow_provider_seeany.api.settings import BadSettings


class Proxy(msgspec.Struct, frozen=True):
    """
    A proxy.

    :param url: where it is, without its credentials.
    :param headers: what it is to be told beside the request: its own credentials, or nothing.
    """

    url: str
    headers: dict[str, str]


class Route(msgspec.Struct, frozen=True):
    """
    How requests get to the API.

    :param proxy: the proxy they go through.
    :param tls: whom they trust; ``None`` if nothing on the way is encrypted.
    """

    proxy: Proxy | None
    tls: ssl.SSLContext | None


def route_to(url: str) -> Route:
    """
    Find the way to a URL by this process's environment.

    :raises BadSettings: if it names a proxy or certificates that cannot be used; the text names the variable.
    """
    proxy = _proxy_for(url)
    encrypted = url.startswith("https:") or (proxy is not None and proxy.url.startswith("https:"))
    return Route(proxy, _tls() if encrypted else None)


def is_loopback(host: str) -> bool:
    """
    Tell whether a host is this machine by its address or name alone; nothing is resolved.

    A name below ``localhost`` is taken for this machine, as RFC 6761 asks of resolvers; one that does otherwise could
    still send it elsewhere.
    """
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
        # What may go unencrypted only because it stays on this machine has to stay there.
        return None
    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    variable = _variable_that_holds(found)
    try:
        parts = urlsplit(found if "://" in found else f"http://{found}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    # Not with what was found: it may hold a password.
    if not host:
        raise BadSettings(f"{variable} holds no URL of a proxy. Give one such as http://proxy.example.com:3128")
    if parts.scheme not in ("http", "https"):
        raise BadSettings(
            f"{variable} names a proxy of the kind {parts.scheme}://, which triggers could not go through. "
            "Give the URL of an HTTP proxy, http://… or https://…, or list the API's host in NO_PROXY"
        )
    authority = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return Proxy(
        urlunsplit((parts.scheme, authority, "", "", "")),
        _credentials(unquote(parts.username or ""), unquote(parts.password or "")),
    )


def _variable_that_holds(value: str) -> str:
    return next(
        (name for name, held in os.environ.items() if name.lower().endswith("_proxy") and held == value),
        "The proxy setting of this machine",
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
    """Trust whom requests trusts."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := os.environ.get(variable):
            break
    else:
        variable, bundle = "certifi", certifi.where()
    try:
        return _trusting(bundle)
    except OSError as error:
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise BadSettings(
            f"{variable} names certificates that cannot be read, {bundle!r}: {reason}. "
            "Give the path of a PEM file, or of a folder made by c_rehash"
        ) from None


@cache
def _trusting(bundle: str) -> ssl.SSLContext:
    """Read a file or folder of certificates, which takes some 40 ms, once."""
    is_folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
