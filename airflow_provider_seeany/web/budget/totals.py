"""
What was spent today and what is in flight, computed once for all budgets.

Both are read at one moment and cached together: a task that ends between two readings would else be in neither. They
are cached only if there are many results, so that a DAG that creates one task after another is always told the truth.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.budget.query import SpendTotals
from airflow_provider_seeany.web.budget.in_flight import InFlight, find_in_flight
from airflow_provider_seeany.web.one_at_a_time import OneAtATime
from airflow_provider_seeany.web.results.spend import (
    CACHE_FACTOR,
    MIN_CACHED_RESULTS,
    Sums,
    cached_until,
    rows_between,
    sums_of,
)
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    SpendPart,
    connection_part,
    hash_part,
    key_at,
    spend_part,
    state_part,
    task_part,
    without_moment,
)
from airflow_provider_seeany.xcoms.untrusted import convert, read_counts, read_money

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_DAY = 24 * 3600

MAX_AGE = 3600
"""Seconds for which what was created yesterday counts, unless it has ended. What was created today always does."""

MAX_RESULTS = 50  # number of results of which the mean cost is made
MAX_RESULTS_AGE = 7 * _DAY
PAGE = 2000
MAX_PAGES = 10
"""They are looked for among this many pages of the newest results of all scopes."""

MAX_MEANS = 1000  # maximum number of means that are cached


@dataclass(frozen=True)
class Scope:
    """What a budget counts: the results of a DAG, or of a connection."""

    dag_id: str | None = None
    conn_id: str | None = None

    def has(self, dag_id: str, conn_id: str | None) -> bool:
        """Return whether something counts."""
        if self.conn_id is None:
            return dag_id == self.dag_id
        # As keys have it, which is shorter for a very long id.
        return conn_id is None or connection_part(conn_id) == connection_part(self.conn_id)


@dataclass(frozen=True)
class _Snapshot:
    sums: Sums
    in_flight: list[InFlight]


class Totals:
    """Computes the sums for budgets, one request at a time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._one_at_a_time = OneAtATime()
        self._snapshots: dict[str, tuple[float, float, _Snapshot]] = {}
        self._means: OrderedDict[tuple[str, Scope, str], tuple[float, Decimal | None]] = OrderedDict()

    def clear_cache(self) -> None:
        """Forget what was computed."""
        self._snapshots.clear()
        self._means.clear()

    def compute(self, session: Session, scope: Scope, unit: str) -> SpendTotals:
        """
        Return what was spent today.

        :param session: a new session, as this may have to wait.
        :raises TooBusy: if other requests take too long, or too many wait already.
        """
        with self._one_at_a_time.slot():
            now = self._clock()
            ends_at = (int(now) // _DAY + 1) * _DAY
            snapshot = self._snapshot(session, now, ends_at)
            mean = self._mean(session, scope, unit, now)
        spent: dict[str, Decimal] = {}
        unpriced = 0
        for (dag_id, conn_id, _), total in snapshot.sums.items():
            if scope.has(dag_id, conn_id):
                unpriced += total.unpriced
                for each, amount in total.cost.items():
                    spent[each] = spent.get(each, Decimal()) + amount
        here = [each for each in snapshot.in_flight if scope.has(each.dag_id, each.conn_id)]
        for money in (money for each in here for money in each.cost):
            spent[money.unit] = spent.get(money.unit, Decimal()) + money.amount
        return SpendTotals(
            spent=spent.pop(unit, Decimal()),
            unpriced=unpriced,
            in_flight=_count(here),
            mean=mean,
            others=spent,
            ends_at=ends_at,
        )

    def _snapshot(self, session: Session, now: float, ends_at: int) -> _Snapshot:
        database = str(session.get_bind().engine.url)
        began = time.monotonic()
        until, day, snapshot = self._snapshots.get(database, (0.0, 0.0, None))
        if snapshot is not None and began < until and day == ends_at:
            return snapshot
        since = min(ends_at - _DAY, now - MAX_AGE)
        # First, so that what ends meanwhile is counted twice rather than never.
        in_flight = find_in_flight(session, since=since, until=ends_at)
        rows = rows_between(session, key_at(since), key_at(ends_at))
        ended = {task_part(row) for row in rows if _has_ended(row)}
        today = rows[bisect_left(rows, key_at(ends_at - _DAY)) :]
        snapshot = _Snapshot(sums_of(session, today), [each for each in in_flight if each.task not in ended])
        if len(rows) >= MIN_CACHED_RESULTS:
            self._snapshots[database] = cached_until(began), ends_at, snapshot
        return snapshot

    def _mean(self, session: Session, scope: Scope, unit: str, now: float) -> Decimal | None:
        key = str(session.get_bind().engine.url), scope, unit
        began = time.monotonic()
        until, mean = self._means.get(key, (0.0, None))
        if began < until:
            return mean
        mean = _mean_cost(session, _last_results(session, scope, now), unit)
        # No longer than it takes to find one: the first result is news.
        self._means[key] = time.monotonic() + CACHE_FACTOR * (time.monotonic() - began), mean
        self._means.move_to_end(key)
        if len(self._means) > MAX_MEANS:
            self._means.popitem(last=False)
        return mean


def _has_ended(row: str) -> bool:
    """Return whether the SeeAny task of a record has ended; after a timeout it may not have."""
    part, _, dag_id = spend_part(without_moment(row)).rpartition(" ")
    spend = SpendPart.read(part)
    return spend is not None and spend.state != "timed_out" and spend.dag == hash_part(dag_id)


def _count(in_flight: Iterable[InFlight]) -> int:
    """Return the number of tasks, each once."""
    known = set()
    others = 0
    for each in in_flight:
        if each.task is None:
            others += each.count
        else:
            known.add(each.task)
    return len(known) + others


def _last_results(session: Session, scope: Scope, now: float) -> list[tuple[str, str]]:
    """Return the keys, and the DAGs, of the last results of a scope that were completed."""
    # Page by page along the index: a planner that thinks a scope rare would read, and sort, the results of all days.
    parts = [state_part("completed"), *([] if scope.conn_id is None else [connection_part(scope.conn_id)])]
    first, end = max(key_at(now - MAX_RESULTS_AGE), FIRST_KEY), LAST_KEY
    found: list[tuple[str, str]] = []
    for _ in range(MAX_PAGES):
        query = select(XComModel.key, XComModel.dag_id).where(
            XComModel.key >= first, XComModel.key < end, XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True)
        )
        page = session.execute(query.order_by(XComModel.key.desc()).limit(PAGE)).all()
        found += [
            (key, dag_id)
            for key, dag_id in page
            if scope.dag_id in (None, dag_id) and all(key.startswith(text, start) for start, text in parts)
        ]
        if len(page) < PAGE or len(found) >= MAX_RESULTS:
            break
        end = page[-1].key
    return found[:MAX_RESULTS]


def _mean_cost(session: Session, results: Collection[tuple[str, str]], unit: str) -> Decimal | None:
    """Return the mean cost of a task of those results that have one in this currency."""
    query = select(XComModel.key, XComModel.dag_id, XComModel.value).where(
        XComModel.key.in_({key for key, _ in results})
    )
    total, count = Decimal(), 0
    for row in session.execute(query):
        record = convert(row.value, Record) if (row.key, row.dag_id) in results else None
        amounts = [money.amount for money in read_money(record.cost) if money.unit == unit] if record else []
        if record is not None and amounts:
            counts = read_counts(record.batch)
            total += sum(amounts)
            count += max(counts.completed, 1) if counts else 1
    return total / count if count else None
