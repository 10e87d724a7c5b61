"""A URL without what may be secret in it."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def public_url(url: str) -> str:
    """Return a URL without user, query and fragment: a query may be a signature."""
    parts = urlsplit(without_user(url))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def without_user(url: str) -> str:
    """Return a URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
