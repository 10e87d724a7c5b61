"""
The order of results by their cost, which their keys contain.

Amounts in different currencies are compared as numbers. However many results there are, only some ten thousand keys are
in memory at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.web.one_at_a_time import OneAtATime
from airflow_provider_seeany.xcoms.record_key import SpendPart, spend_part, without_moment
from airflow_provider_seeany.xcoms.untrusted import read_money

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

_AT_ONCE = 10_000  # number of keys that are taken from the database
_MAX_KEPT = 50_000  # number of keys from which on those are dropped that come too late in the order

_one_at_a_time = OneAtATime()


def keys_by_cost(
    session: Session, conditions: Sequence[ColumnElement[bool]], *, is_descending: bool, number: int
) -> Iterator[Sequence[str]]:
    """
    Yield keys by cost, those of the same cost from the newest on, ``number`` at a time.

    :raises TooBusy: if other requests take too long, or too many wait already.
    """
    query = select(XComModel.key).where(*conditions).execution_options(stream_results=True, yield_per=_AT_ONCE)
    yielded: set[str] = set()
    while True:
        with _one_at_a_time.slot(), session.connection().execute(query) as rows:
            some = ([key for key in keys if key not in yielded] for keys in rows.scalars().partitions())
            best = _best(some, number, is_descending=is_descending)
        yield best
        if len(best) < number:
            return
        yielded.update(best)


def _best(parts: Iterable[Sequence[str]], number: int, *, is_descending: bool) -> list[str]:
    kept: dict[Decimal | None, list[str]] = defaultdict(list)
    count = 0
    for keys in parts:
        for amount, key in zip(map(_amount, map(spend_part, map(without_moment, keys))), keys, strict=True):
            kept[amount].append(key)
        count += len(keys)
        if count > _MAX_KEPT:
            kept = defaultdict(list, _first(kept, number, is_descending=is_descending))
            count = sum(map(len, kept.values()))
    return [key for keys in _first(kept, number, is_descending=is_descending).values() for key in keys]


def _first(
    kept: dict[Decimal | None, list[str]], number: int, *, is_descending: bool
) -> dict[Decimal | None, list[str]]:
    """Return the keys that come first, by their amounts."""
    first: dict[Decimal | None, list[str]] = {}
    for amount in sorted((amount for amount in kept if amount is not None), reverse=is_descending):
        first[amount] = sorted(kept[amount], reverse=True)[:number]
        number -= len(first[amount])
        if number == 0:
            break
    return first


@lru_cache(maxsize=10_000)
def _amount(part: str) -> Decimal | None:
    """Return the highest amount; 0 without one, or if only the record has room for them; ``None`` in a foreign key."""
    spend = SpendPart.read(part)
    return None if spend is None else max((money.amount for money in read_money(spend.cost)), default=Decimal())
