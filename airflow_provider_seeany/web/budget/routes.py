"""
The route that workers ask about a budget: ``POST /seeany/budget``.

The token in its header leads to the question in the database, and that to the DAG; see
:mod:`airflow_provider_seeany.budget`. Of the request nothing else is read. Without a running task instance that asks,
the route does not tell itself from an unknown path.
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

from airflow_provider_seeany.budget.question import HEADER, PATH, Question, question_key
from airflow_provider_seeany.web.budget.totals import Scope, Totals
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.web.turns import RETRY_AFTER, TooBusy
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS
from airflow_provider_seeany.xcoms.untrusted import decode_json

MAX_LOOK_UPS = 4
"""Maximum number of tokens that are looked up at once: anybody can send one."""

TOTALS = Totals()

_look_ups = BoundedSemaphore(MAX_LOOK_UPS)
_questions = RateLimit(per_second=20, burst=200)  # of a DAG

router = APIRouter()


@router.post(PATH)
def budget(token: Annotated[str, Header(alias=HEADER)] = "") -> Response:
    """Return what the DAG of the asking task instance, or its connection, has spent today."""
    key = question_key(token)
    if key is None:
        raise HTTPException(404)
    if not _look_ups.acquire(blocking=False):
        raise _try_again(503, 1)
    try:
        found = _question(key)
    finally:
        _look_ups.release()
    if found is None:
        raise HTTPException(404)
    dag_id, question = found
    if retry_after := _questions.acquire(dag_id):
        raise _try_again(429, retry_after)
    scope = Scope(dag_id=dag_id) if question.conn_id is None else Scope(conn_id=question.conn_id)
    try:
        with create_session(scoped=False) as session:
            answer = TOTALS.answer(session, scope, question.unit)
    except TooBusy:
        raise _try_again(503, RETRY_AFTER) from None
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _question(key: str) -> tuple[str, Question] | None:
    """Return the question of a task instance that runs, and its DAG."""
    query = (
        select(XComModel.dag_id, XComModel.value, TaskInstance.id)
        .join(
            TaskInstance, and_(*(getattr(TaskInstance, column) == getattr(XComModel, column) for column in KEY_COLUMNS))
        )
        .where(XComModel.key == key, TaskInstance.state == TaskInstanceState.RUNNING)
    )
    with create_session(scoped=False) as session:
        row = session.execute(query).one_or_none()
    if row is None:
        return None
    try:
        question = msgspec.convert(decode_json(row.value), Question)
    except msgspec.ValidationError:
        return None
    return (row.dag_id, question) if question.task_instance_id == str(row.id) else None


def _try_again(status: int, seconds: float) -> HTTPException:
    return HTTPException(status, headers={"Retry-After": str(math.ceil(seconds))})
