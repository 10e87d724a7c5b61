"""Text for log lines and error messages: foreign text made harmless, keys in wrong fields, counts for people."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_seeany.api.secret import MASK, Secret

if TYPE_CHECKING:
    pass


def truncate(text: str) -> str:
    """
    Shorten what a person typed, for quoting it in an error; a key typed into the wrong field does not show.

    Whatever begins as a key does is masked, however short: a quotation loses little by it.
    """
    text = _BEGINS_AS_KEY.sub(MASK, text[:_MAX_QUOTED])
    if _BEGINS_AS_KEY.search(spelled := decode_disguised(text)):
        text = _BEGINS_AS_KEY.sub(MASK, spelled)
    return text if len(text) <= 80 else text[:79] + "…"


_MAX_QUOTED = 4096
"""Most characters of a text that are looked at for quoting some of them."""


_BEGINS_AS_KEY = re.compile(r"(?<![a-z0-9])sk[-_][\w%-]*", re.IGNORECASE | re.ASCII)


_LONG_AS_KEY = re.compile(r"(?<![a-z0-9])sk[-_]([\w-]{16,})", re.IGNORECASE | re.ASCII)


def looks_like_key(text: str) -> bool:
    """
    Tell whether a host, a path or a port holds what must be an API key, typed into the wrong field.

    Names of machines begin with ``sk-`` as well: ``sk-mock``, ``sk-api-gateway-prod-2.example.com``. But they are made
    of words. Only a key has 16 characters or more behind ``sk-`` without a dot and, among them, a piece of 12 or more
    with a digit and no sign; each kind of random key, a UUID included, has one.
    """
    return any(
        len(piece) >= 12 and any(c.isdigit() for c in piece)
        for rest in _LONG_AS_KEY.findall(decode_disguised(text))
        for piece in re.split("[-_]", rest)
    )


def decode_disguised(text: str) -> str:
    """Return a text as a person reads it who wants the key: no %-escapes, no wide letters, nothing without a width."""
    before = None
    while text != before:
        before = text
        # A % that was escaped again and again, at once: a round for each time would take long.
        text = unquote(re.sub("%(?:25)+", "%", text))
        text = "".join(map(_plain, unicodedata.normalize("NFKD", text)))
    return text


def _plain(char: str) -> str:
    if char.isascii():
        return char if char.isprintable() or char.isspace() else ""
    category = unicodedata.category(char)
    if category == "Pd":
        return "-"
    return "" if category[0] in "MC" or char in _BLANK_LETTERS else char


_BLANK_LETTERS = "\u115f\u1160\u2800"
"""What Unicode calls letters or symbols, and nobody sees."""


MAX_TEXT = 500
"""Longest piece of foreign text, in characters, that is put into a message or a log line."""


def sanitize(text: str, *, secret: Secret | None = None, limit: int = MAX_TEXT) -> str:
    """
    Make foreign text fit for a log line: no control characters, no secret, no more than ``limit`` characters.

    :param text: text that came from outside, in any language.
    :param secret: an API key that must not show, should the text quote it.
    :param limit: the most characters to keep.
    """
    text = text.strip()
    goes_on = len(text) > (most := 8 * limit)  # never megabytes of what is dropped below
    text = text[:most]
    if secret is not None:
        # The secret is found through all that is dropped below, and before it: a part of a key is a key that got out.
        text = secret.mask(text, goes_on=goes_on).strip()
    if not text.isprintable():
        # Controls, line separators, bidi overrides and whatever else can make a line lie.
        text = re.sub("\0+", " ", "".join(char if char.isprintable() else "\0" for char in text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def format_count(number: int) -> str:
    """Write a count for a person: ``1 240``."""
    return f"{number:,}".replace(",", " ")


def were(number: int) -> str:
    """Return the verb after a count: ``1 was``, ``2 were``."""
    return "was" if number == 1 else "were"
