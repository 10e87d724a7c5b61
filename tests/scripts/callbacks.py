"""Calls the real route back in one situation after the other, and prints the outcome of each: a script."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from fastapi.testclient import TestClient
from sqlalchemy import delete, select, update

from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.callback.registration import KEY_PREFIX, registration_key
from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import handler
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import (
    COMPLETED,
    FAILED,
    PARTIAL,
    Caller,
    HostileServer,
    Responder,
    about,
    in_background,
    never_respond,
    page,
    reply,
    task,
)
from tests.web.callback.waits_in_database import (
    ANOTHER_DAG,
    ANOTHER_RUN,
    ANOTHER_TASK,
    CONNECTION,
    DAG_ID,
    add_wait,
    make_database,
    mark_failed,
    sweep,
    wait_anew,
)

SECRET = "the-secret-of-the-callbacks-0123456789"

HERE = {"dag_id": DAG_ID, "run_id": "run", "task_id": "wait"}
BYSTANDERS = ({**HERE, "dag_id": ANOTHER_DAG}, {**HERE, "run_id": ANOTHER_RUN}, {**HERE, "task_id": ANOTHER_TASK})
"""Task instances with the same map index, which wait for other SeeAny tasks."""

Change = Callable[["Subject"], object]
"""What else happens to a wait."""


@dataclass(frozen=True)
class Subject:
    """What a situation is about: the SeeAny task, the map index of the wait, and the id of its task instance."""

    seeany_task_id: str
    map_index: int
    instance_id: Any


@dataclass(frozen=True)
class Situation:
    """
    A wait, and a callback for it.

    :param response: SeeAny's response; ``None`` for that of a completed task.
    :param wait: the arguments of the wait.
    :param before: what has happened to the wait before the callback.
    :param meanwhile: what happens to it during the poll.
    :param waits: number of waits for the task.
    :param connection: the connection of the token.
    :param is_connected: whether Airflow has the connection.
    :param named: whether the token names the task instance, and the body is empty.
    :param seeany_task_id: the id, if it is a special one.
    :param id_in_body: the id in the body, if it is another one.
    """

    response: Responder | None = None
    wait: dict[str, Any] = field(default_factory=dict)
    before: Change | None = None
    meanwhile: Change | None = None
    waits: int = 1
    connection: str = CONNECTION
    is_connected: bool = True
    named: bool = False
    seeany_task_id: str | None = None
    id_in_body: str | None = None


def _becomes(**columns: Any) -> Change:
    def change(subject: Subject) -> None:
        with create_session(scoped=False) as session:
            session.execute(update(TaskInstance).where(TaskInstance.id == subject.instance_id).values(**columns))

    return change


def _xcoms_of(subject: Subject) -> list[Any]:
    here = {**HERE, "map_index": subject.map_index}
    return [getattr(XComModel, column) == value for column, value in here.items()]


def _registration_is_deleted(subject: Subject) -> None:
    with create_session(scoped=False) as session:
        session.execute(delete(XComModel).where(*_xcoms_of(subject)))


def _registration_has(**differently: str) -> Change:
    def change(subject: Subject) -> None:
        with create_session(scoped=False) as session:
            (registration,) = session.scalars(select(XComModel.value).where(*_xcoms_of(subject)))
            session.execute(update(XComModel).where(*_xcoms_of(subject)).values(value={**registration, **differently}))

    return change


RUNNING = TaskInstanceState.RUNNING
ENDS_IN_TRIGGERER = {"end_from_trigger": True}
_NO_VIDEO = "the response of a completed task has no video"
SITUATIONS = {
    "classic": Situation(),
    "ends in the triggerer": Situation(wait=ENDS_IN_TRIGGERER),
    "worker-free": Situation(wait={"worker_free": True}),
    "worker-free, without XComs": Situation(wait={"worker_free": True, "do_xcom_push": False}),
    "failed": Situation(about({**FAILED, "id": "failed"})),
    "failed, ends in the triggerer": Situation(
        about({**FAILED, "id": "failed, ends in the triggerer"}), ENDS_IN_TRIGGERER
    ),
    "failed, worker-free": Situation(about({**FAILED, "id": "failed, worker-free"}), {"worker_free": True}),
    "partial, worker-free": Situation(about({**PARTIAL, "id": "partial, worker-free"}), {"worker_free": True}),
    "partial and not accepted, worker-free": Situation(
        about({**PARTIAL, "id": "partial and not accepted, worker-free"}),
        {"worker_free": True, "accept_partial": False},
    ),
    "still running": Situation(task(id="still running")),
    "too early": Situation(wait={"first_poll_at": time.time() + 3600}),
    "in its first worker": Situation(before=_becomes(state=RUNNING, trigger_id=None, next_method=None)),
    "back in a worker": Situation(before=_becomes(state=RUNNING, trigger_id=None)),
    "marked as failed": Situation(before=lambda subject: mark_failed(subject.instance_id)),
    "timed out by Airflow": Situation(before=lambda subject: sweep(subject.instance_id)),
    "about to fire": Situation(before=_registration_is_deleted),
    "another connection's URL": Situation(connection="other"),
    "another connection's URL that names the task": Situation(connection="other", named=True),
    "another connection and id that read alike": Situation(
        connection=CONNECTION[:-1], seeany_task_id="alike", id_in_body=CONNECTION[-1] + "alike"
    ),
    "the URL names the task": Situation(named=True),
    "two wait for it": Situation(waits=2),
    "an odd id": Situation(seeany_task_id="../x?y=1#z"),
    "another XCom under the key of the registration": Situation(before=_registration_has(received="?")),
    "a registration for another task under this key": Situation(before=_registration_has(seeany_task_id="another")),
    "a registration for another connection under this key": Situation(before=_registration_has(seeany_conn_id="other")),
    "a registration of an earlier try": Situation(before=_registration_has(task_instance_id="another")),
    "marked as failed meanwhile": Situation(meanwhile=lambda subject: mark_failed(subject.instance_id)),
    "timed out by Airflow meanwhile": Situation(meanwhile=lambda subject: sweep(subject.instance_id)),
    "about to fire meanwhile": Situation(meanwhile=_registration_is_deleted),
    "deferred anew meanwhile": Situation(
        meanwhile=lambda subject: wait_anew(subject.instance_id, subject.seeany_task_id)
    ),
    "SeeAny is down": Situation(page(502)),
    "SeeAny does not respond": Situation(never_respond),
    "SeeAny refuses the key": Situation(reply(401, {"error": {"code": "invalid_api_key", "message": "no"}})),
    "SeeAny does not know it": Situation(reply(404, {"error": {"code": "task_not_found", "message": "no"}})),
    _NO_VIDEO: Situation(about({**COMPLETED, "id": _NO_VIDEO, "video_url": None})),
    "there is no connection": Situation(is_connected=False),
    "the response is about another task": Situation(about({**COMPLETED, "id": "another"})),
}


def outcome_of(
    situation: Situation, name: str, number: int, dialect: str, server: HostileServer, client: TestClient
) -> Any:
    """Call back about a task that is polled in a dialect, and return the outcome."""
    seeany_task_id = situation.seeany_task_id or name
    first = 10 * number
    instances = [add_wait(seeany_task_id, first + index, **situation.wait) for index in range(situation.waits)]
    for bystander in BYSTANDERS:
        add_wait(f"{seeany_task_id}, of a bystander", first, **bystander)
    subject = Subject(seeany_task_id, first, instances[0])
    if situation.before:
        situation.before(subject)
    response = situation.response or about({**COMPLETED, "id": seeany_task_id})

    async def respond(caller: Caller) -> None:
        if situation.meanwhile:
            situation.meanwhile(subject)
        await response(caller)

    server.script(respond)
    server.requests.clear()
    # Only the callback's own timeout ends a poll.
    connection = {
        "conn_type": "seeany",
        "host": server.url,
        "password": "sk-callbacks",
        "extra": {"request_timeout": 3600, "api": dialect},
    }
    for conn_id in (CONNECTION, situation.connection):
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection) if situation.is_connected else ""
    named = TaskInstanceKey(**HERE, map_index=first) if situation.named else None
    token = sign_token(TokenClaims(situation.connection, named), secret=SECRET)
    body = {} if situation.named else {"id": situation.id_in_body or seeany_task_id}
    returned = client.post(f"/callback/{token}", json=body)
    return {
        "http_status": returned.status_code,
        "response": returned.json(),
        "has Retry-After": "Retry-After" in returned.headers,
        "polls": [request.target for request in server.requests],
        **_left_of(range(first, first + situation.waits), registration_key(CONNECTION, seeany_task_id)),
    }


def _left_of(map_indexes: range, key: str) -> dict[str, Any]:
    with create_session(scoped=False) as session:
        in_run = select(TaskInstance).where(TaskInstance.map_index.in_(map_indexes))
        instances = session.scalars(in_run.filter_by(**HERE)).all()
        xcoms = {
            row.key: row.value
            for row in session.execute(
                select(XComModel.key, XComModel.value).where(XComModel.map_index.in_(map_indexes)).filter_by(**HERE)
            )
        }
        return {
            "states": [str(each.state) for each in instances],
            "events": [(each.next_kwargs or {}).get("event") for each in instances],
            "registration": xcoms.get(key),
            "xcoms": {name: value for name, value in xcoms.items() if not name.startswith(KEY_PREFIX)},
            "bystanders": [str(session.scalars(in_run.filter_by(**bystander)).one().state) for bystander in BYSTANDERS],
        }


def main() -> None:
    """Go through all situations in each dialect."""
    make_database()
    server = HostileServer()
    with in_background(server.serve):
        os.environ["AIRFLOW__SEEANY__CALLBACK_SECRET"] = SECRET
        # What the first callback imports, on a busy machine, is not tested here.
        import_module("airflow_provider_seeany.api.asynchronous")
        handler.POLL_TIMEOUT = 2.0
        with TestClient(create_app(), raise_server_exceptions=False) as client:
            results = {dialect: _results(dialect, server, client) for dialect in DIALECTS}
    print(msgspec.json.encode(results).decode())


def _results(dialect: str, server: HostileServer, client: TestClient) -> dict[str, Any]:
    with create_session(scoped=False) as session:
        session.execute(delete(TaskInstance))
    return {
        name: outcome_of(situation, name, number, dialect, server, client)
        for number, (name, situation) in enumerate(SITUATIONS.items(), start=1)
        if AIRFLOW_V_3_3_PLUS or not {"worker_free", "end_from_trigger"} & situation.wait.keys()
    }


if __name__ == "__main__":
    main()
