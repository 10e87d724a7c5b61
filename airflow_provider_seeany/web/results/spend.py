"""
What results add up to, day by day, for all viewers at once.

A record's key says all that its sum needs, but any DAG may push any key. So the DAG that a key names has to be the one
that pushed it, and an amount has to be one that a service may charge; all else counts for nothing. Asking for the DAG
costs a look at each row: a quarter of a second for 100 000 of them. That is done by one thread at a time, and kept for
some seconds; what a viewer may see is chosen from it afterwards.
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
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from airflow.models.xcom import XComModel
from sqlalchemy import select

from airflow_provider_seeany.web.results.untrusted import Money, kept, money_in
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.record_key import (
    PROGRESS_KEY,
    Line,
    State,
    after_moment,
    dag_part,
    line_of,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_READ_RECORDS = 1000
"""
Maximum number of records of a day, of all DAGs together, that are read because their keys have no room for what they
cost. More of them are counted without it.
"""

KEPT_FOR = 10.0
"""Minimum seconds for which sums of many results are kept."""

KEPT_TIMES = 20
"""They are kept for so many times as long as they took: adding up never takes more than a twentieth of the time."""

WORTH_KEEPING = 5000
"""
Sums of fewer results are made anew each time, so that nobody sees an old one. So is that of a part of a day, today's
above all, unless it alone has so many.
"""

MAX_KEPT = 200_000
"""Maximum number of sums that are kept."""

MAX_WAIT = 2.0
"""Maximum seconds to wait for sums that somebody else asked for."""

MAX_WAITING = 4
"""So many may wait for them at once: each holds one of the 40 threads that all plain routes of Airflow share."""

_MONTH = 31

_KEY_AND_DAG = XComModel.key.concat(" ").concat(XComModel.dag_id)


@dataclass(frozen=True)
class Day:
    """
    A day of a time zone, or the part of it that is asked for.

    :param first_key: where the keys of its records begin.
    :param end_key: where those of the next one begin.
    :param is_whole: whether it is asked for from midnight to midnight.
    """

    day: date
    first_key: str
    end_key: str
    is_whole: bool


@dataclass
class Sum:
    """How many results there are, and what they cost by currency."""

    count: int = 0
    cost: dict[str, Decimal] = field(default_factory=dict)

    def add(self, cost: Iterable[Money], count: int) -> None:
        """Add what some results cost each; how many there are is counted apart."""
        for money in cost:
            self.cost[money.unit] = self.cost.get(money.unit, Decimal()) + money.amount * count


Whose = tuple[str, str, State]
"""DAG, connection and state."""

Sums = Mapping[Whose, Sum]


class TooBusy(Exception):
    """Other sums take too long."""


class SpendByDay:
    """
    Adds up the results of days, one request at a time, and keeps sums of many for some seconds.

    Some viewers who ask for the same year at once cause one reading of it; more of them are asked to come back.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._room = BoundedSemaphore(1 + MAX_WAITING)
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, Sums]] = OrderedDict()

    def forget(self) -> None:
        """Keep nothing of what was added up so far."""
        with self._lock:
            self._kept.clear()

    def sums(self, session: Session, days: Sequence[Day]) -> list[tuple[Day, Sums]]:
        """
        Return the sums of days, of all DAGs.

        :param session: a session with Airflow's database, not used before, as this may have to wait.
        :param days: the days, one after the other.
        :raises TooBusy: if the sums that others asked for take too long, or too many wait for them already.
        """
        if not self._room.acquire(blocking=False):
            raise TooBusy
        try:
            return self._in_turn(session, days)
        finally:
            self._room.release()

    def _in_turn(self, session: Session, days: Sequence[Day]) -> list[tuple[Day, Sums]]:
        if not self._lock.acquire(timeout=MAX_WAIT):
            raise TooBusy
        try:
            return self._sums(session, days)
        finally:
            self._lock.release()

    def _sums(self, session: Session, days: Sequence[Day]) -> list[tuple[Day, Sums]]:
        database = str(session.get_bind().engine.url)
        began = time.monotonic()
        found: dict[Day, Sums] = {}
        for day in days:
            until, sums = self._kept.get((database, day.first_key, day.end_key), (0.0, {}))
            if began < until:
                found[day] = sums
        added_up = _added_up(session, [day for day in days if day not in found])
        until = time.monotonic() + max(KEPT_FOR, KEPT_TIMES * (time.monotonic() - began))
        read = sum(count for _, count in added_up.values())
        for day, (sums, count) in added_up.items():
            found[day] = sums
            if (read if day.is_whole else count) >= WORTH_KEEPING:
                self._keep((database, day.first_key, day.end_key), until, sums)
        return [(day, found[day]) for day in days]

    def _keep(self, key: tuple[str, str, str], until: float, sums: Sums) -> None:
        self._kept[key] = until, sums
        self._kept.move_to_end(key)
        size = sum(len(kept) + 1 for _, kept in self._kept.values())
        while size > MAX_KEPT:
            _, (_, dropped) = self._kept.popitem(last=False)
            size -= len(dropped) + 1


