"""Decodes JSON that is not quite what the standard asks for, as far as it can mean one thing only."""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

MAX_DEPTH = 64
"""
Deepest nesting of an answer that is handed on; a real one has two levels. Airflow's own serialisation of XComs and
events gives up, and loses the result, at some hundreds.
"""

_MOST_BRACKETS = 200_000
"""Most brackets of a text whose deepest parts are cut out: to look for them takes time."""

_MOST_DIGITS = 1000
"""Longest integer, in digits, that is read as one."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the one of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = (
    (re.compile(rb"[{\[]\0[^\0]"), "utf-16-le"),
    (re.compile(rb"\0[{\[]\0[^\0]"), "utf-16-be"),
)
_BACKSLASH_IN_A_CHARACTER = re.compile(rb"[\x81-\xfe]\\")
"""Where the second byte of a Chinese or Japanese character is that of a backslash, UTF-8 sees an escape."""

_BEGINNING = re.compile(rb"\A(?:\xef\xbb\xbf|\s)+")
"""White space, and marks of UTF-8 that somebody put before a text in another encoding."""

_OTHER_ENCODINGS = ("gb18030", "big5hkscs", "shift_jis")
_MULTI_BYTE = re.compile(r"gb|big5|shift_?jis|sjis|cp9|ms9|euc|windows-31j")
"""Names of the encodings in which that can be."""

_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode(body: bytes, charset: str = "") -> Any:
    """
    Decode JSON, reading with replacement what cannot be read: bytes that are no text, escapes that are none.

    A byte order mark is skipped, NaN and infinities are null, control characters inside strings are taken as they are,
    a number too large for others becomes its text, and what is nested too deep for any decoder is null.
    Strings may hold halves of surrogate pairs. What is cut short or badly parted is not mended: it could mean anything.

    :param body: the bytes.
    :param charset: the encoding that the sender names, tried where UTF-8 fails.
    :raises ValueError: if it is no JSON all the same.
    :raises RecursionError: if it is nested too deep, and too large to find out where.
    """
    try:
        return _without_depth(_text(body))
    except ValueError:
        if not _BACKSLASH_IN_A_CHARACTER.search(body):
            raise
        for encoding in (charset.strip().lower(), *_OTHER_ENCODINGS):
            if _MULTI_BYTE.match(encoding) and (found := _in_encoding(body, encoding)):
                return found[0]
        raise


def _in_encoding(body: bytes, encoding: str) -> list[Any]:
    """Return what it is in this encoding, if it is JSON in that."""
    try:
        return [_without_depth(_BEGINNING.sub(b"", body).decode(encoding, "replace").strip("\0 \t\r\n"))]
    except (ValueError, LookupError):
        return []


def _without_depth(text: str) -> Any:
    try:
        return _decoded(text)
    except RecursionError:
        if text.count("[") + text.count("{") > _MOST_BRACKETS:
            raise
        return _decoded(_without_deep_parts(text))


def _text(body: bytes) -> str:
    body = body.lstrip(b" \t\r\n")
    mark, encoding = next((pair for pair in _ENCODINGS if body.startswith(pair[0])), (b"", "utf-8"))
    if not mark:
        encoding = next((name for begins, name in _UNMARKED if begins.match(body)), encoding)
    # Whitespace as JSON has it, and what is padded with NUL.
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
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _float(written: str) -> float | str:
    number = float(written)
    return number if math.isfinite(number) else written


# Not strict: strings may hold control characters.
_DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_float, parse_constant=lambda _: None)


def _without_deep_parts(text: str) -> str:
    """Return the text with null for what is nested too deep, one level later than :data:`MAX_DEPTH` has it."""
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
