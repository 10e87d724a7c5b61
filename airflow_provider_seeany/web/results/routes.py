"""
The routes behind the tab and the page: they check the viewer's permissions and parameters, and call the queries.

They are plain functions, so they run in threads and not in the api-server's event loop.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated
from zoneinfo import ZoneInfo

from airflow import settings
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from msgspec import json
from pydantic import BaseModel

from airflow_provider_seeany.web.one_at_a_time import RETRY_AFTER, TooBusy
from airflow_provider_seeany.web.results import connections, csv_files, queries, result_files, views
from airflow_provider_seeany.web.results.pages import MAX_LISTED
from airflow_provider_seeany.web.results.response_cache import ResponseCache
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey, is_storable

DAY = 24 * 3600
MAX_DAYS = 366
MAX_NUMBER = 2**31 - 1
ROUNDED_TO = 10  # seconds
CLOCK_DIFFERENCE = 3600  # maximum seconds by which a result can be ahead of this server's clock


class ResultsPage(BaseModel):
    """A page of results, and how many there are: ``MAX_LISTED`` + 1 if there are more."""

    waiting: list[views.Result]
    results: list[views.Result]
    total: int


@dataclass(frozen=True)
class Summary:
    """
    The sums of a range, and the time zone of its days.

    :param connections: those to choose from: they exist, or something was completed through them.
    """

    zone: str
    groups: list[views.Group]
    connections: list[str]


class Setup(BaseModel):
    """Whether there is a connection of type SeeAny; ``None`` for a viewer who may not read connections."""

    has_connection: bool | None


def _filters(
    dag_id: Annotated[str | None, Query(max_length=250)] = None,
    conn_id: Annotated[str | None, Query(max_length=250)] = None,
    state: views.State | None = None,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30,
    since: Annotated[int | None, Query(ge=0, le=253_402_300_799)] = None,
    until: Annotated[int | None, Query(ge=0, le=253_402_300_799)] = None,
    search: Annotated[str | None, Query(max_length=250)] = None,
) -> views.Filters:
    # The same for all requests of some seconds, so that they can share their sums.
    now = math.ceil(time.time() / ROUNDED_TO) * ROUNDED_TO
    latest = now + CLOCK_DIFFERENCE
    if since is None:
        # In whole minutes, so that the sums of the first day can be shared for as long.
        since = ((now if until is None else until) - days * DAY) // 60 * 60
    until = latest if until is None else until
    since = max(since, until - MAX_DAYS * DAY, 0)
    # There are no later results, and the last day of the calendar has no next one.
    return views.Filters(
        since=since,
        until=min(until, latest),
        dag_id=dag_id,
        conn_id=conn_id,
        state=state,
        search=(search or "").strip() or None,
    )


def _readable_dags(user: GetUserDep) -> set[str]:
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


def _check_characters(request: Request) -> None:
    """Refuse what no database compares with its columns; before the permissions, for which Airflow looks up the DAG."""
    given = [*request.path_params.values(), *request.query_params.values()]
    if not is_storable("".join(given)):
        raise HTTPException(422, "a parameter holds a character that no database stores")


def _zone(zone: Annotated[str, Query(max_length=60)] = "UTC") -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


FiltersDep = Annotated[views.Filters, Depends(_filters)]
ReadableDags = Annotated[set[str], Depends(_readable_dags)]
ZoneDep = Annotated[ZoneInfo, Depends(_zone)]

RESPONSES = ResponseCache()

# Of the DAG in path or query; without one, of XComs in general.
_may_read_xcoms = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))

router = APIRouter(prefix="/api", dependencies=[Depends(_check_characters), _may_read_xcoms])


@router.get("/results")
def results(
    filters: FiltersDep,
    readable: ReadableDags,
    order: views.Order = "newest",
    offset: Annotated[int, Query(ge=0, le=MAX_LISTED)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> ResultsPage:
    """Return a page of results of all DAGs that the viewer may read, and above the newest the current waits."""
    waiting: list[views.Result] = []
    ended: list[views.Result] = []
    total = 0
    with _busy_as_503(), create_session(scoped=False) as session:
        if filters.state == "waiting" or (filters.state is None and offset == 0 and order == "newest"):
            waiting = queries.current_waits(session, readable=readable, filters=filters)
        if filters.state != "waiting":
            ended, total = queries.ended_waits(
                session, readable=readable, filters=filters, order=order, offset=offset, limit=limit
            )
    return ResultsPage(waiting=waiting, results=ended, total=total)


@router.get("/results.csv")
def results_csv(filters: FiltersDep, readable: ReadableDags) -> StreamingResponse:
    """Return all results as a CSV file, the newest first."""
    return _csv(csv_files.results_csv(queries.all_results(readable, filters)), "seeany-results.csv")


@router.get("/results/urls")
def urls(filters: FiltersDep, readable: ReadableDags) -> StreamingResponse:
    """Return the URLs of all files of the results, one a line."""
    return StreamingResponse(result_files.lines_of_urls(readable, filters), media_type="text/plain; charset=utf-8")


@router.get("/summary")
def summary(filters: FiltersDep, readable: ReadableDags, user: GetUserDep, zone: ZoneDep) -> Response:
    """Return the sums of results by day, DAG, connection and state."""
    may_read_connections = get_auth_manager().is_authorized_connection(method="GET", user=user)

    def make() -> bytes:
        with _busy_as_503(), create_session(scoped=False) as session:
            groups = queries.groups(session, readable=readable, filters=filters, zone=zone)
            names = {group.conn_id for group in groups}
            choices = {group.conn_id for group in groups if group.state == "completed"}
            if may_read_connections:
                choices |= connections.existing(session, names - choices)
        return json.encode(Summary(zone.key, groups, sorted(choices)))

    viewer = hashlib.sha256("\0".join(sorted(readable)).encode()).digest(), may_read_connections
    database = str(settings.SQL_ALCHEMY_CONN)
    return Response(RESPONSES.get((database, viewer, filters, zone), make), media_type="application/json")


@router.get("/summary.csv")
def summary_csv(filters: FiltersDep, readable: ReadableDags, zone: ZoneDep) -> StreamingResponse:
    """Return the sums as a CSV file, with the owner and the tags of each DAG."""
    with _busy_as_503(), create_session(scoped=False) as session:
        groups = queries.groups(session, readable=readable, filters=filters, zone=zone)
        owners, tags = queries.owners_and_tags(session, {group.dag_id for group in groups})
    return _csv(csv_files.sums_csv(groups, owners, tags), "seeany-spend.csv")


@router.get("/setup")
def setup(user: GetUserDep) -> Setup:
    """Return what the page of an Airflow without results has to know."""
    if not get_auth_manager().is_authorized_connection(method="GET", user=user):
        return Setup(has_connection=None)
    with create_session(scoped=False) as session:
        return Setup(has_connection=connections.has_connection(session))


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


@router.get("/dags/{dag_id}/batch.csv")
def batch_csv(view: Annotated[views.TaskView, Depends(task)]) -> StreamingResponse:
    """Return the tasks of a batch as a CSV file."""
    return _csv(csv_files.batch_csv(view.batch), "seeany-batch.csv")


def _csv(lines: Iterator[str], name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@contextmanager
def _busy_as_503() -> Iterator[None]:
    try:
        yield
    except TooBusy:
        headers = {"Retry-After": str(RETRY_AFTER)}
        raise HTTPException(503, "other sums are being computed: try again", headers) from None
