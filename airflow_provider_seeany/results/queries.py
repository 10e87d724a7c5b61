"""
What Airflow's database knows of results, progress and spend.

Everything is found through the index of XComs by key: the keys of records are moments, so a page of results is one
short walk along that index, and what is older or newer than asked for is never read. The names of DAGs are compared
in a way that no index serves: one of them begins with the DAG, and a planner that takes it reads every XCom the DAG
ever pushed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from sqlalchemy import BigInteger, and_, case, cast, distinct, func, literal, or_, select, tuple_

from airflow_provider_seeany.api.task import is_web_url
from airflow_provider_seeany.results.record import FIRST_KEY, LAST_KEY, NOW_KEY, Progress, Record, Share, key_at

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

State = Literal["waiting", "completed", "failed", "timed_out"]
Kept = TypeVar("Kept", Record, Progress)

MOST_WAITING = 100
"""Most waits under way that are shown at once."""

OUR_OPERATORS = frozenset({"SeeAnyTaskSensor", "SeeAnyTaskResultOperator", "SeeAnyTaskBatchSensor"})
"""By these a task is known that has not yet said anything of itself."""

_OUR_TRIGGERS = "airflow_provider_seeany.triggers."
_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "up_for_retry"})
_DAY = 24 * 3600


@dataclass(frozen=True)
class Money:
    """An amount in one currency."""

    unit: str
    amount: Decimal


@dataclass(frozen=True)
class Result:
    """
    A wait as the UI shows it: what it brought, or how far it is.

    :param at: when it ended, or was last seen, in Unix seconds; ``None`` if nothing was seen yet.
    :param first_result: the first result file, if there is no video.
    :param results: how many result files there are.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: State
    at: int | None = None
    conn_id: str | None = None
    seeany_task_id: str | None = None
    cost: list[Money] = field(default_factory=list)
    video_url: str | None = None
    thumbnail_url: str | None = None
    first_result: str | None = None
    results: int = 0
    duration: float | None = None
    resolution: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    percent: float | None = None
    seconds_left: float | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None


@dataclass(frozen=True)
class Filters:
    """
    Which results are asked for.

    :param since: no older than this, in Unix seconds.
    :param until: older than this.
    """

    since: int
    until: int
    dag_id: str | None = None
    conn_id: str | None = None
    state: State | None = None


@dataclass(frozen=True)
class Cursor:
    """The last result of a page; the next page begins after it."""

    key: str
    dag_run_id: int
    task_id: str
    map_index: int


@dataclass(frozen=True)
class Page:
    """Some results, the newest first, and where the next page begins, if there is one."""

    results: list[Result]
    next: Cursor | None


@dataclass(frozen=True)
class Group:
    """Results alike in everything by which spend is added up."""

    day: date
    dag_id: str
    conn_id: str
    state: State
    count: int
    cost: list[Money]


@dataclass(frozen=True)
class BatchRow:
    """One SeeAny task of a batch."""

    id: str
    state: Literal["completed", "failed"]
    url: str | None = None
    cost: Money | None = None
    reason: str | None = None