def _added_up(session: Session, days: Sequence[Day]) -> dict[Day, tuple[Sums, int]]:
    """Return the sums of days, and how many results were read for each."""
    sums: dict[Day, tuple[Sums, int]] = {}
    for run in _runs(days):
        rows = _rows(session, run[0].first_key, run[-1].end_key)
        for day in run:
            of_day = rows[bisect_left(rows, day.first_key) : bisect_left(rows, day.end_key)]
            sums[day] = _sums_of(session, of_day), len(of_day)
    return sums


def _runs(days: Iterable[Day]) -> list[list[Day]]:
    """Return days that follow each other, up to a month at a time: those of a year need not be in memory at once."""
    runs: list[list[Day]] = []
    for day in days:
        if runs and len(runs[-1]) < _MONTH and runs[-1][-1].end_key == day.first_key:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _rows(session: Session, first_key: str, end_key: str) -> list[str]:
    """Return the keys between two, each with the DAG that pushed it after a space, which no DAG's id holds."""
    query = select(_KEY_AND_DAG).where(
        XComModel.key >= first_key,
        XComModel.key < end_key,
        XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True),
    )
    # Straight from the driver: SQLAlchemy's rows would cost four times as much as all the rest.
    cursor = session.connection().execute(query).cursor
    assert cursor is not None
    return sorted(row for (row,) in cursor.fetchall())


def _sums_of(session: Session, rows: list[str]) -> Sums:
    sums: dict[Whose, Sum] = defaultdict(Sum)
    unpriced: dict[str, Whose] = {}
    # A SeeAny task that several tasks of a DAG asked for counts once.
    for text, count in Counter(map(line_of, set(map(after_moment, rows)))).items():
        if (line := _read_line(text)) is None:
            continue
        whose, cost = line
        one = sums[whose]
        one.count += count
        if cost is None:
            unpriced[text] = whose
        else:
            one.add(cost, count)
    if unpriced:
        for whose, cost in _costs_in_values(session, rows, unpriced):
            sums[whose].add(cost, 1)
    return dict(sums)


@cache
def _hash_of(dag_id: str) -> str:
    return dag_part(dag_id)


def _read_line(text: str) -> tuple[Whose, list[Money] | None] | None:
    """Return whose a line is, and the cost if it says that; ``None`` if it is none, or another DAG's."""
    text, _, dag_id = text.rpartition(" ")
    line = Line.read(text)
    if line is None or line.dag != _hash_of(dag_id):
        return None
    return (dag_id, line.conn_id, line.state), None if line.cost is None else money_in(line.cost)


def _costs_in_values(
    session: Session, rows: list[str], unpriced: Mapping[str, Whose]
) -> Iterator[tuple[Whose, list[Money]]]:
    """Yield the costs for which keys had no room, each SeeAny task's once; what is too much to read costs nothing."""
    one_of = {task: row for row in rows if line_of(task := after_moment(row)) in unpriced}
    whose_of = {row: unpriced[line_of(task)] for task, row in one_of.items()}
    chosen = _chosen(whose_of, Counter(row for row in rows if row in whose_of))
    query = select(XComModel.key, XComModel.dag_id, XComModel.value).where(
        XComModel.key.in_([row.rpartition(" ")[0] for row in chosen]), _KEY_AND_DAG.in_(chosen)
    )
    records = {f"{row.key} {row.dag_id}": kept(row.value, Record) for row in session.execute(query)}
    return ((whose_of[row], money_in(record.cost)) for row, record in records.items() if record is not None)


def _chosen(whose_of: Mapping[str, Whose], times: Mapping[str, int]) -> list[str]:
    """
    Return which rows to read: the DAGs take turns, so that one of them does not take the room of all others.

    :param whose_of: the rows there are.
    :param times: how many records each of them stands for: several task instances of a DAG may have the same key.
    """
    so_far: Counter[str] = Counter()
    turn: dict[str, int] = {}
    for row, (dag_id, _, _) in whose_of.items():
        turn[row] = so_far[dag_id]
        so_far[dag_id] += 1
    chosen = []
    room = MAX_READ_RECORDS
    for row in sorted(turn, key=turn.__getitem__):
        if times[row] <= room:
            chosen.append(row)
            room -= times[row]
    return chosen
