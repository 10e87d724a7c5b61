"""
Reads numbers, times and money: ``"0.70 CNY"``, ``"65%"``, ``"1m30s"``, milliseconds, a list of one.

Each parser returns what has one meaning only, and ``None`` for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from unicodedata import category, normalize

from airflow_provider_seeany.api.fields import MAX_WORD, find_first, normalize_word, scalar_text, text

Number = int | float

_NUMBER = re.compile(
    r"(?P<before>[^\d+\-.,]*)"
    r"(?P<sign>[+-]?)(?P<between>[^\d+\-.,]*)"
    r"(?P<digits>\d[\d.,'_ ]*(?<=\d)\.?|\.\d+)(?P<exponent>[eE][+-]?\d+)?"
    r"(?P<unit>\D*)"
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?P<mark>[,.'_ ])\d{3}(?:(?P=mark)\d{3})*(?:(?P<point>[.,])\d+)?")

_CURRENCIES = {
    **dict.fromkeys(("cny", "rmb", "¥", "cn¥", "元", "人民币"), "CNY"),
    **dict.fromkeys(("usd", "$", "us$"), "USD"),
    **dict.fromkeys(("eur", "€"), "EUR"),
    **dict.fromkeys(("gbp", "£"), "GBP"),
}
"""Names of currencies; ¥ is the yuan, as in the platform's documentation."""

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds", "毫秒"), 0.001),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "分", "分钟"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "时", "小时"), 3600.0),
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([^\W\d_]+)\s*")
_CLOCK_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]?\d(?:\.\d+)?)")
_DATE_WORD = re.compile(
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?"
    r"|(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:uary|ruary|ch|il|ust|ember|ober)?"
    r"|utc?|gmt|z|t)$",
    re.IGNORECASE,
)
_PERCENT_UNITS = frozenset({"", "%", "percent", "per cent", "pct"})

_NUMBER_KEYS = ("value", "amount", "number", "total", "cost", "seconds", "percent")
_TIME_KEYS = ("seconds", "$date", "$numberLong", "timestamp", "time", "value", "iso")
_UNIT_KEYS = ("cost_unit", "currency", "unit")
_PLAIN_COST_KEYS = ("cost", "total_cost", "amount", "value", "price")
_CURRENCY_COST_KEYS = ("total", "charge", "charged", "fee")
"""Keys of a cost only beside a currency: without one, it may be a number of tokens."""

COST_KEYS = (*_PLAIN_COST_KEYS, *_CURRENCY_COST_KEYS)


def number(value: object, *, units: Iterable[str] = ("",)) -> Number | None:
    """
    Parse a number, also from text: ``"1,234.5"``, ``"0,7"``.

    :param units: what may stand before or after it, as normalized words.
    """
    return find_first(value, lambda item: _number_and_unit(item, set(units))[0], _NUMBER_KEYS)


def percentage(value: object) -> Number | None:
    """Parse a percentage: ``65``, ``"65%"``, ``"65/100"``."""
    if isinstance(value, str):
        value = value.strip().removesuffix("/100")
    return number(value, units=_PERCENT_UNITS)


def seconds(value: object) -> Number | None:
    """Parse a number of seconds: ``5``, ``"5 s"``, ``"1m30s"``, ``"00:05"``, ``"PT5S"``."""
    return find_first(value, _seconds, _NUMBER_KEYS)


def resolution(value: object) -> str | None:
    """Parse a resolution: ``"720p"``, ``720``, ``[1280, 720]``, ``{"width": 1280, "height": 720}``."""
    if isinstance(value, Mapping) and {"width", "height"} <= value.keys():
        value = [value["width"], value["height"]]
    if isinstance(value, list) and len(value) == 2:
        sides = [number(side, units=("", "px")) for side in value]
        if None not in sides:
            return f"{sides[0]}x{sides[1]}"
    return text(value)


def timestamp(value: object) -> datetime | None:
    """
    Parse a time, in UTC: Unix time in seconds or, by its magnitude, in parts of one, or a date and time.

    Without a zone it is UTC. Outside the years 2000 to 2100 it is something else.
    """
    if isinstance(value, list) and len(value) >= 3 and all(type(part) is int for part in value):
        return _timestamp(value)
    return find_first(value, _timestamp, _TIME_KEYS)


def cost(usage: object) -> tuple[Number | None, str | None]:
    """Parse a cost and its currency: ``{"cost": 0.7, "cost_unit": "CNY"}``, ``"¥0.70"``, ``["0.70 CNY"]``."""
    items = usage if isinstance(usage, list) else [usage]
    found = [parsed for item in items if (parsed := find_first(item, _cost, ())) is not None]
    if len(found) == 1 and found[0][0] >= 0:
        return found[0]
    # Whether several costs add up is unknown; a negative one is an error.
    return None, _unit_in(usage) if isinstance(usage, Mapping) else None


def _number_and_unit(value: object, units: set[str] | None = None) -> tuple[Number | None, str]:
    """
    Return a number and its unit; no number if that is none of the units.

    ``{"value": 5, "unit": "s"}`` is parsed as ``"5 s"``.
    """
    if isinstance(value, Mapping):
        unit = next((value[key] for key in _UNIT_KEYS if isinstance(value.get(key), str)), "")
        size = next((value[key] for key in _NUMBER_KEYS if scalar_text(value.get(key))), None)
        value = f"{scalar_text(size)} {unit}" if size is not None and unit else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (_portable(value) if abs(value) < 1e300 else None), ""
    if not isinstance(value, str) or len(value) > MAX_WORD:
        return None, ""
    match = _NUMBER.fullmatch(normalize_word(value))
    if match is None:
        return None, ""
    beside = [part.strip() for part in match.group("before", "between", "unit") if part.strip()]
    unit = beside[0] if beside else ""
    if len(set(beside)) > 1 or (units is not None and unit not in units):
        return None, unit
    digits = _digits(match["digits"])
    return (None if digits is None else _parsed_number(match["sign"] + digits + (match["exponent"] or ""))), unit


