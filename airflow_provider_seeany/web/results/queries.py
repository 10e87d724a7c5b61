"""
What Airflow's database knows of results, progress and spend.

Everything is found through the index of XComs by key: the keys of records begin with moments, so a page of results is
one short walk along that index, and what is older or newer than asked for is never read. The names of DAGs are
compared in a way that no index serves: one of them begins with the DAG, and a planner that takes it reads every XCom
the DAG ever pushed. The XComs of one task instance are found by the primary key, also where there are very many of
them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from sqlalchemy import and_, false, func, literal, select, tuple_

from airflow_provider_seeany.web.results.spend import Day, SpendByDay, Whose
from airflow_provider_seeany.web.results.untrusted import (
    Money,
    decoded,
    kept,
)
from airflow_provider_seeany.web.results.views import (
    Cursor,
    Filters,
    Group,
    Page,
    Result,
    State,
    TaskView,
    _batch_rows,
    _of_progress,
    _of_record,
    _urls,
)
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, Progress, Record
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    connection_part,
    key_at,
    state_part,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


MAX_WAITING = 100
"""Most waits under way that are shown at once."""

OUR_OPERATORS = frozenset({"SeeAnyTaskSensor", "SeeAnyTaskResultOperator", "SeeAnyTaskBatchSensor"})
"""By these a task is known that has not yet said anything of itself."""

_OUR_TRIGGERS = "airflow_provider_seeany.triggers."
_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "up_for_retry"})

SPEND = SpendByDay()
"""What results add up to, for all viewers of this process."""

MAX_TRIED_RECORDS = 5
"""So many of a task instance's newest records are read until one is what a wait keeps."""


def ended(session: Session, *, readable: Collection[str], filters: Filters, before: Cursor | None, limit: int) -> Page:
    """
    Return a page of results, the newest first.

    :param session: a session with Airflow's database.
    :param readable: the DAGs that the viewer may read.
    :param filters: which results.
    :param before: where the page begins.
    :param limit: most results of a page.
    """
    place = (XComModel.key, XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)
    query = (
        select(*place, XComModel.dag_id, XComModel.run_id, XComModel.value)
        .where(*_in_range(filters), _in_dags(readable, filters.dag_id), *_matching(filters))
        .order_by(*(column.desc() for column in place))
        .limit(limit + 1)
    )
    if before is not None:
        last = (before.key, before.dag_run_id, before.task_id, before.map_index)
        query = query.where(XComModel.key <= before.key, tuple_(*place) < tuple_(*(literal(value) for value in last)))
    rows = session.execute(query).all()
    more = len(rows) > limit
    rows = rows[:limit]
    results = [
        _of_record(record, row.dag_id, row.run_id, row.task_id, row.map_index)
        for row in rows
        if (record := kept(row.value, Record)) is not None
    ]
    end = rows[-1] if more else None
    return Page(results, Cursor(end.key, end.dag_run_id, end.task_id, end.map_index) if end else None)


def waiting(session: Session, *, readable: Collection[str], filters: Filters) -> list[Result]:
    """Return the waits that are in the triggerer now, the newest first, with what they published."""
    # From the triggers, of which there are never many; each leads to its task instance, and that to one XCom.
    query = (
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index, XComModel.value)
        .select_from(Trigger)
        .join(TaskInstance, TaskInstance.trigger_id == Trigger.id)
        .outerjoin(
            XComModel,
            and_(
                XComModel.dag_id == TaskInstance.dag_id,
                XComModel.task_id == TaskInstance.task_id,
                XComModel.run_id == TaskInstance.run_id,
                XComModel.map_index == TaskInstance.map_index,
                XComModel.key == PROGRESS_KEY,
            ),
        )
        .where(Trigger.classpath.startswith(_OUR_TRIGGERS, autoescape=True), TaskInstance.state == "deferred")
        .where(TaskInstance.dag_id.in_(_chosen(readable, filters.dag_id)))
        .order_by(Trigger.id.desc())
        .limit(MAX_WAITING)
    )
    results = (
        _of_progress(kept(row.value, Progress), row.dag_id, row.run_id, row.task_id, row.map_index)
        for row in session.execute(query)
    )
    return [result for result in results if filters.conn_id in (None, result.conn_id)]


def groups(session: Session, *, readable: Collection[str], filters: Filters, zone: ZoneInfo) -> list[Group]:
    """
    Return how many results there are of each day, DAG, connection and state, and what they cost.

    A SeeAny task that several tasks of a DAG asked for on a day counts once.

    :param session: a session with Airflow's database.
    :param readable: the DAGs that the viewer may read.
    :param filters: which results.
    :param zone: the time zone whose days these are.
    """
    dags = set(_chosen(readable, filters.dag_id))
    connection = None if filters.conn_id is None else connection_part(filters.conn_id)
    days = [] if filters.state == "waiting" else _days(filters, zone)
    return [
        Group(day.day, *whose, count=one.count, cost=[Money(*money) for money in sorted(one.cost.items())])
        for day, sums in SPEND.sums(session, days)
        for whose, one in sorted(sums.items(), key=itemgetter(0))
        if whose[0] in dags and _matches(whose, filters.state, connection)
    ]


