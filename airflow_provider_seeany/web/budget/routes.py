"""
The route from which workers request the sums of a budget: ``POST /seeany/budget``.

The token in its header leads to the query in the database, and that to the DAG; see
:mod:`airflow_provider_seeany.budget`. Nothing else of the request is read. Without a running task instance of that
query, the route does not tell itself from an unknown path.
"""

from __future__ import annotations

import math
from threading import BoundedSemaphore
from typing import Annotated

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from fastapi import APIRouter, Header, HTTPException, Response
from sqlalchemy import and_, select

from airflow_provider_seeany.budget.query import HEADER, PATH, SpendQuery, query_key
from airflow_provider_seeany.web.budget.totals import Scope, Totals
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.one_at_a_time import RETRY_AFTER, TooBusy
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS

MAX_LOOK_UPS = 4
"""Maximum number of tokens that are looked up at once: anybody can send one."""

TOTALS = Totals()

_look_ups = BoundedSemaphore(MAX_LOOK_UPS)
_rate_limit = RateLimit(per_second=20, burst=200)  # of a DAG

router = APIRouter()


@router.post(PATH)
def budget(token: Annotated[str, Header(alias=HEADER)] = "") -> Response:
    """Return what the DAG of the task instance, or its connection, has spent today."""
    key = query_key(token)
    if key is None:
        raise HTTPException(404)
    if not _look_ups.acquire(blocking=False):
        raise _try_again(503, 1)
    try:
        found = _find_query(key)
    finally:
        _look_ups.release()
    if found is None:
        raise HTTPException(404)
    dag_id, query = found
    if retry_after := _rate_limit.acquire(dag_id):
        raise _try_again(429, retry_after)
    scope = Scope(dag_id=dag_id) if query.conn_id is None else Scope(conn_id=query.conn_id)
    try:
        with create_session(scoped=False) as session:
            totals = TOTALS.compute(session, scope, query.unit)
    except TooBusy:
        raise _try_again(503, RETRY_AFTER) from None
    return Response(msgspec.json.encode(totals), media_type="application/json")


def _find_query(key: str) -> tuple[str, SpendQuery] | None:
    """Return the query of a task instance that runs, and its DAG."""
    statement = (
        select(XComModel.dag_id, XComModel.value, TaskInstance.id)
        .join(
            TaskInstance, and_(*(getattr(TaskInstance, column) == getattr(XComModel, column) for column in KEY_COLUMNS))
        )
        .where(XComModel.key == key, TaskInstance.state == TaskInstanceState.RUNNING)
    )
    with create_session(scoped=False) as session:
        row = session.execute(statement).one_or_none()
    if row is None:
        return None
    try:
        query = msgspec.convert(decode_json(row.value), SpendQuery)
    except msgspec.ValidationError:
        return None
    return (row.dag_id, query) if query.task_instance_id == str(row.id) else None


def _try_again(status: int, seconds: float) -> HTTPException:
    return HTTPException(status, headers={"Retry-After": str(math.ceil(seconds))})
