"""What Airflow's task instances have made of waits that have ended: tried again, skipped, failed after the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select, tuple_

from airflow_provider_seeany.web.results.views import Result
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def with_task_states(session: Session, results: Sequence[Result]) -> list[Result]:
    """Return the results of a page in the states of their task instances, which one query reads."""
    if not results:
        return []
    columns = [getattr(TaskInstance, column) for column in KEY_COLUMNS]
    keys = [tuple(getattr(result, column) for column in KEY_COLUMNS) for result in results]
    rows = session.execute(select(*columns, TaskInstance.state).where(tuple_(*columns).in_(keys)))
    states = {tuple(key): state for *key, state in rows}
    return [result.in_task(states.get(key)) for key, result in zip(keys, results, strict=True)]
