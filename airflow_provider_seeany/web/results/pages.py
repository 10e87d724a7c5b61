"""
One page of a list of results, and how long the list is.

Keys are read first, from the index alone: 100 000 of them take 60 ms, and their rows several times as long. Then only
the rows of the page are read. Any DAG may push any key, so each key up to the end of the page must have been pushed by
the DAG that it names; those after that are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.web.results.by_cost import keys_by_cost
from airflow_provider_seeany.web.results.conditions import conditions_of
from airflow_provider_seeany.web.results.views import Filters, Order

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.orm import Session

MAX_LISTED = 10_000
"""Maximum number of results of a list that can be paged through, and that are counted."""

RECORD_ORDER = (XComModel.key, XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)
"""The columns by which results are ordered; together they name a row."""

RECORD_COLUMNS = (*RECORD_ORDER, XComModel.dag_id, XComModel.run_id, XComModel.value)

_AT_ONCE = 500  # number of keys in a query: with very many, a planner may read the whole table


def page_of(
    session: Session, readable: Collection[str], filters: Filters, order: Order, *, offset: int, limit: int
) -> tuple[Sequence[Row[Any]], int]:
    """
    Return the rows of a page, and how many there are: :data:`MAX_LISTED` + 1 if there are more.

    :raises TooBusy: if other requests that sort by cost take too long, or too many wait already.
    """
    of_rows = conditions_of(readable, filters)
    end = offset + limit
    keys: list[str] = []
    left: Counter[str] = Counter()
    for some in _keys(session, conditions_of(readable, filters, is_checked_later=True), order):
        left = Counter(some)
        while left and len(keys) < end:
            compared = list(islice(left, _AT_ONCE))
            found = Counter(session.scalars(select(XComModel.key).where(*of_rows, XComModel.key.in_(compared))))
            keys += [key for key in compared for _ in range(found[key])]
            for key in compared:
                del left[key]
        if len(keys) >= end:
            break
    return _rows(session, of_rows, keys, offset, limit), min(len(keys) + left.total(), MAX_LISTED + 1)


def _keys(session: Session, conditions: list[ColumnElement[bool]], order: Order) -> Iterator[Sequence[str]]:
    """Yield keys in an order, as many at a time as can be listed: more than once only if they are foreign."""
    number = MAX_LISTED + 1
    if order in ("highest_cost", "lowest_cost"):
        yield from keys_by_cost(session, conditions, is_descending=order == "highest_cost", number=number)
        return
    is_descending = order == "newest"
    query = select(XComModel.key).order_by(XComModel.key.desc() if is_descending else XComModel.key).limit(number)
    keys = session.scalars(query.where(*conditions)).all()
    yield keys
    while len(keys) == number:
        after = XComModel.key < keys[-1] if is_descending else XComModel.key > keys[-1]
        keys = session.scalars(query.where(*conditions, after)).all()
        yield keys


def _rows(
    session: Session, conditions: list[ColumnElement[bool]], keys: list[str], offset: int, limit: int
) -> Sequence[Row[Any]]:
    """Return the rows of some of these keys, of which each stands for one row."""
    if offset >= len(keys):
        return []
    place = {key: number for number, key in enumerate(dict.fromkeys(keys[offset : offset + limit]))}
    found = session.execute(select(*RECORD_COLUMNS).where(*conditions, XComModel.key.in_(place))).all()
    # Without those that merely are the same to a database that ignores spaces at the end.
    rows = sorted((row for row in found if row.key in place), key=lambda row: (place[row.key], *row[1:4]))
    earlier = offset - keys.index(keys[offset])
    return rows[earlier : earlier + limit]