def _digits(given: str) -> str | None:
    """Return digits in Python's notation; ``None`` if their separators are ambiguous."""
    if grouped := _GROUPED.fullmatch(given):
        mark, point = grouped["mark"], grouped["point"]
        if mark == point or (mark == "." and point is None):
            # 1.234 is a number as it stands; 1.234.567 has no other meaning.
            return given if given.count(".") == 1 and mark == "." else given.replace(mark, "")
        return given.replace(mark, "").replace(",", ".")
    if given.count(",") == 1 and "." not in given:
        given = given.replace(",", ".")
    return given if re.fullmatch(r"\d*\.?\d*", given) else None


def _parsed_number(written: str) -> Number | None:
    try:
        value: Number = int(written)
    except ValueError:
        value = float(written)
    return _portable(value) if abs(value) < 1e300 else None


def _portable(value: Number) -> Number:
    """Return a number that Airflow can send: an integer of 64 bits, or else a float."""
    return value if isinstance(value, float) or abs(value) < 2**63 else float(value)


def _seconds(value: object) -> Number | None:
    size, unit = _number_and_unit(value)
    if size is not None:
        scale = _SECONDS.get(unit) if unit else 1.0
        if scale is not None:
            return size if scale == 1.0 else _whole(size * scale)
    if not isinstance(value, str) or len(value) > MAX_WORD:
        return None
    written = normalize_word(value).removeprefix("pt")
    if clock := _CLOCK_TIME.fullmatch(written):
        hours, minutes, rest = clock.groups(default="0")
        return _whole(int(hours) * 3600 + int(minutes) * 60 + float(rest))
    parts = _DURATION_PART.findall(written)
    if not parts or _DURATION_PART.sub("", written) or not all(unit in _SECONDS for _, unit in parts):
        return None
    return _whole(sum(float(size) * _SECONDS[unit] for size, unit in parts))


def _whole(value: float) -> Number:
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def _timestamp(value: object) -> datetime | None:
    try:
        found = _any_time(value)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
    return found if found is not None and 2000 <= found.year <= 2100 else None


def _any_time(value: object) -> datetime | None:
    if isinstance(value, str):
        return _written_time(normalize("NFKC", value.strip()))
    if isinstance(value, list):
        return _any_time(value[0]) if value[0] >= 10000 else datetime(*value[:6], tzinfo=UTC)  # type: ignore[misc]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _unix_time(value)
    return None


def _unix_time(value: Number) -> datetime | None:
    digits = str(value)
    if digits.isdecimal() and len(digits) in (8, 14):
        # A date without separators: as Unix time it would lie far away from today.
        return datetime.strptime(digits.ljust(14, "0") + "+0000", "%Y%m%d%H%M%S%z")
    # Seconds have ten digits, and eleven from the year 2286 on; each of the others has three more.
    for limit, parts in ((1e11, 1), (1e14, 1000), (1e17, 10**6), (1e20, 10**9)):
        if abs(value) < limit:
            return datetime.fromtimestamp(value / parts, tz=UTC)
    return None


def _written_time(written: str) -> datetime | None:
    unix = _number_and_unit(written, {""})[0]
    if unix is not None:
        return _unix_time(unix)
    iso = re.sub(r"\s*(?:UTC|GMT)$", "Z", written.replace("/", "-").upper())
    # fromisoformat takes no white space before the zone.
    iso = re.sub(r"\s+(?=(?:[+-]\d{2}:?\d{2}|Z)$)", "", iso)
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        if any(_DATE_WORD.match(word) is None for word in re.findall(r"[^\W\d_]+", written)):
            # A named zone: CST is that of Shanghai, Chicago and Havana.
            return None
        found = parsedate_to_datetime(written)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _cost(usage: object, given_unit: str | None = None) -> tuple[Number, str | None] | None:
    if isinstance(usage, Mapping):
        given_unit = _unit_in(usage) or given_unit
        in_a_currency = given_unit is not None and normalize_word(given_unit) in _CURRENCIES
        keys = COST_KEYS if in_a_currency else _PLAIN_COST_KEYS
        parse = partial(_cost, given_unit=given_unit)
        return next((found for key in keys if key in usage and (found := find_first(usage[key], parse, ()))), None)
    size, unit = _number_and_unit(usage)
    if size is None:
        return None
    if not unit:
        return size, given_unit
    if given_unit is not None:
        # 70 cents are not 70 CNY.
        return (size, given_unit) if _currency(unit) == _currency(normalize_word(given_unit)) else None
    is_currency = unit in _CURRENCIES or re.fullmatch("[a-z]{3}", unit) or (len(unit) == 1 and category(unit) == "Sc")
    return (size, _currency(unit)) if is_currency else None


def _unit_in(usage: Mapping[str, Any]) -> str | None:
    return next((unit for key in _UNIT_KEYS if (unit := text(usage.get(key)))), None)


def _currency(word: str) -> str:
    return _CURRENCIES.get(word, word.upper())
