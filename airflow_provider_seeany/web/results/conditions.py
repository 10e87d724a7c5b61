"""
The conditions that the records of a list meet in the database.

DAG ids are compared in a way that no index serves: one index begins with the DAG, and a planner that chose it would
read every XCom that the DAG ever pushed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from airflow.models.xcom import XComModel
from sqlalchemy import and_, false, func, or_

from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.web.results.task_states import ENDS, is_shown_as
from airflow_provider_seeany.web.results.views import Filters
from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    PROGRESS_KEY,
    connection_part,
    dag_part,
    key_at,
    seeany_task_part,
    state_part,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

MAX_COMPARED_IN_KEY = 1000  # maximum number of DAGs that are compared with the keys first


def chosen_dags(readable: Collection[str], dag_id: str | None) -> list[str]:
    """Return the readable DAGs that a filter leaves."""
    return [name for name in readable if dag_id in (None, name)]


def conditions_of(
    readable: Collection[str], filters: Filters, *, is_checked_later: bool = False
) -> list[ColumnElement[bool]]:
    """
    Return the conditions for the records of these results.

    :param is_checked_later: whether the DAG that has pushed a record is compared afterwards, so that the key will do.
    """
    if filters.state == "waiting":
        return [false()]
    states = [] if filters.state is None else [state_part(end) for end in ENDS[filters.state]]
    connections = [] if filters.conn_id is None else [connection_part(filters.conn_id)]
    chosen = chosen_dags(readable, filters.dag_id)
    return [
        XComModel.key >= max(key_at(filters.since), FIRST_KEY),
        XComModel.key < min(key_at(filters.until), LAST_KEY),
        # For databases whose collation ignores punctuation.
        XComModel.key.startswith(f"{PROGRESS_KEY}_", autoescape=True),
        *(_has_part(parts) for parts in (states, connections) if parts),
        *((is_checked_later and _keys_of_dags(chosen)) or [_of_dags(chosen)]),
        # Not later: what is not shown in the state must not be counted.
        *is_shown_as(filters.state),
        *([_is_found(filters.search, chosen)] if filters.search else []),
    ]


def _is_found(search: str, dag_ids: list[str]) -> ColumnElement[bool]:
    found = [dag_id for dag_id in dag_ids if search.lower() in dag_id.lower()]
    return or_(
        _has_part([seeany_task_part(sanitize(search))]),
        XComModel.run_id.icontains(search, autoescape=True),
        *([_of_dags(found)] if found else []),
    )


def _of_dags(dag_ids: list[str]) -> ColumnElement[bool]:
    # The key alone, which the index has, excludes the rows of most other DAGs.
    return and_(*_keys_of_dags(dag_ids), XComModel.dag_id.concat("").in_(dag_ids))


def _keys_of_dags(dag_ids: list[str]) -> list[ColumnElement[bool]]:
    if not 0 < len(dag_ids) <= MAX_COMPARED_IN_KEY:
        return []
    return [_has_part([dag_part(dag_id) for dag_id in dag_ids])]


def _has_part(parts: list[tuple[int, str]]) -> ColumnElement[bool]:
    """Return the condition for a key to have one of some texts, which begin at the same index and are as long."""
    start, text = parts[0]
    return func.substr(XComModel.key, start + 1, len(text)).in_([each for _, each in parts])
