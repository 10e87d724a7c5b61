"""
Notes a callback for the batches that wait for its SeeAny task, in the api-server's database session.

All batches of a connection are found through the index of XComs by key; the database itself searches their hashes for
that of the task, so that nothing large leaves it. All of it blocks: call it in a thread.

Any DAG can push such an XCom anywhere. All that comes of it is a number in another XCom of the same task instance.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.state import TaskInstanceState
from sqlalchemy import Text, and_, cast, select, update

from airflow_provider_seeany.callback.batch import CALLED_BACK_KEY, CalledBack, batch_key
from airflow_provider_seeany.database import changed_rows, open_session
from airflow_provider_seeany.xcoms.record_key import hash_part
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS, TaskInstanceKey


class WaitingBatch(msgspec.Struct, frozen=True):
    """A task instance that waits for a batch with a SeeAny task."""

    task_instance: TaskInstanceKey
    task_instance_id: str


def find_batches(seeany_conn_id: str, seeany_task_id: str) -> list[WaitingBatch]:
    """Return the batches that wait for a SeeAny task through a connection."""
    query = (
        select(*(getattr(XComModel, column) for column in KEY_COLUMNS), TaskInstance.id.label("task_instance_id"))
        .join(
            TaskInstance, and_(*(getattr(TaskInstance, column) == getattr(XComModel, column) for column in KEY_COLUMNS))
        )
        .where(
            XComModel.key == batch_key(seeany_conn_id),
            cast(XComModel.value, Text).contains(f'"{hash_part(seeany_task_id)}"'),
            # In its worker, which is about to defer it, or waiting.
            TaskInstance.state.in_([TaskInstanceState.RUNNING, TaskInstanceState.DEFERRED]),
        )
    )
    with open_session() as session:
        return [WaitingBatch(TaskInstanceKey.of(row), str(row.task_instance_id)) for row in session.execute(query)]


def note_callback(batch: WaitingBatch, seeany_task_id: str) -> bool:
    """Note a callback for a batch; return whether it still waits."""
    here: list[Any] = [getattr(XComModel, column) == value for column, value in batch.task_instance.columns().items()]
    here.append(XComModel.key == CALLED_BACK_KEY)
    with open_session() as session:
        # A write, so it locks the row before it is read: simultaneous callbacks follow each other.
        if changed_rows(session, update(XComModel).where(*here).values(timestamp=datetime.now(UTC))) != 1:
            return False
        try:
            noted = msgspec.convert(session.scalar(select(XComModel.value).where(*here)), CalledBack)
        except msgspec.ValidationError:
            return False
        if noted.task_instance_id != batch.task_instance_id:
            return False
        value = msgspec.to_builtins(noted.and_about(seeany_task_id))
        return changed_rows(session, update(XComModel).where(*here).values(value=value)) == 1
