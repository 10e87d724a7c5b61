"""
Reads one field of an answer, whatever a service may make of it: ``"0.70 CNY"``, ``"65%"``, milliseconds, a list of one.

Each reader returns what can be understood without doubt, and ``None`` for anything else: no field may cost a user the
rest of the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from unicodedata import category, normalize

Read = TypeVar("Read")
Number = int | float

MAX_WORD = 100
"""Longer texts are no words, numbers or times."""

_DEEPEST = 4
"""Lists and objects are looked into no deeper than this: one value is expected."""

_NUMBER = re.compile(
    r"(?P<before>[^\d+\-.,]*)"
    r"(?P<sign>[+-]?)(?P<between>[^\d+\-.,]*)"
    r"(?P<digits>\d[\d.,'_ ]*(?<=\d)\.?|\.\d+)(?P<exponent>[eE][+-]?\d+)?"
    r"(?P<unit>\D*)"
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?P<mark>[,.'_ ])\d{3}(?:(?P=mark)\d{3})*(?:(?P<point>[.,])\d+)?")

_CURRENCIES = {
    "cny": "CNY",
    "rmb": "CNY",
    "¥": "CNY",
    "cn¥": "CNY",
    "元": "CNY",
    "人民币": "CNY",
    "usd": "USD",
    "$": "USD",
    "us$": "USD",
    "eur": "EUR",
    "€": "EUR",
    "gbp": "GBP",
    "£": "GBP",
}
"""What a currency is called; ¥ is the yuan, as on the platform's page."""

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds", "毫秒"), 0.001),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "分", "分钟"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "时", "小时"), 3600.0),
}
_PART_OF_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([^\W\d_]+)\s*")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]?\d(?:\.\d+)?)")
_WORD_OF_A_DATE = re.compile(
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?"
    r"|(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:uary|ruary|ch|il|ust|ember|ober)?"
    r"|utc?|gmt|z|t)$",
    re.IGNORECASE,
)
_PER_CENT = frozenset({"", "%", "percent", "per cent", "pct"})

