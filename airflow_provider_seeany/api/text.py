"""Text for log lines and error messages: sanitizing foreign text, hiding keys in wrong fields, counts."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from airflow_provider_seeany.api.secret import MASK, Secret

MAX_TEXT = 500  # maximum characters of foreign text in a message or a log line

_MAX_TYPED = 4096
_MAX_QUOTED = 80
_KEY_PREFIX = re.compile(r"(?<![a-z0-9])sk[-_][\w%-]*", re.IGNORECASE | re.ASCII)
_LONG_KEY = re.compile(r"(?<![a-z0-9])sk[-_]([\w-]{16,})", re.IGNORECASE | re.ASCII)
_BLANK_LETTERS = "\u115f\u1160\u2800"
"""Invisible characters that Unicode has among letters and symbols."""


def truncate(text: str) -> str:
    """
    Shorten what a person typed, for quoting it in an error; a key in the wrong field does not show.

    Whatever begins as a key does is masked, however short: a quotation loses little by it.
    """
    text = _KEY_PREFIX.sub(MASK, text[:_MAX_TYPED])
    if _KEY_PREFIX.search(decoded := decode_disguised(text)):
        text = _KEY_PREFIX.sub(MASK, decoded)
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 1] + "…"


def looks_like_key(text: str) -> bool:
    """
    Tell whether a host, path or port contains an API key, typed into the wrong field.

    Host names begin with ``sk-`` as well, such as ``sk-api-gateway-prod-2.example.com``, but they are made of words.
    Only a key has 16 or more characters behind ``sk-`` without a dot and, among them, a part of 12 or more letters and
    digits with a digit; each kind of random key, a UUID included, has one.
    """
    return any(
        len(part) >= 12 and any(c.isdigit() for c in part)
        for rest in _LONG_KEY.findall(decode_disguised(text))
        for part in re.split("[-_]", rest)
    )


def decode_disguised(text: str) -> str:
    """Return a text without the disguises of a key: percent-encoding, full-width letters, invisible characters."""
    before = None
    while text != before:
        before = text
        # A repeatedly encoded % at once: a round for each time would take long.
        text = unquote(re.sub("%(?:25)+", "%", text))
        text = "".join(map(_plain_character, unicodedata.normalize("NFKD", text)))
    return text


def _plain_character(char: str) -> str:
    if char.isascii():
        return char if char.isprintable() or char.isspace() else ""
    category = unicodedata.category(char)
    if category == "Pd":
        return "-"
    return "" if category[0] in "MC" or char in _BLANK_LETTERS else char


def sanitize(text: str, *, secret: Secret | None = None, limit: int = MAX_TEXT) -> str:
    """
    Return foreign text for a log line: without control characters and the secret, with ``limit`` characters at most.

    :param secret: an API key that the text may quote.
    """
    text = text.strip()
    is_truncated = len(text) > 8 * limit  # never megabytes of what is dropped below
    text = text[: 8 * limit]
    if secret is not None:
        # Before anything is dropped: a part of a key must not show either.
        text = secret.mask(text, is_truncated=is_truncated).strip()
    if not text.isprintable():
        # Control characters, line separators, bidirectional overrides: all that could forge a line.
        text = re.sub("\0+", " ", "".join(char if char.isprintable() else "\0" for char in text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def format_count(number: int) -> str:
    """Write a count for a person: ``1 240``."""
    return f"{number:,}".replace(",", " ")


def were(number: int) -> str:
    """Return the verb after a count: ``1 was``, ``2 were``."""
    return "was" if number == 1 else "were"