@dataclass(frozen=True)
class TaskView:
    """
    What there is to show of one task instance.

    :param is_seeany: whether it is a wait of this provider at all.
    :param result: what it brought, or how far it is; ``None`` if it kept no record.
    :param task_state: the state of the task instance.
    :param result_urls: all result files.
    :param batch: the tasks of a batch, as far as its result holds them.
    """

    is_seeany: bool
    task_state: str | None = None
    result: Result | None = None
    result_urls: list[str] = field(default_factory=list)
    batch: list[BatchRow] = field(default_factory=list)


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
        if (record := _kept(row.value, Record)) is not None
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
                XComModel.key == NOW_KEY,
            ),
        )
        .where(Trigger.classpath.startswith(_OUR_TRIGGERS, autoescape=True), TaskInstance.state == "deferred")
        .where(TaskInstance.dag_id.in_(_chosen(readable, filters.dag_id)))
        .order_by(Trigger.id.desc())
        .limit(MOST_WAITING)
    )
    results = (
        _of_progress(_kept(row.value, Progress), row.dag_id, row.run_id, row.task_id, row.map_index)
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
    value = XComModel.value
    one = func.coalesce(
        value["seeany_task_id"].as_string(),
        XComModel.run_id.concat(" ").concat(XComModel.task_id).concat(" ").concat(XComModel.map_index),
    )
    columns = (
        ((_moment() + _offset(zone, filters)) // _DAY).label("day"),
        XComModel.dag_id.label("dag_id"),
        value["conn_id"].as_string().label("conn_id"),
        value["state"].as_string().label("state"),
        # As text, so that any database can group by it and none makes binary fractions of it.
        value["cost"].as_string().label("cost"),
    )
    query = (
        select(*columns, func.count(distinct(one)).label("tasks"))
        .where(*_in_range(filters), _in_dags(readable, filters.dag_id), *_matching(filters))
        .group_by(*columns)
    )
    return [
        Group(
            day=(datetime(1970, 1, 1) + timedelta(days=int(row.day))).date(),
            dag_id=row.dag_id,
            conn_id=row.conn_id or "",
            state=row.state,
            count=row.tasks,
            cost=[Money(money.unit, money.amount * row.tasks) for money in _money(_decoded(row.cost))],
        )
        for row in session.execute(query)
        if row.state in ("completed", "failed", "timed_out")
    ]


def task_view(session: Session, *, dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskView | None:
    """Return what there is to show of a task instance, or ``None`` if there is no such task instance."""
    place = (dag_id, run_id, task_id, map_index)
    task = session.execute(
        select(TaskInstance.state, TaskInstance.operator, Trigger.classpath)
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
    kept = _xcoms(session, place)
    records = [
        record
        for key in sorted(kept)
        if FIRST_KEY <= key < LAST_KEY and (record := _kept(kept[key], Record)) is not None
    ]
    progress = _kept(kept.get(NOW_KEY), Progress)
    is_under_way = (task.classpath or "").startswith(_OUR_TRIGGERS)
    if not (records or progress or is_under_way or task.operator in OUR_OPERATORS):
        return TaskView(is_seeany=False, task_state=task.state)
    if task.state not in _OVER:
        return TaskView(is_seeany=True, task_state=task.state, result=_of_progress(progress, *place))
    if not records:
        return TaskView(is_seeany=True, task_state=task.state)
    record = records[-1]
    return TaskView(
        is_seeany=True,
        task_state=task.state,
        result=_of_record(record, *place),
        result_urls=_urls(kept.get("result_urls")),
        batch=_batch_rows(kept.get("return_value"), record) if record.batch else [],
    )


def _xcoms(session: Session, place: tuple[str, str, str, int]) -> dict[str, Any]:
    dag_id, run_id, task_id, map_index = place
    query = select(XComModel.key, XComModel.value).where(
        XComModel.dag_id == dag_id,
        XComModel.task_id == task_id,
        XComModel.run_id == run_id,
        XComModel.map_index == map_index,
        or_(
            XComModel.key.in_((NOW_KEY, "result_urls", "return_value")),
            XComModel.key.between(FIRST_KEY, LAST_KEY),
        ),
    )
    return {row.key: _decoded(row.value) for row in session.execute(query)}


def _in_range(filters: Filters) -> tuple[ColumnElement[bool], ...]:
    first, last = max(key_at(filters.since), FIRST_KEY), min(key_at(filters.until), LAST_KEY)
    # The pattern is for databases whose text order minds no punctuation.
    return XComModel.key >= first, XComModel.key < last, XComModel.key.startswith(f"{NOW_KEY}_", autoescape=True)


def _in_dags(readable: Collection[str], dag_id: str | None) -> ColumnElement[bool]:
    return XComModel.dag_id.concat("").in_(_chosen(readable, dag_id))


def _chosen(readable: Collection[str], dag_id: str | None) -> list[str]:
    return [name for name in readable if dag_id in (None, name)]


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    asked = {"state": filters.state, "conn_id": filters.conn_id}
    return [XComModel.value[name].as_string() == wanted for name, wanted in asked.items() if wanted is not None]


def _moment() -> ColumnElement[int]:
    return cast(XComModel.value["at"].as_string(), BigInteger)


def _offset(zone: ZoneInfo, filters: Filters) -> ColumnElement[int]:
    """Return the seconds by which a time zone was ahead of UTC at the moment of a record."""
    changes: list[tuple[int, int]] = []
    for moment in range(filters.until, filters.since - _DAY, -_DAY // 4):
        delta = datetime.fromtimestamp(moment, tz=UTC).astimezone(zone).utcoffset() or timedelta()
        ahead = int(delta.total_seconds())
        if changes and changes[-1][1] == ahead:
            changes[-1] = (moment, ahead)
        else:
            changes.append((moment, ahead))
    # The newest first; a clock that is put on or back is noticed within six hours, at night.
    *later, (_, earliest) = changes
    if not later:
        return literal(earliest)
    return case(*((_moment() >= since, ahead) for since, ahead in later), else_=earliest)


def _of_record(record: Record, dag_id: str, run_id: str, task_id: str, map_index: int) -> Result:
    return Result(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        state=record.state,
        at=record.at,
        conn_id=record.conn_id,
        seeany_task_id=record.seeany_task_id,
        cost=_money(record.cost),
        # What anybody may push under this key is checked again before it becomes a link.
        video_url=_web_url(record.video_url),
        thumbnail_url=_web_url(record.thumbnail_url),
        first_result=_web_url(record.first_result),
        results=record.results,
        duration=record.duration,
        resolution=record.resolution,
        error_code=record.error_code,
        error_message=record.error_message,
        **_share(record.batch),
    )


def _of_progress(progress: Progress | None, dag_id: str, run_id: str, task_id: str, map_index: int) -> Result:
    place: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    if progress is None:
        return Result(**place, state="waiting")
    return Result(
        **place,
        state="waiting",
        at=progress.at,
        conn_id=progress.conn_id,
        seeany_task_id=progress.seeany_task_id,
        cost=_money(progress.cost),
        percent=None if progress.percent is None else min(max(progress.percent, 0), 100),
        seconds_left=progress.seconds_left,
        **_share(progress.batch),
    )


def _share(batch: Share | None) -> dict[str, Any]:
    return {"total": batch.total, "completed": batch.completed, "failed": batch.failed} if batch else {}


def _kept(value: object, kind: type[Kept]) -> Kept | None:
    """Read what a wait kept, or return ``None`` if it is something else: anybody may push under any key."""
    try:
        return msgspec.convert(_decoded(value), kind)
    except (msgspec.ValidationError, RecursionError):
        return None


def _decoded(value: object) -> object:
    """Return a value that may be JSON within JSON, or JSON as text."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return value
    return value


def _money(cost: object) -> list[Money]:
    """Return amounts by currency; what is no number is left out."""
    if not isinstance(cost, Mapping):
        return []
    amounts = ((str(unit), _amount(amount)) for unit, amount in sorted(cost.items()))
    return [Money(unit, amount) for unit, amount in amounts if amount is not None]


def _amount(value: object) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _urls(value: object) -> list[str]:
    found = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [url for item in found if (url := _web_url(item))]


def _web_url(url: object) -> str | None:
    return url if isinstance(url, str) and is_web_url(url) else None


def _batch_rows(result: object, record: Record) -> list[BatchRow]:
    """Return the tasks of a batch: from its result, or, if it failed and so has none, the failures on record."""
    if not isinstance(result, Mapping):
        return [BatchRow(id=failure.id, state="failed", reason=failure.reason) for failure in record.failures]
    return [
        *(_completed(task) for task in _objects(result.get("tasks"))),
        *(
            BatchRow(id=str(each.get("id")), state="failed", reason=str(each.get("reason")))
            for each in _objects(result.get("failures"))
        ),
    ]


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _completed(task: Mapping[str, Any]) -> BatchRow:
    usage = task.get("usage")
    paid = usage if isinstance(usage, Mapping) else task
    amount = _amount(paid.get("cost"))
    url = task.get("video_url") or task.get("result_url")
    return BatchRow(
        id=str(task.get("id")),
        state="completed",
        url=_web_url(url),
        cost=Money(str(paid.get("cost_unit") or "?"), amount) if amount is not None else None,
    )
