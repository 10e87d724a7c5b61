"""
The order of results by their cost, which their keys contain.

Keys are read from the index alone, which takes 60 ms for 100 000 of them; then the rows of the page, and nothing else.
Amounts in different currencies are compared as numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.web.one_at_a_time import OneAtATime
from airflow_provider_seeany.xcoms.record_key import SpendPart, hash_part, spend_part, without_moment
from airflow_provider_seeany.xcoms.untrusted import read_money

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.orm import Session

MAX_LISTED = 10_000
"""Maximum number of results of a list that can be paged through, and that are counted."""

RECORD_ORDER = (XComModel.key, XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)
"""The columns by which results are ordered; together they name a row."""

RECORD_COLUMNS = (*RECORD_ORDER, XComModel.dag_id, XComModel.run_id, XComModel.value)

_AT_ONCE = 500  # number of keys in a query

_one_at_a_time = OneAtATime()


@dataclass(frozen=True)
class ByCost:
    """
    Results to sort.

    :param dag_ids: the DAGs of which they are.
    :param of_keys: the conditions that their keys meet, and keys of other DAGs may meet.
    :param of_rows: the conditions that their rows meet, and no others.
    """

    dag_ids: Collection[str]
    of_keys: Sequence[ColumnElement[bool]]
    of_rows: Sequence[ColumnElement[bool]]

    def rows(self, session: Session, *, is_descending: bool, offset: int, limit: int) -> Sequence[Row[Any]]:
        """
        Return a page of the rows, those of the same cost from the newest on.

        :raises TooBusy: if other requests take too long, or too many wait already.
        """
        end = offset + limit
        rows: list[Row[Any]] = []
        with _one_at_a_time.slot():
            # From the driver's cursor, as in the sums.
            cursor = session.connection().execute(select(XComModel.key).where(*self.of_keys)).cursor
            assert cursor is not None
            keys = self._sorted([key for (key,) in cursor.fetchall()], is_descending=is_descending)
            while len(rows) < end and (some := list(islice(keys, _AT_ONCE))):
                place = {key: number for number, key in enumerate(some)}
                found = session.execute(select(*RECORD_COLUMNS).where(*self.of_rows, XComModel.key.in_(place))).all()
                rows += sorted(found, key=lambda row: (place[row.key], *row[1:4]))
        return rows[offset:end]

    def _sorted(self, keys: list[str], *, is_descending: bool) -> Iterator[str]:
        """Yield different keys by cost, some hundreds at a time, as mostly the first ones suffice."""
        parts = list(map(spend_part, map(without_moment, keys)))
        hashes = set(map(hash_part, self.dag_ids))
        sign = -1 if is_descending else 1
        numbers = Counter(parts)
        places = {
            part: sign * _amount(spend)
            for part in numbers
            if (spend := SpendPart.read(part)) is not None and spend.dag in hashes
        }
        wanted: set[str] = set()
        number, left = 0, len(places)
        for _, some in groupby(sorted(places, key=places.__getitem__), places.__getitem__):
            together = list(some)
            wanted.update(together)
            number += sum(map(numbers.__getitem__, together))
            left -= len(together)
            if number >= _AT_ONCE or left == 0:
                found = sorted({key for key, part in zip(keys, parts, strict=True) if part in wanted}, reverse=True)
                yield from sorted(found, key=lambda key: places[spend_part(without_moment(key))])
                wanted, number = set(), 0


def _amount(spend: SpendPart) -> Decimal:
    """Return the highest amount of a result; 0 without one, and if only its record has room for them."""
    return max((money.amount for money in read_money(spend.cost)), default=Decimal())