_INSIDE_A_TEXT = ("value", "text", "name", "label", "title", "message", "msg", "reason", "detail", "description")
_INSIDE_A_URL = ("url", "href", "uri", "src", "link", "value", "download_url", "video_url")
_INSIDE_A_NUMBER = ("value", "amount", "number", "total", "cost", "seconds", "percent")
_INSIDE_A_TIME = ("seconds", "$date", "$numberLong", "timestamp", "time", "value", "iso")
_UNITS = ("cost_unit", "currency", "unit")
_COSTS = ("cost", "total_cost", "amount", "value", "price")
_COSTS_IN_A_CURRENCY = ("total", "charge", "charged", "fee")
"""What these hold is a cost only beside a currency: it may be a number of tokens."""
_MESSAGES = ("message", "msg", "error_message", "error_msg", "reason", "detail", "details", "description", "text")
_MESSAGES_BESIDE = (
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
_CODES = ("code", "error_code", "type", "status", "name")


_NO_REASONS = frozenset({"ok", "success", "成功"})
"""What is said of the request, which succeeded."""


def decode_event(read: Callable[[Any], Read], value: object) -> Read | None:
    """Return what a reader makes of a field; ``None`` if it fails: no field may cost a user the rest of the answer."""
    try:
        return read(value)
    except Exception:
        return None


def is_reason(message: str | None) -> bool:
    """Tell whether a message says why something failed."""
    return bool(message) and plain(message or "") not in _NO_REASONS


def is_empty(value: object) -> bool:
    """Tell whether a field says nothing, in one of the ways in which services say that."""
    return value is None or value is False or (isinstance(value, str) and not value.strip()) or value in ([], {})


def says_something(name: str, payload: Mapping[str, Any]) -> bool:
    """Tell whether a field of an answer holds what should be understood."""
    value = payload.get(name)
    if name == "usage" and isinstance(value, Mapping):
        return any(not is_empty(value.get(key)) for key in (*_COSTS, *_COSTS_IN_A_CURRENCY))
    # Zero is how some say that there is no time.
    return not is_empty(value) and not (name == "completed_at" and value == 0)


def plain(text: str) -> str:
    """Return a word as it compares with others: without case, width, white space around it, or invisible characters."""
    text = text.strip()
    if len(text) > MAX_WORD:
        return text
    word = normalize("NFKC", text).casefold()
    return "".join(char for char in word if char.isprintable() or char.isspace()).strip()


def identity(value: object) -> str | None:
    """Read an id. White space around it is no part of it; a number is the id that its digits spell."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _stripped(value)


def number(value: object, *, units: Iterable[str] = ("",)) -> Number | None:
    """
    Read a number, also from text: ``"1,234.5"``, ``"0,7"``.

    :param value: what the field holds.
    :param units: what may stand before or after it, as :func:`plain` words.
    """
    return _one(value, lambda item: _number_and_unit(item, set(units))[0], _INSIDE_A_NUMBER)


def per_cent(value: object) -> Number | None:
    """Read a percentage: ``65``, ``"65%"``, ``"65/100"``."""
    if isinstance(value, str):
        value = value.strip().removesuffix("/100")
    return number(value, units=_PER_CENT)


def seconds(value: object) -> Number | None:
    """Read a number of seconds: ``5``, ``"5 s"``, ``"1m30s"``, ``"00:05"``, ``"PT5S"``."""
    return _one(value, _seconds, _INSIDE_A_NUMBER)


def text(value: object) -> str | None:
    """Read a text; a number is its digits."""
    return _one(value, _text, _INSIDE_A_TEXT)


def url(value: object) -> str | None:
    """Read a URL; if there is none, what stands in its place."""
    return _one(value, _web_address, _INSIDE_A_URL) or _one(value, _stripped, _INSIDE_A_URL)


def resolution(value: object) -> str | None:
    """Read a resolution: ``"720p"``, ``720``, ``[1280, 720]``, ``{"width": 1280, "height": 720}``."""
    if isinstance(value, Mapping) and {"width", "height"} <= value.keys():
        value = [value["width"], value["height"]]
    if isinstance(value, list) and len(value) == 2:
        sides = [number(side, units=("", "px")) for side in value]
        if None not in sides:
            return f"{sides[0]}x{sides[1]}"
    return text(value)


def moment(value: object) -> datetime | None:
    """
    Read a moment, in UTC: Unix time in seconds or, where the magnitude says so, parts of one, or a date and a time.

    One without a zone is in UTC. One outside the years 2000 to 2100 is something else, misread.
    """
    if isinstance(value, list) and len(value) >= 3 and all(type(part) is int for part in value):
        return _moment(value)
    return _one(value, _moment, _INSIDE_A_TIME)


def cost(usage: object) -> tuple[Number | None, str | None]:
    """Read a cost and its currency: ``{"cost": 0.7, "cost_unit": "CNY"}``, ``"¥0.70"``, ``["0.70 CNY"]``."""
    items = usage if isinstance(usage, list) else [usage]
    found = [read for item in items if (read := _one(item, _cost, ())) is not None]
    if len(found) == 1 and found[0][0] >= 0:
        return found[0]
    # Of several costs, nobody can tell whether they add up; and nobody is paid for a video.
    return None, _unit_in(usage) if isinstance(usage, Mapping) else None


def error(value: object) -> tuple[str | int | None, str | None]:
    """Read an error: its code, and its message."""
    found = _one(value, _error, ())
    return found if found is not None else (None, None)


def error_beside(payload: Mapping[str, Any]) -> tuple[str | int | None, str | None]:
    """Read why a task failed from the answer itself, where it does not say so under ``error``."""
    code = next((code for key in ("error_code", "code") if (code := _code(payload.get(key))) is not None), None)
    message = next((message for key in _MESSAGES_BESIDE if (message := text(payload.get(key))) is not None), None)
    return None if code in (0, 200, "0", "200") else code, message if is_reason(message) else None


def _one(value: object, read: Callable[[Any], Read | None], keys: tuple[str, ...], depth: int = 0) -> Read | None:
    """Return the first that can be read: of the value itself, of a list's items, or of an object's under these keys."""
    if (found := read(value)) is not None or depth == _DEEPEST:
        return found
    inner: Iterable[object] = ()
    if isinstance(value, list):
        inner = value
    elif isinstance(value, Mapping):
        inner = [value[key] for key in keys if key in value]
    return next((found for item in inner if (found := _one(item, read, keys, depth + 1)) is not None), None)


def _web_address(value: object) -> str | None:
    said = _stripped(value)
    return said if said and said.lower().startswith(("https://", "http://")) else None


def _stripped(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value if value.strip() else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number_and_unit(value: object, units: set[str] | None = None) -> tuple[Number | None, str]:
    """
    Return a number and what stands beside it; no number if that is none of the units.

    ``{"value": 5, "unit": "s"}`` is read as ``"5 s"``.
    """
    if isinstance(value, Mapping):
        unit = next((value[key] for key in _UNITS if isinstance(value.get(key), str)), "")
        size = next((value[key] for key in _INSIDE_A_NUMBER if _text(value.get(key))), None)
        value = f"{_text(size)} {unit}" if size is not None and unit else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (_that_travels(value) if math.isfinite(value) else None), ""
    if not isinstance(value, str) or len(value) > MAX_WORD:
        return None, ""
    match = _NUMBER.fullmatch(plain(value))
    if match is None:
        return None, ""
    beside = [part.strip() for part in match.group("before", "between", "unit") if part.strip()]
    unit = beside[0] if beside else ""
    if len(set(beside)) > 1 or (units is not None and unit not in units):
        return None, unit
    digits = _digits(match["digits"])
    return (None if digits is None else _value(match["sign"] + digits + (match["exponent"] or ""))), unit


def _digits(given: str) -> str | None:
    """Return digits as Python writes them; ``None`` if what parts them can mean one thing or another."""
    if grouped := _GROUPED.fullmatch(given):
        mark, point = grouped["mark"], grouped["point"]
        if mark == point or (mark == "." and point is None):
            # 1.234 is a number as it stands; 1.234.567 has no other meaning.
            return given if given.count(".") == 1 and mark == "." else given.replace(mark, "")
        return given.replace(mark, "").replace(",", ".")
    if given.count(",") == 1 and "." not in given:
        given = given.replace(",", ".")
    return given if re.fullmatch(r"\d*\.?\d*", given) else None


def _value(written: str) -> Number | None:
    try:
        value: Number = int(written)
    except ValueError:
        value = float(written)
    return _that_travels(value) if abs(value) < 1e300 else None


def _that_travels(value: Number) -> Number:
    """Return a number that Airflow can send on: an integer of 64 bits, or else a float."""
    return value if isinstance(value, float) or abs(value) < 2**63 else float(value)


def _seconds(value: object) -> Number | None:
    size, unit = _number_and_unit(value)
    if size is not None:
        scale = _SECONDS.get(unit) if unit else 1.0
        if scale is not None:
            return size if scale == 1.0 else _whole(size * scale)
    if not isinstance(value, str) or len(value) > MAX_WORD:
        return None
    said = plain(value).removeprefix("pt")
    if clock := _CLOCK.fullmatch(said):
        hours, minutes, rest = clock.groups(default="0")
        return _whole(int(hours) * 3600 + int(minutes) * 60 + float(rest))
    parts = _PART_OF_TIME.findall(said)
    if not parts or _PART_OF_TIME.sub("", said) or not all(unit in _SECONDS for _, unit in parts):
        return None
    return _whole(sum(float(size) * _SECONDS[unit] for size, unit in parts))


def _whole(value: float) -> Number:
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def _moment(value: object) -> datetime | None:
    try:
        found = _any_moment(value)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
    return found if found is not None and 2000 <= found.year <= 2100 else None


def _any_moment(value: object) -> datetime | None:
    if isinstance(value, str):
        return _written_moment(normalize("NFKC", value.strip()))
    if isinstance(value, list):
        return _any_moment(value[0]) if value[0] >= 10000 else datetime(*value[:6], tzinfo=UTC)  # type: ignore[misc]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _moment_of_digits(value)
    return None


def _moment_of_digits(value: Number) -> datetime | None:
    digits = str(value)
    if digits.isdecimal() and len(digits) in (8, 14):
        # A date without separators: as Unix time it would lie far away from today.
        return datetime.strptime(digits.ljust(14, "0") + "+0000", "%Y%m%d%H%M%S%z")
    # Seconds have ten digits, and eleven from the year 2286 on; each of the others has three more.
    for most, parts in ((1e11, 1), (1e14, 1000), (1e17, 10**6), (1e20, 10**9)):
        if abs(value) < most:
            return datetime.fromtimestamp(value / parts, tz=UTC)
    return None


def _written_moment(said: str) -> datetime | None:
    unix = _number_and_unit(said, {""})[0]
    if unix is not None:
        return _moment_of_digits(unix)
    iso = re.sub(r"\s*(?:UTC|GMT)$", "Z", said.replace("/", "-").upper())
    # fromisoformat takes no white space before the zone.
    iso = re.sub(r"\s+(?=(?:[+-]\d{2}:?\d{2}|Z)$)", "", iso)
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        if any(_WORD_OF_A_DATE.match(word) is None for word in re.findall(r"[^\W\d_]+", said)):
            # A zone by its name: CST is that of Shanghai, Chicago and Havana.
            return None
        found = parsedate_to_datetime(said)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _cost(usage: object, said_unit: str | None = None) -> tuple[Number, str | None] | None:
    if isinstance(usage, Mapping):
        said_unit = _unit_in(usage) or said_unit
        in_a_currency = said_unit is not None and plain(said_unit) in _CURRENCIES
        keys = (*_COSTS, *_COSTS_IN_A_CURRENCY) if in_a_currency else _COSTS
        inner = (usage[key] for key in keys if key in usage)
        return next((found for item in inner if (found := _one(item, partial(_cost, said_unit=said_unit), ()))), None)
    size, unit = _number_and_unit(usage)
    if size is None:
        return None
    if not unit:
        return size, said_unit
    if said_unit is not None:
        # What contradicts it is not understood: 70 cents are not 70 CNY.
        return (size, said_unit) if _currency(unit) == _currency(plain(said_unit)) else None
    is_one = unit in _CURRENCIES or re.fullmatch("[a-z]{3}", unit) or (len(unit) == 1 and category(unit) == "Sc")
    return (size, _currency(unit)) if is_one else None


def _unit_in(usage: Mapping[str, Any]) -> str | None:
    return next((unit for key in _UNITS if (unit := text(usage.get(key)))), None)


def _currency(word: str) -> str:
    return _CURRENCIES.get(word, word.upper())


def _error(value: object) -> tuple[str | int | None, str | None] | None:
    if isinstance(value, str):
        return (None, value) if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value, None
    if not isinstance(value, Mapping):
        return None
    code = next((code for key in _CODES if (code := _code(value.get(key))) is not None), None)
    message = next((message for key in _MESSAGES if (message := text(value.get(key))) is not None), None)
    if message is None and "error" in value:
        inner_code, message = error(value["error"])
        code = inner_code if code is None else code
    return None if code is None and message is None else (code, message)


def _code(value: object) -> str | int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else text(value)
