"""
Finds the task instances that wait for a SeeAny task, and resumes one, in the api-server's database session.

A wait is found by its :mod:`~airflow_provider_seeany.callback.registration`, through the index of XComs by key, so that
costs the same with a million XComs and thousands of waits. All of it blocks: call it in a thread.

Any DAG can push a registration anywhere. So it is valid only for a task instance that is deferred with this provider's
own trigger, which expects a callback for the very task in it. If the wait began without a worker, that trigger's
arguments are templates, which only the triggerer renders; then the registration is trusted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger, handle_event_submit
from airflow.models.xcom import XComModel
from airflow.triggers.base import TriggerEvent
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import lazyload

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.api.settings import TaskSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id, is_template
from airflow_provider_seeany.callback.registration import KEY_PREFIX, Registration, registration_key
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.database import Deferral, changed_rows, is_xcom_of, lock, open_session, succeed
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.result import result_xcoms
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS, TaskInstanceKey

if TYPE_CHECKING:
    from sqlalchemy import Select

log = logging.getLogger(__name__)

MAX_REGISTRATIONS = 10
"""Maximum number of registrations that are read of one task instance; more than one were pushed by a DAG."""

# Not its subclasses: they would have to be imported by names that any DAG can choose. Their waits end by their polls.
OUR_TRIGGER = f"{SeeAnyTaskTrigger.__module__}.{SeeAnyTaskTrigger.__qualname__}"


class TriggerArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of :class:`~airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger` that are needed here."""

    seeany_task_id: str | int
    seeany_conn_id: str
    settings: TaskSettings
    first_poll_at: float | None = None
    start_from_trigger: bool = False
    end_from_trigger: bool = False

    def agree_with(self, registration: Registration) -> bool:
        """Return whether this trigger expects a callback for the registered task, as far as is known here."""
        return (
            self.settings.expect_callback
            and (self._is_template(self.seeany_conn_id) or self.seeany_conn_id == registration.seeany_conn_id)
            and (self._is_template(self.seeany_task_id) or self._checked_id() == registration.seeany_task_id)
        )

    def _is_template(self, value: str | int) -> bool:
        """Return whether the triggerer renders a value. The arguments of a worker's trigger are rendered already."""
        return self.start_from_trigger and is_template(value)

    def _checked_id(self) -> str | None:
        """Return the id as the trigger registers it."""
        try:
            return checked_task_id(str(self.seeany_task_id))
        except BadTaskId:
            return None


class RegisteredWait(msgspec.Struct, frozen=True, kw_only=True):
    """A registered wait, as it was when it was found; without a trigger while its first worker has not deferred it."""

    registration: Registration
    task_instance: TaskInstanceKey
    task_instance_id: Any
    trigger_id: int | None = None
    arguments: TriggerArguments | None = None

    @property
    def resumable_at(self) -> float | None:
        """
        When it can be resumed, in Unix seconds, if that is restricted.

        Airflow can lose a task instance that is resumed within seconds of its deferral (apache/airflow#72716), so the
        trigger waits for the same moment.
        """
        return self.arguments.first_poll_at if self.arguments else None

    @property
    def is_resumable(self) -> bool:
        """Whether it can be resumed now."""
        return self.arguments is not None and (self.resumable_at is None or time.time() >= self.resumable_at)


def find_waits(claims: TokenClaims, seeany_ids: Sequence[str]) -> list[RegisteredWait]:
    """Return the waits that a callback may be about: for these SeeAny tasks, and of the task instance in the claims."""
    with open_session() as session:
        if claims.task_instance is not None:
            query = select(XComModel.key, XComModel.value).where(
                *is_xcom_of(claims.task_instance), XComModel.key.startswith(KEY_PREFIX, autoescape=True)
            )
            registrations = map(_registration, session.execute(query.limit(MAX_REGISTRATIONS)))
            seeany_ids = [*seeany_ids, *(each.seeany_task_id for each in registrations if each is not None)]
        waits = [_wait(row) for row in session.execute(waits_query(claims.seeany_conn_id, seeany_ids))]
    return [wait for wait in waits if wait is not None]


def waits_query(seeany_conn_id: str, seeany_ids: Sequence[str]) -> Select[Any]:
    """Return the query for the waits for any of these SeeAny tasks."""
    return (
        select(
            *(getattr(XComModel, column) for column in KEY_COLUMNS),
            XComModel.key,
            XComModel.value,
            TaskInstance.id.label("task_instance_id"),
            TaskInstance.state,
            TaskInstance.next_method,
            Trigger,
        )
        .join(
            TaskInstance, and_(*(getattr(TaskInstance, column) == getattr(XComModel, column) for column in KEY_COLUMNS))
        )
        .outerjoin(Trigger, Trigger.id == TaskInstance.trigger_id)
        .where(XComModel.key.in_([registration_key(seeany_conn_id, seeany_id) for seeany_id in seeany_ids]))
        .options(lazyload(Trigger.task_instance))
    )


