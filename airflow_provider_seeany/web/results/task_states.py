"""What Airflow's task instances have made of waits that have ended: tried again, skipped, failed after the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select, tuple_

from airflow_provider_seeany.web.results.views import FINAL_STATES, Result, State
from airflow_provider_seeany.xcoms.record_key import State as RecordState
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

ENDS: dict[State, tuple[RecordState, ...]] = {
    "completed": ("completed",),
    "failed": ("failed",),
    "timed_out": ("timed_out",),
    "retrying": ("failed", "timed_out"),
    "skipped": ("failed", "timed_out"),
}
"""The states of the records that may be shown in a state."""


def with_task_states(session: Session, results: Sequence[Result]) -> list[Result]:
    """Return the results of a page in the states of their task instances, which one query reads."""
    if not results:
        return []
    columns = [getattr(TaskInstance, column) for column in KEY_COLUMNS]
    keys = [tuple(getattr(result, column) for column in KEY_COLUMNS) for result in results]
    rows = session.execute(select(*columns, TaskInstance.state).where(tuple_(*columns).in_(keys)))
    states = {tuple(key): state for *key, state in rows}
    return [result.in_task(states.get(key)) for key, result in zip(keys, results, strict=True)]


def is_shown_as(state: State | None) -> list[ColumnElement[bool]]:
    """Return the conditions for records of its :data:`ENDS` to be shown in a state, as :meth:`Result.in_task` says."""
    if state is None or ENDS[state] == ("completed",):
        return []
    # One row by its key for each record that meets all else: a planner would rather join a whole table.
    found = select(TaskInstance.state).where(
        *(getattr(TaskInstance, column) == getattr(XComModel, column) for column in KEY_COLUMNS)
    )
    task_state = func.coalesce(found.correlate(XComModel).scalar_subquery(), "")
    if state == "retrying":
        return [task_state.not_in(FINAL_STATES)]
    return [task_state == "skipped" if state == "skipped" else task_state.in_(FINAL_STATES - {"skipped"})]
