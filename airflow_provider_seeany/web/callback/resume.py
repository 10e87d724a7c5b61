"""
Finds the task instances that wait for a SeeAny task, and resumes one, in the api-server's database session.

A wait is found by its mark (see :mod:`airflow_provider_seeany.callback.registration`), through the index on the keys of
XComs, so it costs the same with a million XComs and thousands of waits. All of it blocks: call it in a thread.

A mark is an XCom, and any DAG author can push one, anywhere. So it counts only on a task instance that waits with this
provider's own trigger, which expects a callback for the very task that the mark names. Of a wait that began without a
worker, Airflow stores the arguments as templates: what they will be is known to the trigger alone, and its mark is
believed. Who may push XComs there could as well replace the result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger, handle_event_submit
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import lazyload

from airflow_provider_seeany.api.outcome import Finished, encode_outcome
from airflow_provider_seeany.api.settings import TaskSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id, is_template
from airflow_provider_seeany.callback.registration import KEY_PREFIX, Registration, registration_key
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.xcoms.record import Claim
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, is_of_ui
from airflow_provider_seeany.xcoms.result import result_xcoms

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from airflow_provider_seeany.callback.token import TaskInstanceKey

log = logging.getLogger(__name__)

STATEMENT_TIMEOUT = 10
"""Maximum seconds for one SQL statement on PostgreSQL, so that a thread does not wait for a locked row for ever."""

MAX_REGISTRATIONS = 10
"""So many marks of one task instance are read; there is one, unless somebody pushed others."""

OUR_TRIGGER = f"{SeeAnyTaskTrigger.__module__}.{SeeAnyTaskTrigger.__qualname__}"
"""
The class path of triggers whose waits may be resumed. Not of subclasses that others wrote: they would have to be loaded
to be recognised, by a name that any DAG author can choose. Their waits end by their own polls.
"""


class TriggerArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of the arguments of :class:`~airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger`."""

    seeany_task_id: str | int
    seeany_conn_id: str
    settings: TaskSettings
    first_poll_at: float | None = None
    end_from_trigger: bool = False

    def agree_with(self, mark: Registration) -> bool:
        """Tell whether this trigger expects a callback for what the mark names, as far as that can be told here."""
        return (
            self.settings.expect_callback
            and (self._is_template(self.seeany_conn_id) or self.seeany_conn_id == mark.seeany_conn_id)
            and (self._is_template(self.seeany_task_id) or self._checked_id() == mark.seeany_task_id)
        )

    def _is_template(self, value: str | int) -> bool:
        """Tell whether the triggerer makes something else of a value. A worker's triggers have rendered ones."""
        return self.end_from_trigger and is_template(value)

    def _checked_id(self) -> str | None:
        """Return the id as the trigger puts it into its mark."""
        try:
            return checked_task_id(str(self.seeany_task_id))
        except BadTaskId:
            return None


class RegisteredWait(msgspec.Struct, frozen=True, kw_only=True):
    """
    A task instance that waits, as it was when it was found.

    :param mark: what its mark says.
    :param where: the columns that name its XComs.
    :param task_instance_id: the database's id of the task instance.
    :param trigger_id: the trigger that it waits for; ``None`` while the worker has not handed it over yet.
    :param resumable_at: when it may be resumed, in Unix seconds. Airflow can lose a task instance that leaves its
        deferral within seconds (apache/airflow#72716), so the trigger itself keeps to this as well.
    :param ends_without_worker: whether a completed task ends it right here.
    :param pushes_xcoms: whether it then pushes the values of the result.
    """

    mark: Registration
    where: dict[str, Any]
    task_instance_id: Any
    trigger_id: int | None
    resumable_at: float | None = None
    ends_without_worker: bool = False
    pushes_xcoms: bool = True

    @property
    def is_resumable(self) -> bool:
        """Whether it may be resumed by now."""
        return self.trigger_id is not None and (self.resumable_at is None or time.time() >= self.resumable_at)


