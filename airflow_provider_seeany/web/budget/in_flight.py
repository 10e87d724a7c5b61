"""
Which SeeAny tasks are in flight: those that a task instance waits for, and those that were created and have not ended.

An id may be known from both sides, so it counts once. A batch does not publish its ids: it stands for all that its DAG
run has created.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from sqlalchemy import and_, or_, select

from airflow_provider_seeany.api.task_id import as_task_id
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.web.results.queries import OUR_TRIGGERS
from airflow_provider_seeany.xcoms.record import Progress
from airflow_provider_seeany.xcoms.record_key import CREATED_KEY, PROGRESS_KEY, hash_part, key_at, read_created_key
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS
from airflow_provider_seeany.xcoms.untrusted import Money, convert, read_counts, read_money

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

BATCH = "SeeAnyTaskBatchSensor"
_WAITS = ("SeeAnyTaskSensor", "SeeAnyTaskResultOperator", BATCH)
_WAITING = ("running", "deferred", "up_for_reschedule")
_STARTED = (*_WAITING, "up_for_retry", "success", "failed")


@dataclass(frozen=True)
class InFlight:
    """
    SeeAny tasks in flight.

    :param conn_id: ``None`` if it is not known: then it may be any.
    :param task: what a record's key has for its id; ``None`` for a batch, or if it is not known.
    :param count: number of them, more than one only of a batch.
    :param cost: what a batch has cost so far.
    """

    dag_id: str
    conn_id: str | None
    task: str | None
    count: int = 1
    cost: tuple[Money, ...] = ()


def find_in_flight(session: Session, *, since: float, until: float) -> list[InFlight]:
    """Return what is waited for now, and what was created in this range and no batch waits for."""
    return [*_waits(session), *_created(session, since, until)]


def _waits(session: Session) -> Iterator[InFlight]:
    # From the task instances that have not ended, through their index by state: there are never many.
    def of_task_instance(table: Any) -> Any:
        return and_(*(getattr(table, column) == getattr(TaskInstance, column) for column in KEY_COLUMNS))

    query = (
        select(TaskInstance.dag_id, XComModel.value, RenderedTaskInstanceFields.rendered_fields)
        .select_from(TaskInstance)
        .outerjoin(Trigger, Trigger.id == TaskInstance.trigger_id)
        .outerjoin(XComModel, and_(of_task_instance(XComModel), XComModel.key == PROGRESS_KEY))
        .outerjoin(RenderedTaskInstanceFields, of_task_instance(RenderedTaskInstanceFields))
        .where(
            TaskInstance.state.in_(_WAITING),
            or_(TaskInstance.operator.in_(_WAITS), Trigger.classpath.startswith(OUR_TRIGGERS, autoescape=True)),
            # Those have noted what they created.
            TaskInstance.operator != "SeeAnySubmitOperator",
        )
    )
    for row in session.execute(query):
        yield _wait(row.dag_id, convert(row.value, Progress), row.rendered_fields)


def _wait(dag_id: str, progress: Progress | None, rendered: object) -> InFlight:
    """Return a wait, from the progress that it has published, or else from the fields that its worker has."""
    if progress is not None:
        counts = read_counts(progress.batch)
        if counts is not None:
            left = counts.total - counts.completed - counts.failed
            return InFlight(dag_id, progress.conn_id, None, left, tuple(read_money(progress.cost)))
        return InFlight(dag_id, progress.conn_id, _task(progress.seeany_task_id))
    fields = rendered if isinstance(rendered, dict) else {}
    conn_id = fields.get("seeany_conn_id")
    ids = fields.get("seeany_task_ids")
    return InFlight(
        dag_id,
        conn_id if isinstance(conn_id, str) else None,
        _task(fields.get("seeany_task_id")),
        max(len(ids), 1) if isinstance(ids, list) else 1,
    )


def _task(seeany_task_id: object) -> str | None:
    task_id = as_task_id(seeany_task_id)
    return hash_part(sanitize(task_id)) if isinstance(task_id, str) and task_id else None


def _created(session: Session, since: float, until: float) -> list[InFlight]:
    noted = (
        XComModel.key >= key_at(since, CREATED_KEY),
        XComModel.key < key_at(until, CREATED_KEY),
        XComModel.key.startswith(f"{CREATED_KEY}_", autoescape=True),
    )
    found = []
    for row in session.execute(select(XComModel.key, XComModel.dag_id, XComModel.run_id).where(*noted)):
        parts = read_created_key(row.key)
        if parts is not None and parts[1] == hash_part(row.dag_id):
            found.append((row.run_id, InFlight(row.dag_id, parts[2], parts[0])))
    of_batches = _runs_with_batch(session, noted) if found else set()
    return [each for run_id, each in found if (each.dag_id, run_id) not in of_batches]


def _runs_with_batch(session: Session, noted: Collection[Any]) -> set[tuple[str, str]]:
    # Joined, as a day may have more runs than a database takes parameters.
    runs = select(XComModel.dag_id, XComModel.run_id).where(*noted).distinct().subquery()
    query = (
        select(TaskInstance.dag_id, TaskInstance.run_id)
        .join(runs, and_(TaskInstance.dag_id == runs.c.dag_id, TaskInstance.run_id == runs.c.run_id))
        .where(TaskInstance.operator == BATCH, TaskInstance.state.in_(_STARTED))
    )
    return {(row.dag_id, row.run_id) for row in session.execute(query)}
