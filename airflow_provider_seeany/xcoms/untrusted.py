"""
Reads progress, records and results back from XComs, under whose keys any DAG may push anything.

What cannot have been pushed by this provider is left out, and nothing that is returned is larger than a wait pushes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TypeVar

import msgspec

from airflow_provider_seeany.api.task_id import MAX_TASKS
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record import MAX_TEXT_LENGTH, BatchCounts, Progress, Record

Pushed = TypeVar("Pushed", Record, Progress)

MAX_AMOUNT = Decimal("1E+15")
"""Maximum cost of a record: the largest power of ten up to which a JSON number is exact to a tenth of a unit."""

MAX_AMOUNT_LENGTH = 40
MAX_UNIT_LENGTH = 20
MAX_UNITS = 100  # currencies of one record

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Money:
    """An amount in one currency."""

    unit: str
    amount: Decimal


def convert(value: object, kind: type[Pushed]) -> Pushed | None:
    """Return a value as what a wait pushes; ``None`` if it is something else."""
    try:
        return msgspec.convert(decode_json(value), kind)
    except (msgspec.ValidationError, RecursionError):
        return None


def read_money(cost: object) -> list[Money]:
    """Return amounts by currency, without those that no service charges."""
    if not isinstance(cost, Mapping):
        return []
    amounts = ((str(unit)[:MAX_UNIT_LENGTH], read_amount(amount)) for unit, amount in islice(cost.items(), MAX_UNITS))
    return sorted((Money(unit, amount) for unit, amount in amounts if amount is not None), key=lambda money: money.unit)


def read_amount(value: object) -> Decimal | None:
    """Return an amount of money; ``None`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value) if isinstance(value, str | float) or abs(value) <= MAX_AMOUNT else ""
    if len(text) > MAX_AMOUNT_LENGTH or not _NUMBER.fullmatch(text):
        return None
    amount = Decimal(text)
    return amount if amount <= MAX_AMOUNT else None


def read_counts(batch: BatchCounts | None) -> BatchCounts | None:
    """Return how many tasks of a batch have ended; ``None`` if the counts contradict each other."""
    if batch is None or min(batch.completed, batch.failed) < 0 or not 0 <= batch.partial <= batch.completed:
        return None
    return batch if batch.completed + batch.failed <= batch.total <= MAX_TASKS else None


def read_number(value: float | None) -> float | None:
    """Return a number from 0 to 1e15; ``None`` if it is another one."""
    return value if value is not None and 0 <= value <= 1e15 else None


def read_text(value: str | None) -> str | None:
    """Return a text, truncated to the length of what a wait pushes."""
    return value if value is None else value[:MAX_TEXT_LENGTH]
