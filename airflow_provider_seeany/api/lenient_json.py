"""Decodes JSON that violates the standard, as long as it has one meaning only."""

from __future__ import annotations

import codecs
import json
import math
import re
from contextlib import suppress
from typing import Any

MAX_DEPTH = 64
"""Maximum nesting of a payload; a real one has two levels. Airflow's serialisation fails at some hundreds."""

_MAX_BRACKETS = 200_000  # maximum brackets of a text whose deepest parts are removed, which takes time
_MAX_DIGITS = 1000  # maximum digits of an integer; a longer one stays text

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = (
    (re.compile(rb"[{\[]\0[^\0]"), "utf-16-le"),
    (re.compile(rb"\0[{\[]\0[^\0]"), "utf-16-be"),
)
_BACKSLASH_IN_A_CHARACTER = re.compile(rb"[\x81-\xfe]\\")
"""The second byte of a Chinese or Japanese character can be that of a backslash, which UTF-8 takes for an escape."""

_BEGINNING = re.compile(rb"\A(?:\xef\xbb\xbf|\s)+")
"""White space, and UTF-8 marks before a text in another encoding."""

_OTHER_ENCODINGS = ("gb18030", "big5hkscs", "shift_jis")
_MULTI_BYTE = re.compile(r"gb|big5|shift_?jis|sjis|cp9|ms9|euc|windows-31j")
"""Names of encodings with such characters."""

_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode(body: bytes, charset: str = "") -> Any:
    """
    Decode JSON, replacing undecodable bytes and invalid escapes.

    A byte order mark is skipped, NaN and infinities become null, control characters inside strings are kept, a number
    that is too large becomes text, and what is nested too deep for the decoder becomes null. Strings may have halves of
    surrogate pairs. Truncated JSON and bad separators are not repaired: the meaning would be a guess.

    :param charset: the encoding by the header, tried where UTF-8 fails.
    :raises ValueError: if it is not JSON.
    :raises RecursionError: if it is nested too deep, and too large to find out where.
    """
    try:
        return _without_depth(_text(body))
    except ValueError:
        if not _BACKSLASH_IN_A_CHARACTER.search(body):
            raise
        for encoding in (charset.strip().lower(), *_OTHER_ENCODINGS):
            if _MULTI_BYTE.match(encoding):
                with suppress(ValueError, LookupError):
                    text = _BEGINNING.sub(b"", body).decode(encoding, "replace")
                    return _without_depth(text.strip("\0 \t\r\n"))
        raise


def _without_depth(text: str) -> Any:
    try:
        return _decoded(text)
    except RecursionError:
        if text.count("[") + text.count("{") > _MAX_BRACKETS:
            raise
        return _decoded(_without_deep_parts(text))


def _text(body: bytes) -> str:
    body = body.lstrip(b" \t\r\n")
    mark, encoding = next((pair for pair in _ENCODINGS if body.startswith(pair[0])), (b"", "utf-8"))
    if not mark:
        encoding = next((name for begins, name in _UNMARKED if begins.match(body)), encoding)
    # White space of JSON, and padding with NUL.
    return body[len(mark) :].decode(encoding, "replace").strip("\ufeff\0 \t\r\n")


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except ValueError:
        repaired = _ESCAPE.sub(lambda found: found[0] if len(found[0]) > 1 else r"\\", text)
        if repaired == text:
            raise
        return _DECODER.decode(repaired)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _float(written: str) -> float | str:
    number = float(written)
    return number if math.isfinite(number) else written


# Not strict: strings may hold control characters.
_DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_float, parse_constant=lambda _: None)


def _without_deep_parts(text: str) -> str:
    """Replace what is nested too deep by null, one level below :data:`MAX_DEPTH`."""
    kept: list[str] = []
    depth, begins = 0, 0
    for found in _STRING_OR_BRACKET.finditer(text):
        match found[0]:
            case "[" | "{":
                depth += 1
                if depth == MAX_DEPTH + 2:
                    kept.append(text[begins : found.start()])
            case "]" | "}":
                if depth == MAX_DEPTH + 2:
                    kept.append("null")
                    begins = found.end()
                depth -= 1
    return "".join([*kept, text[begins:]])
