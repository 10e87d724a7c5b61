"""
Reading what anybody may have pushed: every DAG may push anything under any key.

What is not what a wait of this provider keeps is left out, and nothing of it is larger than a wait could have made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TypeVar

import msgspec

from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.task_id import MAX_TASKS
from airflow_provider_seeany.xcoms.record import (
    MAX_TEXT_LENGTH,
    MAX_URL,
    BatchCounts,
    Progress,
    Record,
)

Kept = TypeVar("Kept", Record, Progress)

MAX_AMOUNT = Decimal("1E+15")
"""No record costs more: the largest power of ten up to which a JSON number is exact to a tenth of a unit."""

MAX_AMOUNT_LENGTH = 40
MAX_UNIT_LENGTH = 20

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")

MAX_UNITS = 100
"""Maximum number of currencies that are read of one record."""

MAX_FILES = 100_000
"""No task has more result files."""

LAST_MOMENT = 253_402_300_799
"""The last second of the calendar."""


@dataclass(frozen=True)
class Money:
    """An amount in one currency."""

    unit: str
    amount: Decimal


def kept(value: object, kind: type[Kept]) -> Kept | None:
    """Read what a wait kept, or return ``None`` if it is something else: anybody may push under any key."""
    try:
        return msgspec.convert(decoded(value), kind)
    except (msgspec.ValidationError, RecursionError):
        return None


def decoded(value: object) -> object:
    """Return a value that may be JSON within JSON, or JSON as text."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return value
    return value


def money_in(cost: object) -> list[Money]:
    """Return amounts by currency; what no service charges is left out: anybody may push under any key."""
    if not isinstance(cost, Mapping):
        return []
    amounts = ((unit_in(unit), amount_in(amount)) for unit, amount in islice(cost.items(), MAX_UNITS))
    return sorted((Money(unit, amount) for unit, amount in amounts if amount is not None), key=lambda money: money.unit)


def unit_in(value: object) -> str:
    """Return what a currency is called."""
    return str(value)[:MAX_UNIT_LENGTH]


def amount_in(value: object) -> Decimal | None:
    """Return an amount of money, if it is one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value) if isinstance(value, str | float) or abs(value) <= MAX_AMOUNT else ""
    if len(text) > MAX_AMOUNT_LENGTH or not _NUMBER.fullmatch(text):
        return None
    amount = Decimal(text)
    return amount if amount <= MAX_AMOUNT else None


def share_in(batch: BatchCounts | None) -> BatchCounts | None:
    """Return how far a batch is, if one can be that far."""
    is_possible = batch is not None and 0 <= batch.completed + batch.failed <= batch.total <= MAX_TASKS
    return batch if is_possible and batch is not None and min(batch.completed, batch.failed) >= 0 else None


def number_in(value: float | None, *, maximum: float = 1e15) -> float | None:
    """Return a number that is neither negative nor beyond all reason."""
    return value if value is not None and 0 <= value <= maximum else None


def text_in(value: str | None) -> str | None:
    """Return a text, cut to what a wait would keep of it."""
    return value if value is None else value[:MAX_TEXT_LENGTH]


def web_url_in(url: object) -> str | None:
    """Return the URL if it may be shown as a link."""
    return url if isinstance(url, str) and len(url) <= MAX_URL and is_web_url(url) else None
