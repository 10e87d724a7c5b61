"""
Queries Airflow's database for results, progress and spend.

Results are found through the index of XComs by key: the keys of records begin with moments, so a page of results is
one short walk along that index, and nothing older or newer is read. DAG ids are compared in a way that no index serves:
one index begins with the DAG, and a planner that chose it would read every XCom that the DAG ever pushed. The XComs of
one task instance are found by the primary key, however many there are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from sqlalchemy import and_, false, func, literal, select, tuple_

from airflow_provider_seeany.web.results.spend import Day, SpendByDay, SpendKey
from airflow_provider_seeany.web.results.task_states import with_task_states
from airflow_provider_seeany.web.results.views import (
    FINAL_STATES,
    Cursor,
    Download,
    Filters,
    Group,
    Result,
    State,
    TaskView,
    batch_rows,
    result_urls,
)
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, Copies, Progress, Record
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    connection_part,
    key_at,
    state_part,
)
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS, TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import Money, convert, decode_json

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

MAX_WAITING = 100  # maximum number of current waits in a response

OUR_OPERATORS = frozenset(
    {"SeeAnyTaskSensor", "SeeAnyTaskResultOperator", "SeeAnyTaskBatchSensor", "SeeAnySubmitOperator"}
)
"""Task instances of these are recognised before they have pushed anything."""

MAX_TRIED_RECORDS = 5  # maximum number of a task instance's newest XComs that are read until one is a record
SPEND = SpendByDay()  # the sums for all viewers of this process

OUR_TRIGGERS = "airflow_provider_seeany.triggers."
_ENDED = FINAL_STATES | {"up_for_retry"}
_NOT_STARTED = frozenset({None, "scheduled", "queued"})


def ended_waits(
    session: Session, *, readable: Collection[str], filters: Filters, before: Cursor | None, limit: int
) -> tuple[list[Result], Cursor | None]:
    """Return the page of results after a cursor, the newest first, of readable DAGs, and the cursor at its end."""
    order = (XComModel.key, XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)
    query = (
        select(*order, XComModel.dag_id, XComModel.run_id, XComModel.value)
        .where(*_conditions(readable, filters))
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    if before is not None:
        last = (before.key, before.dag_run_id, before.task_id, before.map_index)
        query = query.where(XComModel.key <= before.key, tuple_(*order) < tuple_(*(literal(value) for value in last)))
    rows = session.execute(query).all()
    has_next = len(rows) > limit
    rows = rows[:limit]
    found = [
        Result.of(record, TaskInstanceKey.of(row)) for row in rows if (record := convert(row.value, Record)) is not None
    ]
    results = with_task_states(session, found)
    end = rows[-1] if has_next else None
    return results, Cursor(end.key, end.dag_run_id, end.task_id, end.map_index) if end else None


def current_waits(session: Session, *, readable: Collection[str], filters: Filters) -> list[Result]:
    """Return the waits that are in the triggerer, the newest first, with the progress that they published."""
    # From the triggers, of which there are never many: each leads to its task instance, and that to one XCom.
    query = (
        select(*(getattr(TaskInstance, column) for column in KEY_COLUMNS), XComModel.value)
        .select_from(Trigger)
        .join(TaskInstance, TaskInstance.trigger_id == Trigger.id)
        .outerjoin(
            XComModel,
            and_(
                *(getattr(XComModel, column) == getattr(TaskInstance, column) for column in KEY_COLUMNS),
                XComModel.key == PROGRESS_KEY,
            ),
        )
        .where(Trigger.classpath.startswith(OUR_TRIGGERS, autoescape=True), TaskInstance.state == "deferred")
        .where(TaskInstance.dag_id.in_(_chosen(readable, filters.dag_id)))
        .order_by(Trigger.id.desc())
        .limit(MAX_WAITING)
    )
    results = (Result.of(convert(row.value, Progress), TaskInstanceKey.of(row)) for row in session.execute(query))
    return [result for result in results if filters.conn_id in (None, result.conn_id)]


def groups(session: Session, *, readable: Collection[str], filters: Filters, zone: ZoneInfo) -> list[Group]:
    """Return the sums of the results of each day, DAG, connection and state; a day counts a SeeAny task once."""
    dags = set(_chosen(readable, filters.dag_id))
    connection = None if filters.conn_id is None else connection_part(filters.conn_id)
    days = [] if filters.state == "waiting" else _days(filters, zone)
    return [
        Group(day.day, *key, count=total.count, cost=[Money(*money) for money in sorted(total.cost.items())])
        for day, sums in SPEND.sums(session, days)
        for key, total in sorted(sums.items(), key=itemgetter(0))
        if key[0] in dags and _matches(key, filters.state, connection)
    ]


def _matches(key: SpendKey, state: State | None, connection: tuple[int, str] | None) -> bool:
    _, conn_id, state_of_key = key
    return state in (None, state_of_key) and (connection is None or connection_part(conn_id) == connection)


def _days(filters: Filters, zone: ZoneInfo) -> list[Day]:
    """Return the days of a time zone in a range; with daylight saving time, not all have 24 hours."""
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


def task_view(session: Session, key: TaskInstanceKey) -> TaskView | None:
    """Return what the tab shows of a task instance; ``None`` if there is no such task instance."""
    task = session.execute(
        select(
            TaskInstance.state,
            TaskInstance.start_date,
            TaskInstance.operator,
            Trigger.classpath,
            DagRun.id.label("dag_run_id"),
        )
        .join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
        .outerjoin(Trigger, Trigger.id == TaskInstance.trigger_id)
        .where(*(getattr(TaskInstance, column) == value for column, value in key.columns().items()))
    ).one_or_none()
    if task is None:
        return None
    xcoms, record = _xcoms(session, task.dag_run_id, key)
    progress = convert(xcoms.get(PROGRESS_KEY), Progress)
    if progress is not None and progress.copies is not None:
        return _download_view(task.state, progress, progress.copies, key)
    has_our_trigger = (task.classpath or "").startswith(OUR_TRIGGERS)
    if not (record or progress or has_our_trigger or task.operator in OUR_OPERATORS):
        return TaskView(is_seeany=False, task_state=task.state)
    if task.state not in _ENDED or (record is None and progress is not None and progress.is_created):
        result = Result.of(progress, key)
        if result.began is None and task.start_date is not None:
            result = replace(result, began=int(task.start_date.timestamp()))
        return TaskView(is_seeany=True, task_state=task.state, result=result)
    if record is None:
        return TaskView(is_seeany=True, task_state=task.state)
    return TaskView(
        is_seeany=True,
        task_state=task.state,
        result=Result.of(record, key).in_task(task.state),
        result_urls=result_urls(xcoms.get("result_urls", record.result_urls)),
        batch=batch_rows(xcoms.get("return_value", xcoms.get(PARTIAL_RESULT_KEY)), record) if record.batch else [],
    )


def _download_view(state: str | None, progress: Progress, copies: Copies, key: TaskInstanceKey) -> TaskView:
    if state in _NOT_STARTED:
        return TaskView(is_seeany=False, task_state=state)  # what an earlier try has pushed
    result = Result.of(progress, key)
    if state in _ENDED:
        # Also of a worker that was killed before it could push the end.
        result = replace(result, state="completed" if state == "success" else "failed").in_task(state)
    return TaskView(is_seeany=True, task_state=state, result=result, download=Download.of(copies))


def _xcoms(session: Session, dag_run_id: int, key: TaskInstanceKey) -> tuple[dict[str, Any], Record | None]:
    """Return the XComs of a task instance that are shown, and its newest record, however many records it has."""
    query = select(XComModel.key, XComModel.value).where(XComModel.dag_run_id == dag_run_id)
    shown = (PROGRESS_KEY, "result_urls", "return_value", PARTIAL_RESULT_KEY)
    fixed = query.where(
        XComModel.task_id == key.task_id, XComModel.map_index == key.map_index, XComModel.key.in_(shown)
    )
    xcoms = {row.key: decode_json(row.value) for row in session.execute(fixed)}
    # Compared as a whole, in the order of the primary key: otherwise a planner may walk through all other keys.
    columns = (XComModel.task_id, XComModel.map_index, XComModel.key)
    first, last = (tuple_(literal(key.task_id), literal(key.map_index), literal(end)) for end in (FIRST_KEY, LAST_KEY))
    newest = query.where(tuple_(*columns) >= first, tuple_(*columns) < last).order_by(
        *(column.desc() for column in columns)
    )
    records = (convert(row.value, Record) for row in session.execute(newest.limit(MAX_TRIED_RECORDS)))
    return xcoms, next((record for record in records if record is not None), None)


def _chosen(readable: Collection[str], dag_id: str | None) -> list[str]:
    return [name for name in readable if dag_id in (None, name)]


def _conditions(readable: Collection[str], filters: Filters) -> list[ColumnElement[bool]]:
    """Return the conditions for the records of these results."""
    if filters.state == "waiting":
        return [false()]
    parts = [] if filters.state is None else [state_part(filters.state)]
    parts += [] if filters.conn_id is None else [connection_part(filters.conn_id)]
    return [
        XComModel.key >= max(key_at(filters.since), FIRST_KEY),
        XComModel.key < min(key_at(filters.until), LAST_KEY),
        # For databases whose collation ignores punctuation.
        XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True),
        XComModel.dag_id.concat("").in_(_chosen(readable, filters.dag_id)),
        *(func.substr(XComModel.key, start + 1, len(text)) == text for start, text in parts),
    ]
