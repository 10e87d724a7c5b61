"""
Sums of results, day by day, computed once for all viewers.

The key of a record contains all that its sum needs, but any DAG can push any key. So the DAG in a key must be the one
that pushed it, and an amount one that a service can charge; anything else is ignored. Reading the DAG of each row takes
a quarter of a second for 100 000 rows. So one thread at a time does that, and the sums are cached for some seconds.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.web.one_at_a_time import OneAtATime
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.record_key import (
    PROGRESS_KEY,
    SpendPart,
    State,
    hash_part,
    spend_part,
    without_moment,
)
from airflow_provider_seeany.xcoms.untrusted import Money, convert, read_money

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_READ_RECORDS = 1000
"""Maximum number of a day's records that are read for a cost without room in the key; more are counted without it."""

CACHE_SECONDS = 10.0  # minimum seconds for which sums of many results are cached

CACHE_FACTOR = 20
"""They are cached for this many times as long as they took, so computing sums takes at most 1/20 of the time."""

MIN_CACHED_RESULTS = 5000
"""Sums of fewer results, or of a part of a day (as today) with fewer, are not cached, so that they are never old."""

MAX_CACHED_SUMS = 200_000

_MONTH = 31

_KEY_AND_DAG = XComModel.key.concat(" ").concat(XComModel.dag_id)


@dataclass(frozen=True)
class Day:
    """A day of a time zone, or a part of it if it is not whole, and the range of its records' keys."""

    day: date
    first_key: str
    end_key: str
    is_whole: bool


@dataclass
class Sum:
    """Number of results, how many of them completed without a cost, and their cost by currency."""

    count: int = 0
    unpriced: int = 0
    cost: dict[str, Decimal] = field(default_factory=dict)

    def add_cost(self, cost: Iterable[Money], times: int) -> None:
        """Add the cost of one result, so many times."""
        for money in cost:
            self.cost[money.unit] = self.cost.get(money.unit, Decimal()) + money.amount * times


SpendKey = tuple[str, str, State]
"""DAG, connection and state."""

Sums = Mapping[SpendKey, Sum]


class SpendByDay:
    """Computes the sums of days, for one request at a time while a few others wait, and caches large ones."""

    def __init__(self) -> None:
        self._one_at_a_time = OneAtATime()
        self._cache: OrderedDict[tuple[str, str, str], tuple[float, Sums]] = OrderedDict()

    def clear_cache(self) -> None:
        """Forget all sums."""
        self._cache.clear()

    def sums(self, session: Session, days: Sequence[Day]) -> list[tuple[Day, Sums]]:
        """
        Return the sums of consecutive days, of all DAGs.

        :param session: a new session, as this may have to wait.
        :raises TooBusy: if other requests take too long, or too many wait already.
        """
        with self._one_at_a_time.slot():
            return self._sums(session, days)

    def _sums(self, session: Session, days: Sequence[Day]) -> list[tuple[Day, Sums]]:
        database = str(session.get_bind().engine.url)
        began = time.monotonic()
        found: dict[Day, Sums] = {}
        for day in days:
            until, sums = self._cache.get((database, day.first_key, day.end_key), (0.0, {}))
            if began < until:
                found[day] = sums
        computed = _compute(session, [day for day in days if day not in found])
        until = cached_until(began)
        total = sum(count for _, count in computed.values())
        for day, (sums, count) in computed.items():
            found[day] = sums
            if (total if day.is_whole else count) >= MIN_CACHED_RESULTS:
                self._cache[database, day.first_key, day.end_key] = until, sums
                self._cache.move_to_end((database, day.first_key, day.end_key))
        size = sum(len(sums) + 1 for _, sums in self._cache.values())
        while size > MAX_CACHED_SUMS:
            _, (_, dropped) = self._cache.popitem(last=False)
            size -= len(dropped) + 1
        return [(day, found[day]) for day in days]


def cached_until(began: float) -> float:
    """Return until when sums are cached whose computation began then, on the monotonic clock."""
    now = time.monotonic()
    return now + max(CACHE_SECONDS, CACHE_FACTOR * (now - began))


