"""
Parses one field of a payload, in whatever shape a service sends it: a text, a list of one, an object around it.

Each parser returns what has one meaning only, and ``None`` for anything else: no field may cost a user the rest of the
payload. Numbers, times and money are in :mod:`~airflow_provider_seeany.api.quantities`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from unicodedata import normalize

Parsed = TypeVar("Parsed")
ErrorFields = tuple[str | int | None, str | None]
"""Code and message."""

MAX_WORD = 100  # longer texts are no words, keys, numbers or times
_MAX_DEPTH = 4  # lists and objects are searched no deeper than this: one value is expected

_TEXT_KEYS = ("value", "text", "name", "label", "title", "message", "msg", "reason", "detail", "description")
_URL_KEYS = ("url", "href", "uri", "src", "link", "value", "download_url", "video_url")
_CODE_KEYS = ("code", "error_code", "type", "status", "name")
_MESSAGE_KEYS = ("message", "msg", "error_message", "error_msg", "reason", "detail", "details", "description", "text")
_SIBLING_MESSAGE_KEYS = (
    "error_message",
    "error_msg",
    "failure_reason",
    "fail_reason",
    "failed_reason",
    "reason",
    "message",
    "msg",
    "detail",
)
_SUCCESS_MESSAGES = frozenset({"ok", "success", "成功"})
"""Messages about the request, which succeeded."""


def try_parse(parse: Callable[[Any], Parsed], value: object) -> Parsed | None:
    """Return a parser's result; ``None`` if it raises."""
    try:
        return parse(value)
    except Exception:
        return None


def is_reason(message: str | None) -> bool:
    """Tell whether a message says why something failed."""
    return bool(message) and normalize_word(message or "") not in _SUCCESS_MESSAGES


def is_empty(value: object) -> bool:
    """Tell whether a value is one of those by which services mean "nothing"."""
    return value is None or value is False or (isinstance(value, str) and not value.strip()) or value in ([], {})


def normalize_word(word: str) -> str:
    """Return a word for comparing, without case, width, surrounding white space and invisible characters."""
    word = word.strip()
    if len(word) > MAX_WORD:
        return word
    folded = normalize("NFKC", word).casefold()
    return "".join(char for char in folded if char.isprintable() or char.isspace()).strip()


def identifier(value: object) -> str | None:
    """Parse an id, without surrounding white space; a number becomes its digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _stripped(value)


def text(value: object) -> str | None:
    """Parse a text; a number becomes its digits."""
    return find_first(value, scalar_text, _TEXT_KEYS)


def url(value: object) -> str | None:
    """Parse a URL; without one, return the text in its place."""
    return find_first(value, _http_url, _URL_KEYS) or find_first(value, _stripped, _URL_KEYS)


def error(value: object) -> ErrorFields:
    """Parse an error."""
    return find_first(value, _error, ()) or (None, None)


def sibling_error(payload: Mapping[str, Any]) -> ErrorFields:
    """Parse an error that stands beside or in place of a payload's ``error``."""
    code = next((code for key in ("error_code", "code") if (code := _code(payload.get(key))) is not None), None)
    message = next((message for key in _SIBLING_MESSAGE_KEYS if (message := text(payload.get(key))) is not None), None)
    return None if code in (0, 200, "0", "200") else code, message if is_reason(message) else None


def find_first(
    value: object, parse: Callable[[Any], Parsed | None], keys: tuple[str, ...], depth: int = 0
) -> Parsed | None:
    """Return the first that can be parsed: the value itself, a list's items, or an object's values under these keys."""
    if (found := parse(value)) is not None or depth == _MAX_DEPTH:
        return found
    inner: Iterable[object] = ()
    if isinstance(value, list):
        inner = value
    elif isinstance(value, Mapping):
        inner = [value[key] for key in keys if key in value]
    return next((found for item in inner if (found := find_first(item, parse, keys, depth + 1)) is not None), None)


def scalar_text(value: object) -> str | None:
    """Return a text that is not blank, or a number's digits."""
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _http_url(value: object) -> str | None:
    found = _stripped(value)
    return found if found and found.lower().startswith(("https://", "http://")) else None


def _stripped(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _error(value: object) -> ErrorFields | None:
    if isinstance(value, str):
        return (None, value) if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value, None
    if not isinstance(value, Mapping):
        return None
    code = next((code for key in _CODE_KEYS if (code := _code(value.get(key))) is not None), None)
    message = next((message for key in _MESSAGE_KEYS if (message := text(value.get(key))) is not None), None)
    if message is None and "error" in value:
        inner_code, message = error(value["error"])
        code = inner_code if code is None else code
    return None if code is None and message is None else (code, message)


def _code(value: object) -> str | int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else text(value)
