"""
Queries Airflow's database for results, progress and spend.

Results are found through the index of XComs by key: the keys of records begin with moments, so a page of results is
one short walk along that index, and nothing older or newer is read. Where few match, and to count up to ``MAX_LISTED``
of them, the walk goes on to the end of the range, which takes up to half a second for 100 000 results on PostgreSQL.
The XComs of one task instance are found by the primary key, however many there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import and_, func, literal, select, tuple_

from airflow_provider_seeany.web.results.by_cost import MAX_LISTED, RECORD_COLUMNS, RECORD_ORDER, ByCost
from airflow_provider_seeany.web.results.conditions import chosen_dags, conditions_of
from airflow_provider_seeany.web.results.copies import with_copies
from airflow_provider_seeany.web.results.spend import Day, SpendByDay, SpendKey
from airflow_provider_seeany.web.results.task_states import with_task_states
from airflow_provider_seeany.web.results.views import (
    FINAL_STATES,
    MAX_FILES_LISTED,
    Download,
    Filters,
    Group,
    Order,
    Result,
    State,
    TaskView,
    batch_rows,
    result_urls,
)
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, Copies, Progress, Record
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    connection_part,
    key_at,
)
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS, TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import Money, convert

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.orm import Session

MAX_WAITING = 100  # maximum number of current waits in a response
MAX_SEARCHED_WAITING = 2000  # maximum number of current waits among which those of a connection or a search are found
EXPORTED_AT_ONCE = 1000  # number of results that an export has in memory

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
    session: Session,
    *,
    readable: Collection[str],
    filters: Filters,
    order: Order = "newest",
    offset: int = 0,
    limit: int,
) -> tuple[list[Result], int]:
    """
    Return a page of results of readable DAGs, and how many there are: :data:`MAX_LISTED` + 1 if there are more.

    :raises TooBusy: if other requests that sort by cost take too long, or too many wait already.
    """
    conditions = conditions_of(readable, filters)
    if order in ("newest", "oldest"):
        columns = (column.desc() if order == "newest" else column for column in RECORD_ORDER)
        query = select(*RECORD_COLUMNS).where(*conditions).order_by(*columns).limit(limit).offset(offset)
        rows = session.execute(query).all()
    else:
        by_cost = ByCost(
            dag_ids=chosen_dags(readable, filters.dag_id),
            of_keys=conditions_of(readable, filters, is_checked_later=True),
            of_rows=conditions,
        )
        rows = by_cost.rows(session, is_descending=order == "highest_cost", offset=offset, limit=limit)
    total = offset + len(rows)
    if len(rows) == limit or (offset and not rows):
        counted = select(XComModel.key).where(*conditions).limit(MAX_LISTED + 1).subquery()
        total = session.scalar(select(func.count()).select_from(counted)) or 0
    return with_task_states(session, with_copies(session, list(results_of(rows)))), total


def all_ended_waits(readable: Collection[str], filters: Filters) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows of all results, the newest first, in parts; a reader may take its time between two of them."""
    conditions = conditions_of(readable, filters)
    query = select(*RECORD_COLUMNS).order_by(*(column.desc() for column in RECORD_ORDER)).limit(EXPORTED_AT_ONCE)
    after: list[ColumnElement[bool]] = []
    while True:
        with create_session(scoped=False) as session:
            rows = session.execute(query.where(*conditions, *after)).all()
        if rows:
            yield rows
        if len(rows) < EXPORTED_AT_ONCE:
            return
        last = rows[-1][: len(RECORD_ORDER)]
        # Twice, as not every planner finds a range of the index in the second one.
        after = [XComModel.key <= last[0], tuple_(*RECORD_ORDER) < tuple_(*map(literal, last))]


def all_results(readable: Collection[str], filters: Filters) -> Iterator[list[Result]]:
    """Yield all results in the same way, in the states of their task instances."""
    for rows in all_ended_waits(readable, filters):
        with create_session(scoped=False) as session:
            results = with_task_states(session, list(results_of(rows)))
        yield results


def results_of(rows: Iterable[Row[Any]]) -> Iterator[Result]:
    """Yield the results in rows, without what another DAG has pushed under such a key."""
    for row in rows:
        record = convert(row.value, Record)
        if record is not None:
            yield Result.of(record, TaskInstanceKey.of(row))


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
        .where(TaskInstance.dag_id.in_(chosen_dags(readable, filters.dag_id)))
        .order_by(Trigger.id.desc())
        .limit(MAX_SEARCHED_WAITING if filters.conn_id or filters.search else MAX_WAITING)
    )
    results = (Result.of(convert(row.value, Progress), TaskInstanceKey.of(row)) for row in session.execute(query))
    found = (result for result in results if filters.conn_id in (None, result.conn_id) and filters.finds(result))
    return list(islice(found, MAX_WAITING))


def groups(session: Session, *, readable: Collection[str], filters: Filters, zone: ZoneInfo) -> list[Group]:
    """Return the sums of the results of each day, DAG, connection and state; a day counts a SeeAny task once."""
    dags = set(chosen_dags(readable, filters.dag_id))
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


def owners_and_tags(session: Session, dag_ids: Collection[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the owners and the tags of DAGs."""
    owners = select(DagModel.dag_id, DagModel.owners).where(DagModel.dag_id.in_(dag_ids))
    tags: dict[str, list[str]] = {}
    for row in session.execute(select(DagTag).where(DagTag.dag_id.in_(dag_ids)).order_by(DagTag.name)).scalars():
        tags.setdefault(row.dag_id, []).append(row.name)
    return {row.dag_id: row.owners or "" for row in session.execute(owners)}, tags


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
        # Until a task instance runs, that is when an earlier try began.
        if result.began is None and task.start_date is not None and task.state not in _NOT_STARTED:
            result = replace(result, began=int(task.start_date.timestamp()))
        return TaskView(is_seeany=True, task_state=task.state, result=result)
    if record is None:
        return TaskView(is_seeany=True, task_state=task.state)
    return TaskView(
        is_seeany=True,
        task_state=task.state,
        result=Result.of(record, key).in_task(task.state),
        result_urls=result_urls(xcoms.get("result_urls", record.result_urls))[:MAX_FILES_LISTED],
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