def _compute(session: Session, days: Sequence[Day]) -> dict[Day, tuple[Sums, int]]:
    """Return the sums of days, and the number of results that were read for each."""
    sums: dict[Day, tuple[Sums, int]] = {}
    for run in _runs(days):
        rows = rows_between(session, run[0].first_key, run[-1].end_key)
        for day in run:
            of_day = rows[bisect_left(rows, day.first_key) : bisect_left(rows, day.end_key)]
            sums[day] = sums_of(session, of_day), len(of_day)
    return sums


def _runs(days: Iterable[Day]) -> list[list[Day]]:
    """Return runs of consecutive days, a month at most: a year's rows need not be in memory at once."""
    runs: list[list[Day]] = []
    for day in days:
        if runs and len(runs[-1]) < _MONTH and runs[-1][-1].end_key == day.first_key:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def rows_between(session: Session, first_key: str, end_key: str) -> list[str]:
    """Return the keys in a range, each followed by a space, which no DAG id contains, and the DAG that pushed it."""
    query = select(_KEY_AND_DAG).where(
        XComModel.key >= first_key,
        XComModel.key < end_key,
        XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True),
    )
    # From the driver's cursor: SQLAlchemy's rows would cost four times as much as all the rest.
    cursor = session.connection().execute(query).cursor
    assert cursor is not None
    return sorted(row for (row,) in cursor.fetchall())


def sums_of(session: Session, rows: list[str]) -> Sums:
    """Return the sums of such rows."""
    sums: dict[SpendKey, Sum] = defaultdict(Sum)
    unpriced: dict[str, SpendKey] = {}
    # Without the moment, as a SeeAny task for which several tasks of a DAG waited counts once.
    for part, count in Counter(map(spend_part, set(map(without_moment, rows)))).items():
        if (spend := _read(part)) is None:
            continue
        key, cost = spend
        sums[key].count += count
        if cost == [] and key[2] == "completed":
            sums[key].unpriced += count
        if cost is None:
            unpriced[part] = key
        else:
            sums[key].add_cost(cost, count)
    if unpriced:
        for key, cost in _costs_in_values(session, rows, unpriced):
            sums[key].add_cost(cost, 1)
    return dict(sums)


_hash_of = cache(hash_part)


def _read(part: str) -> tuple[SpendKey, list[Money] | None] | None:
    """Return the key and the cost, if the part has it; ``None`` if it is no record's, or names another DAG."""
    part, _, dag_id = part.rpartition(" ")
    spend = SpendPart.read(part)
    if spend is None or spend.dag != _hash_of(dag_id):
        return None
    return (dag_id, spend.conn_id, spend.state), None if spend.cost is None else read_money(spend.cost)


def _costs_in_values(
    session: Session, rows: list[str], unpriced: Mapping[str, SpendKey]
) -> Iterator[tuple[SpendKey, list[Money]]]:
    """Yield the costs for which keys have no room, once for each SeeAny task, up to :data:`MAX_READ_RECORDS`."""
    one_row_of = {task: row for row in rows if spend_part(task := without_moment(row)) in unpriced}
    keys = {row: unpriced[spend_part(task)] for task, row in one_row_of.items()}
    chosen = _chosen(keys, Counter(row for row in rows if row in keys))
    query = select(XComModel.key, XComModel.dag_id, XComModel.value).where(
        XComModel.key.in_([row.rpartition(" ")[0] for row in chosen]), _KEY_AND_DAG.in_(chosen)
    )
    records = {f"{row.key} {row.dag_id}": convert(row.value, Record) for row in session.execute(query)}
    return ((keys[row], read_money(record.cost)) for row, record in records.items() if record is not None)


def _chosen(keys: Mapping[str, SpendKey], times: Mapping[str, int]) -> list[str]:
    """Return the rows to read, in turn from each DAG; ``times`` is how many task instances have a row's key."""
    rows_of_dag: Counter[str] = Counter()
    turn: dict[str, int] = {}
    for row, (dag_id, _, _) in keys.items():
        turn[row] = rows_of_dag[dag_id]
        rows_of_dag[dag_id] += 1
    chosen = []
    left = MAX_READ_RECORDS
    for row in sorted(turn, key=turn.__getitem__):
        if times[row] <= left:
            chosen.append(row)
            left -= times[row]
    return chosen