def note_callback(wait: RegisteredWait) -> bool:
    """Note the callback for a wait that cannot be resumed yet; return whether it is still registered."""
    received = msgspec.structs.replace(wait.registration, received=True)
    with open_session() as session:
        statement = update(XComModel).where(*_is_registration_of(wait)).values(value=msgspec.to_builtins(received))
        return changed_rows(session, statement) == 1


def resume(wait: RegisteredWait, outcome: Finished) -> bool:
    """Resume a wait with the end of its task; return whether it was this call that ended the wait."""
    with open_session() as session:
        # Both are writes, so they also lock until the commit.
        if changed_rows(session, delete(XComModel).where(*_is_registration_of(wait))) != 1:
            return False
        task = _succeeded(wait, outcome)
        deferral = Deferral(wait.task_instance_id, wait.trigger_id)
        if task is not None:
            assert wait.arguments is not None
            xcoms = result_xcoms(
                task,
                conn_id=wait.registration.seeany_conn_id,
                do_xcom_push=wait.arguments.settings.do_xcom_push,
                task_instance=wait.task_instance,
            )
            has_ended = succeed(session, deferral, xcoms)
        elif has_ended := (task_instance := lock(session, deferral)) is not None:
            event = TriggerEvent(msgspec.to_builtins(outcome))
            handle_event_submit(event, task_instance=task_instance, session=session)
        if not has_ended:
            session.rollback()
            return False
        if task is None:
            # A worker ends the wait, and counts it.
            return True
        began = session.scalar(select(TaskInstance.start_date).where(TaskInstance.id == wait.task_instance_id))
    assert wait.arguments is not None
    record = Record.of_task(task, conn_id=wait.registration.seeany_conn_id)
    mode = metrics.mode_of_deferral(began_in_trigger=wait.arguments.start_from_trigger)
    metrics.wait_ended(record, mode=mode, seconds=time.time() - began.timestamp() if began else None)
    return True


def _succeeded(wait: RegisteredWait, outcome: Finished) -> SeeAnyTask | None:
    """Return the task if the wait succeeds without a worker."""
    if wait.arguments is None or not wait.arguments.end_from_trigger:
        return None
    task = SeeAnyTask.from_payload(outcome.payload)
    return task if task.is_success(accept_partial=wait.arguments.settings.accept_partial) else None


def _registration(row: Any) -> Registration | None:
    """Return the registration in a row; ``None`` if it is another XCom, whatever its key."""
    try:
        registration = msgspec.convert(row.value, Registration)
        return registration if registration.key == row.key else None
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


def _wait(row: Any) -> RegisteredWait | None:
    """Return the wait in a row; ``None`` if it has ended, is of another try, or was not registered by a wait."""
    registration = _registration(row)
    if registration is None or registration.task_instance_id != str(row.task_instance_id):
        return None
    wait = RegisteredWait(
        registration=registration, task_instance=TaskInstanceKey.of(row), task_instance_id=row.task_instance_id
    )
    if row.state == TaskInstanceState.RUNNING and not row.next_method:
        return wait  # in its first worker
    if row.state != TaskInstanceState.DEFERRED or row.Trigger is None:
        return None
    arguments = _arguments(row.Trigger)
    if arguments is None or not arguments.agree_with(registration):
        log.warning("A callback was ignored: a registration does not agree with the trigger of its task instance")
        return None
    return msgspec.structs.replace(wait, trigger_id=row.Trigger.id, arguments=arguments)


def _arguments(trigger: Trigger) -> TriggerArguments | None:
    """Return a trigger's arguments; ``None`` if it is of another class, or they cannot be read."""
    if trigger.classpath != OUR_TRIGGER:
        return None
    try:
        return msgspec.convert(trigger.kwargs, TriggerArguments)
    except Exception as error:
        log.warning("The arguments of trigger %s cannot be read: %s", trigger.id, type(error).__name__)
        return None


def _is_registration_of(wait: RegisteredWait) -> list[Any]:
    """Return the conditions for the registration of this try: a later one may have replaced it meanwhile."""
    return [
        *is_xcom_of(wait.task_instance),
        XComModel.key == wait.registration.key,
        XComModel.value["task_instance_id"].as_string() == wait.registration.task_instance_id,
    ]