def ids_waited_for(named: TaskInstanceKey) -> list[str]:
    """Return the ids of the SeeAny tasks that a task instance waits for: one, or none."""
    marks = select(XComModel.key, XComModel.value).where(
        XComModel.dag_id == named.dag_id,
        XComModel.task_id == named.task_id,
        XComModel.run_id == named.run_id,
        XComModel.map_index == named.map_index,
        XComModel.key.startswith(KEY_PREFIX, autoescape=True),
    )
    with _session() as session:
        found = [_mark(row) for row in session.execute(marks.limit(MAX_REGISTRATIONS))]
    return [mark.seeany_task_id for mark in found if mark is not None]


def waits_for(seeany_conn_id: str, seeany_ids: Iterable[str]) -> list[RegisteredWait]:
    """Return the waits for any of these SeeAny tasks through a connection."""
    with _session() as session:
        found = [_waiting(row) for row in session.execute(waits_query(seeany_conn_id, seeany_ids))]
    return [waiting for waiting in found if waiting is not None]


def waits_query(seeany_conn_id: str, seeany_ids: Iterable[str]) -> Select[Any]:
    """Return the query for the waits for any of these SeeAny tasks."""
    return (
        select(
            XComModel.dag_id,
            XComModel.task_id,
            XComModel.run_id,
            XComModel.map_index,
            XComModel.key,
            XComModel.value,
            TaskInstance.id.label("task_instance_id"),
            TaskInstance.state,
            TaskInstance.next_method,
            Trigger,
        )
        .join(
            TaskInstance,
            (TaskInstance.dag_id == XComModel.dag_id)
            & (TaskInstance.task_id == XComModel.task_id)
            & (TaskInstance.run_id == XComModel.run_id)
            & (TaskInstance.map_index == XComModel.map_index),
        )
        .outerjoin(Trigger, Trigger.id == TaskInstance.trigger_id)
        .where(XComModel.key.in_([registration_key(seeany_conn_id, seeany_id) for seeany_id in seeany_ids]))
        .options(lazyload(Trigger.task_instance))
    )


def note_callback(waiting: RegisteredWait) -> bool:
    """Leave a note for a wait that may not be resumed yet; return whether it is still there to read it."""
    received = msgspec.structs.replace(waiting.mark, received=True)
    with _session() as session:
        noted = update(XComModel).where(*_mark_of(waiting)).values(value=msgspec.to_builtins(received))
        return _touched(session, noted) == 1


def resume(waiting: RegisteredWait, outcome: Finished) -> bool:
    """
    End the wait with what SeeAny said; return whether it was this call that ended it.

    :param waiting: the wait.
    :param outcome: the task's end, as the trigger would report it.
    """
    with _session() as session:
        # Both are writes, so they also lock: until this commits, no other ring, no sweep and no trigger passes here.
        if _touched(session, delete(XComModel).where(*_mark_of(waiting))) != 1:
            return False
        still_deferred = (
            TaskInstance.id == waiting.task_instance_id,
            TaskInstance.state == TaskInstanceState.DEFERRED,
            TaskInstance.trigger_id == waiting.trigger_id,
        )
        if _touched(session, update(TaskInstance).where(*still_deferred).values(updated_at=datetime.now(UTC))) != 1:
            session.rollback()
            return False
        task_instance = session.get_one(TaskInstance, waiting.task_instance_id)
        task = SeeAnyTask.from_payload(outcome.payload)
        event: TriggerEvent = TriggerEvent(encode_outcome(outcome))
        if waiting.ends_without_worker:
            _forget_progress(session, waiting)
        if waiting.ends_without_worker and task.is_completed:
            xcoms = result_xcoms(
                task,
                conn_id=waiting.mark.seeany_conn_id,
                with_values=waiting.pushes_xcoms,
                place=waiting.where,
            )
            for key, value in xcoms.items():
                _push(session, waiting, key, value)
            event = TaskSuccessEvent()
        handle_event_submit(event, task_instance=task_instance, session=session)
        return True


