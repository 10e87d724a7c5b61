"""
The routes behind the tab and the page: they check the viewer's permissions and parameters, and call the queries.

They are plain functions, so they run in threads and not in the api-server's event loop.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from msgspec import DecodeError, ValidationError, json
from pydantic import BaseModel

from airflow_provider_seeany.web.one_at_a_time import RETRY_AFTER, TooBusy
from airflow_provider_seeany.web.results import queries, views
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey, is_storable

MAX_RANGE = 366 * 24 * 3600
DEFAULT_RANGE = 30 * 24 * 3600
MAX_NUMBER = 2**31 - 1
CLOCK_DIFFERENCE = 3600  # maximum seconds by which a result can be ahead of this server's clock


class ResultsPage(BaseModel):
    """A page of results. ``next`` is the parameter ``before`` of the next request."""

    waiting: list[views.Result]
    results: list[views.Result]
    next: str | None


class Summary(BaseModel):
    """The sums of a range, and the time zone of its days."""

    zone: str
    groups: list[views.Group]


def _filters(
    dag_id: Annotated[str | None, Query(max_length=250)] = None,
    conn_id: Annotated[str | None, Query(max_length=250)] = None,
    state: Literal["waiting", "completed", "failed", "timed_out"] | None = None,
    since: Annotated[int | None, Query(ge=0, le=253_402_300_799)] = None,
    until: Annotated[int | None, Query(ge=0, le=253_402_300_799)] = None,
) -> views.Filters:
    latest = int(time.time()) + CLOCK_DIFFERENCE
    until = latest if until is None else until
    since = until - DEFAULT_RANGE if since is None else since
    since = max(since, until - MAX_RANGE)
    # There are no later results, and the last day of the calendar has no next one.
    return views.Filters(since=since, until=min(until, latest), dag_id=dag_id, conn_id=conn_id, state=state)


def _readable_dags(user: GetUserDep) -> set[str]:
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


def _check_characters(request: Request) -> None:
    """Refuse what no database compares with its columns; before the permissions, for which Airflow looks up the DAG."""
    given = [*request.path_params.values(), *request.query_params.values()]
    if not is_storable("".join(given)):
        raise HTTPException(422, "a parameter holds a character that no database stores")


FiltersDep = Annotated[views.Filters, Depends(_filters)]
ReadableDags = Annotated[set[str], Depends(_readable_dags)]

# Of the DAG in path or query; without one, of XComs in general.
_may_read_xcoms = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))

router = APIRouter(prefix="/api", dependencies=[Depends(_check_characters), _may_read_xcoms])


@router.get("/results")
def results(
    filters: FiltersDep,
    readable: ReadableDags,
    before: Annotated[str | None, Query(max_length=2000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> ResultsPage:
    """Return a page of results of all DAGs that the viewer may read, and with the first page the current waits."""
    cursor = _cursor(before)
    waiting: list[views.Result] = []
    ended: list[views.Result] = []
    end: views.Cursor | None = None
    with create_session(scoped=False) as session:
        if cursor is None and filters.state in (None, "waiting"):
            waiting = queries.current_waits(session, readable=readable, filters=filters)
        if filters.state != "waiting":
            ended, end = queries.ended_waits(session, readable=readable, filters=filters, before=cursor, limit=limit)
    return ResultsPage(waiting=waiting, results=ended, next=json.encode(end).decode() if end else None)


@router.get("/summary")
def summary(filters: FiltersDep, readable: ReadableDags, zone: Annotated[str, Query(max_length=60)] = "UTC") -> Summary:
    """Return the sums of results by day, DAG, connection and state."""
    try:
        zone_info = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        zone_info = ZoneInfo("UTC")
    try:
        with create_session(scoped=False) as session:
            groups = queries.groups(session, readable=readable, filters=filters, zone=zone_info)
    except TooBusy:
        headers = {"Retry-After": str(RETRY_AFTER)}
        raise HTTPException(503, "other sums are being computed: try again", headers) from None
    return Summary(zone=zone_info.key, groups=groups)


@router.get("/dags/{dag_id}/task")
def task(
    dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Query(ge=-1, le=MAX_NUMBER)] = -1
) -> views.TaskView:
    """Return what the tab shows of a task instance."""
    with create_session(scoped=False) as session:
        view = queries.task_view(session, TaskInstanceKey(dag_id, run_id, task_id, map_index))
    if view is None:
        raise HTTPException(404, "there is no such task instance")
    return view


def _cursor(before: str | None) -> views.Cursor | None:
    if before is None:
        return None
    try:
        cursor = json.decode(before, type=views.Cursor)
        # A database can compare its columns with this.
        are_numbers = max(abs(cursor.dag_run_id), abs(cursor.map_index)) <= MAX_NUMBER
        if are_numbers and is_storable(cursor.key + cursor.task_id):
            return cursor
    except (DecodeError, ValidationError, UnicodeEncodeError):
        pass
    raise HTTPException(422, "before is not the next of an earlier response")
