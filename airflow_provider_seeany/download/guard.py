"""Refuses connections to private addresses: a URL in a response must not reach what only this network can."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddressError(OSError):
    """The host is, or resolves to, an address that is not public."""

    TEXT = "is not a public address"

    @classmethod
    def find_in(cls, error: OSError) -> OSError | None:
        """Return the error if it is one of these; asyncio joins the texts of several into one error."""
        return error if isinstance(error, cls) or cls.TEXT in str(error) else None


def is_public(address: str) -> bool:
    """Tell whether an IP address can be reached from the whole internet; one embedded in another counts, too."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if (embedded := _embedded(ip)) is not None:
            ip = embedded
        elif ip not in _GLOBAL_UNICAST:
            # What is reserved may be translated to a private address, too.
            return False
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which packets for an IPv6 address may be translated."""
    if ip.ipv4_mapped or ip.sixtofour:
        return ip.ipv4_mapped or ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    return ipaddress.IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None


def public_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """
    Make the socket for a connection, of which aiohttp tells the resolved address: literals and redirects included.

    :raises PrivateAddressError: if the address is not public.
    """
    family, kind, protocol, _, address = address_info
    if not is_public(address[0]):
        raise PrivateAddressError(f"{address[0]} {PrivateAddressError.TEXT}")
    return socket.socket(family, kind, protocol)