def _matches(whose: Whose, state: State | None, connection: tuple[int, str] | None) -> bool:
    _, conn_id, its_state = whose
    return state in (None, its_state) and (connection is None or connection_part(conn_id) == connection)


def _days(filters: Filters, zone: ZoneInfo) -> list[Day]:
    """Return the days of a time zone that a range touches; days on which clocks are set are longer or shorter."""
    if filters.since >= filters.until:
        return []
    day = datetime.fromtimestamp(filters.since, tz=zone).date()
    days = []
    begin = filters.since
    while begin < filters.until:
        following = day + timedelta(days=1)
        midnight = _midnight(following, zone)
        end = min(midnight, filters.until)
        is_whole = begin == _midnight(day, zone) and end == midnight
        days.append(Day(day, key_at(begin), key_at(end), is_whole))
        day, begin = following, end
    return days


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def task_view(session: Session, *, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskView | None:
    """Return what there is to show of a task instance, or ``None`` if there is no such task instance."""
    place = (dag_id, run_id, task_id, map_index)
    task = session.execute(
        select(TaskInstance.state, TaskInstance.operator, Trigger.classpath, DagRun.id.label("dag_run_id"))
        .join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
        .outerjoin(Trigger, Trigger.id == TaskInstance.trigger_id)
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id == task_id,
            TaskInstance.map_index == map_index,
        )
    ).one_or_none()
    if task is None:
        return None
    xcoms, record = _xcoms(session, (task.dag_run_id, task_id, map_index))
    progress = kept(xcoms.get(PROGRESS_KEY), Progress)
    is_under_way = (task.classpath or "").startswith(_OUR_TRIGGERS)
    if not (record or progress or is_under_way or task.operator in OUR_OPERATORS):
        return TaskView(is_seeany=False, task_state=task.state)
    if task.state not in _OVER:
        return TaskView(is_seeany=True, task_state=task.state, result=_of_progress(progress, *place))
    if record is None:
        return TaskView(is_seeany=True, task_state=task.state)
    result = xcoms.get("return_value", xcoms.get(PARTIAL_RESULT_KEY))
    return TaskView(
        is_seeany=True,
        task_state=task.state,
        result=_of_record(record, *place),
        result_urls=_urls(xcoms.get("result_urls")),
        batch=_batch_rows(result, record) if record.batch else [],
    )


def _xcoms(session: Session, place: tuple[int, str, int]) -> tuple[dict[str, Any], Record | None]:
    """Return the XComs of a task instance that are shown, and its newest record; there may be very many records."""
    dag_run_id, task_id, map_index = place
    query = select(XComModel.key, XComModel.value).where(XComModel.dag_run_id == dag_run_id)
    shown = (PROGRESS_KEY, "result_urls", "return_value", PARTIAL_RESULT_KEY)
    fixed = query.where(XComModel.task_id == task_id, XComModel.map_index == map_index, XComModel.key.in_(shown))
    xcoms = {row.key: decoded(row.value) for row in session.execute(fixed)}
    # In the order of the primary key, and compared as a whole: else a planner may walk through the keys of all others.
    columns = (XComModel.task_id, XComModel.map_index, XComModel.key)
    first, last = (tuple_(literal(task_id), literal(map_index), literal(key)) for key in (FIRST_KEY, LAST_KEY))
    newest = query.where(tuple_(*columns) >= first, tuple_(*columns) < last).order_by(
        *(column.desc() for column in columns)
    )
    records = (kept(row.value, Record) for row in session.execute(newest.limit(MAX_TRIED_RECORDS)))
    return xcoms, next((record for record in records if record is not None), None)


def _in_range(filters: Filters) -> tuple[ColumnElement[bool], ...]:
    first, last = max(key_at(filters.since), FIRST_KEY), min(key_at(filters.until), LAST_KEY)
    # The pattern is for databases whose text order minds no punctuation.
    return XComModel.key >= first, XComModel.key < last, XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True)


def _in_dags(readable: Collection[str], dag_id: str | None) -> ColumnElement[bool]:
    return XComModel.dag_id.concat("").in_(_chosen(readable, dag_id))


def _chosen(readable: Collection[str], dag_id: str | None) -> list[str]:
    return [name for name in readable if dag_id in (None, name)]


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    if filters.state == "waiting":
        return [false()]
    parts: list[tuple[int, str]] = []
    if filters.state is not None:
        parts.append(state_part(filters.state))
    if filters.conn_id is not None:
        parts.append(connection_part(filters.conn_id))
    return [func.substr(XComModel.key, start + 1, len(text)) == text for start, text in parts]