@contextmanager
def _session() -> Iterator[Session]:
    """
    Open a session whose statements end by themselves on PostgreSQL; SQLite gives up after 5 s of its own accord.

    MySQL has no such limit for one transaction alone: one for the connection would stay with it in Airflow's pool. So
    there its own hold, above all `innodb_lock_wait_timeout` for a locked row, which is 50 s unless set otherwise.
    """
    with create_session(scoped=False) as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}s'"))
        yield session


def _mark(row: Any) -> Registration | None:
    """Return the mark in a row, or ``None`` if it is another XCom, whatever its key."""
    try:
        mark = msgspec.convert(row.value, Registration)
        return mark if mark.key == row.key else None
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


def _waiting(row: Any) -> RegisteredWait | None:
    """Return the wait in a row; ``None`` if it has ended, another try is waiting by now, or it is none of ours."""
    mark = _mark(row)
    if mark is None or mark.task_instance_id != str(row.task_instance_id):
        return None
    where = {"dag_id": row.dag_id, "task_id": row.task_id, "run_id": row.run_id, "map_index": row.map_index}
    waiting = RegisteredWait(mark=mark, where=where, task_instance_id=row.task_instance_id, trigger_id=None)
    if row.state == TaskInstanceState.RUNNING and not row.next_method:
        return waiting  # in its first worker
    if row.state != TaskInstanceState.DEFERRED or row.Trigger is None:
        return None
    arguments = _arguments(row.Trigger)
    if arguments is None or not arguments.agree_with(mark):
        log.warning("A ring was not believed: a mark names a SeeAny task for which nobody waits there")
        return None
    return msgspec.structs.replace(
        waiting,
        trigger_id=row.Trigger.id,
        resumable_at=arguments.first_poll_at,
        ends_without_worker=arguments.end_from_trigger,
        pushes_xcoms=arguments.settings.do_xcom_push,
    )


def _arguments(trigger: Trigger) -> TriggerArguments | None:
    """Return a trigger's arguments, or ``None`` if it is none of ours, or nobody can read them."""
    if trigger.classpath != OUR_TRIGGER:
        return None
    try:
        return msgspec.convert(trigger.kwargs, TriggerArguments)
    except Exception as error:
        log.warning("The arguments of trigger %s cannot be read: %s", trigger.id, type(error).__name__)
        return None


def _mark_of(waiting: RegisteredWait) -> list[Any]:
    """Return the conditions that only this try's mark meets: a later one's may have taken its place meanwhile."""
    here = {**waiting.where, "key": waiting.mark.key}
    return [
        *(getattr(XComModel, column) == value for column, value in here.items()),
        XComModel.value["task_instance_id"].as_string() == waiting.mark.task_instance_id,
    ]


def _forget_progress(session: Session, waiting: RegisteredWait) -> None:
    """Delete the claim of the trigger, whose wait ends here, and the record of one that was killed as it ended it."""
    here = [getattr(XComModel, column) == value for column, value in waiting.where.items()]
    claim = Claim.read(session.scalar(select(XComModel.value).where(*here, XComModel.key == PROGRESS_KEY)))
    keys = [PROGRESS_KEY] if claim.record is None else [PROGRESS_KEY, claim.record]
    session.execute(delete(XComModel).where(*here, XComModel.key.in_(keys)))


def _push(session: Session, waiting: RegisteredWait, key: str, value: Any) -> None:
    """Push an XCom as the trigger would, whose XComs the supervisor hands to the same two functions."""
    stored = value if is_of_ui(key) else XCom.serialize_value(value, key=key, **waiting.where)
    XComModel.set(key=key, value=stored, serialize=False, session=session, **waiting.where)


def _touched(session: Session, statement: Any) -> int:
    """Run a statement and return how many rows it changed."""
    result: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(result.rowcount)
