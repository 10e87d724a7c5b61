"""Airflow's database, for processes that may use it: the api-server, and the supervisor of a triggerer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, delete, select, text, update

from airflow_provider_seeany.xcoms.record import Claim
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import result_keys
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS, TaskInstanceKey

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

STATEMENT_TIMEOUT = 10
"""Maximum seconds for one SQL statement on PostgreSQL, so that no thread waits for a locked row forever."""


@contextmanager
def open_session() -> Iterator[Session]:
    """Open a session whose statements time out: on PostgreSQL here, on SQLite after 5 s anyway."""
    # MySQL has no limit for one transaction, and one for a connection would stay in Airflow's pool. So its own limits
    # apply, above all `innodb_lock_wait_timeout` for a locked row, 50 s by default.
    with create_session(scoped=False) as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}s'"))
        yield session


def changed_rows(session: Session, statement: Any) -> int:
    """Execute a statement and return the number of rows that it changed."""
    result: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(result.rowcount)


def is_xcom_of(task_instance: TaskInstanceKey) -> list[Any]:
    """Return the conditions for the XComs of a task instance."""
    return [getattr(XComModel, column) == value for column, value in task_instance.columns().items()]


class Deferral(NamedTuple):
    """What a task instance is deferred with in one try; each try has an id of its own."""

    task_instance_id: Any
    trigger_id: int | None

    def is_still_there(self) -> tuple[Any, ...]:
        """Return the conditions for it."""
        return (
            TaskInstance.id == self.task_instance_id,
            TaskInstance.state == TaskInstanceState.DEFERRED,
            TaskInstance.trigger_id == self.trigger_id,
        )


def lock(session: Session, deferral: Deferral) -> TaskInstance | None:
    """Return a task instance, locked until the commit, if it is still deferred; ``None`` otherwise."""
    statement = update(TaskInstance).where(*deferral.is_still_there()).values(updated_at=datetime.now(UTC))
    is_there = changed_rows(session, statement) == 1
    return session.get_one(TaskInstance, deferral.task_instance_id) if is_there else None


def succeed(session: Session, deferral: Deferral, xcoms: Mapping[str, Any]) -> bool:
    """
    End a deferred task instance as a success with these XComs, in the session's transaction.

    Return ``False`` if it is no longer deferred.

    An event of a trigger would not do it like that: of the XComs that come with it, Airflow stores the first in the
    transaction that ends the task, each other one in a later transaction. And for each such event its DAG processor
    loads the DAG file twice: to find no callback, as a task with one ends in a worker, and again because it has lost
    when it last read the file (``process_parse_results`` of Airflow 3.3.2).
    """
    now = datetime.now(UTC)
    # All columns at once: a later change of an indexed one could deadlock with Airflow's own on MySQL, whose index
    # entries are locked one by one.
    end = update(TaskInstance).where(*deferral.is_still_there())
    end = end.values(state=TaskInstanceState.SUCCESS, trigger_id=None, end_date=now, updated_at=now)
    if changed_rows(session, TaskInstance.duration_expression_update(now, end, session.get_bind())) != 1:
        return False
    _replace_result(session, deferral.task_instance_id, xcoms)
    return True


def _replace_result(session: Session, task_instance_id: Any, xcoms: Mapping[str, Any]) -> None:
    """
    Push the XComs of a result in place of those of another one, such as an earlier try's.

    :param xcoms: by key, as the database stores them.
    """
    columns = [getattr(TaskInstance, column) for column in KEY_COLUMNS]
    runs = and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
    query = select(*columns, DagRun.id).join(DagRun, runs).where(TaskInstance.id == task_instance_id)
    *values, dag_run_id = session.execute(query).one()
    key = TaskInstanceKey(*values)
    here = is_xcom_of(key)
    claim = Claim.read(session.scalar(select(XComModel.value).where(*here, XComModel.key == PROGRESS_KEY)))
    session.execute(delete(XComModel).where(*here, XComModel.key.in_((*result_keys(claim.record), *xcoms))))
    # Not `XComModel.set`, which takes three statements for each.
    session.add_all(
        XComModel(dag_run_id=dag_run_id, key=name, value=value, **key.columns()) for name, value in xcoms.items()
    )
