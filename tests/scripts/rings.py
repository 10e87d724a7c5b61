"""Rings at the real route in one situation after the other, and prints what came of each: a script."""

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

from airflow_provider_seeany.callback.registration import KEY_PREFIX, registration_key
from airflow_provider_seeany.callback.token import TaskInstanceKey, TokenClaims, sign_token
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import handler
from tests.hostile import COMPLETED, FAILED, Answer, Caller, HostileServer, in_background, page, register, reply, task
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
"""Where others wait, for other SeeAny tasks; their map index is the same."""

Change = Callable[["Place"], object]
"""What else happens to a wait."""


@dataclass(frozen=True)
class Place:
    """Where a situation takes place: the SeeAny task, the wait's map index, and its task instance's id."""

    seeany_task_id: str
    map_index: int
    instance_id: Any


@dataclass(frozen=True)
class Situation:
    """
    A wait, and a ring for it.

    :param answer: what SeeAny says; ``None`` for its task's completion.
    :param wait: the arguments of the wait.
    :param before: what has happened to the wait before the ring.
    :param meanwhile: what happens to it while SeeAny is asked.
    :param waits: how many wait for the task.
    :param connection: whose token rings.
    :param is_connected: whether Airflow has the connection.
    :param named: whether the token names the task instance, and the body says nothing.
    :param seeany_task_id: the id, if it is a special one.
    :param body_says: the id in the body, if it is another one.
    """

    answer: Answer | None = None
    wait: dict[str, Any] = field(default_factory=dict)
    before: Change | None = None
    meanwhile: Change | None = None
    waits: int = 1
    connection: str = CONNECTION
    is_connected: bool = True
    named: bool = False
    seeany_task_id: str | None = None
    body_says: str | None = None


def _becomes(**columns: Any) -> Change:
    def change(place: Place) -> None:
        with create_session(scoped=False) as session:
            session.execute(update(TaskInstance).where(TaskInstance.id == place.instance_id).values(**columns))

    return change


def _xcoms_of(place: Place) -> list[Any]:
    here = {**HERE, "map_index": place.map_index}
    return [getattr(XComModel, column) == value for column, value in here.items()]


def _mark_is_taken_down(place: Place) -> None:
    with create_session(scoped=False) as session:
        session.execute(delete(XComModel).where(*_xcoms_of(place)))


def _mark_says(**differently: str) -> Change:
    def change(place: Place) -> None:
        with create_session(scoped=False) as session:
            (mark,) = session.scalars(select(XComModel.value).where(*_xcoms_of(place)))
            session.execute(update(XComModel).where(*_xcoms_of(place)).values(value={**mark, **differently}))

    return change


RUNNING = TaskInstanceState.RUNNING
_SHOWS_NOTHING = "SeeAny says that it is done, and shows no video"
SITUATIONS = {
    "classic": Situation(),
    "worker-free": Situation(wait={"worker_free": True}),
    "worker-free, without XComs": Situation(wait={"worker_free": True, "do_xcom_push": False}),
    "failed": Situation(reply(200, {**FAILED, "id": "failed"})),
    "failed, worker-free": Situation(reply(200, {**FAILED, "id": "failed, worker-free"}), {"worker_free": True}),
    "still running": Situation(task(id="still running")),
    "too early": Situation(wait={"first_poll_at": time.time() + 3600}),
    "in its first worker": Situation(before=_becomes(state=RUNNING, trigger_id=None, next_method=None)),
    "back in a worker": Situation(before=_becomes(state=RUNNING, trigger_id=None)),
    "marked as failed": Situation(before=lambda place: mark_failed(place.instance_id)),
    "timed out by Airflow": Situation(before=lambda place: sweep(place.instance_id)),
    "about to fire": Situation(before=_mark_is_taken_down),
    "another connection's URL": Situation(connection="other"),
    "another connection's URL that names the task": Situation(connection="other", named=True),
    "another connection and id that read alike": Situation(
        connection=CONNECTION[:-1], seeany_task_id="alike", body_says=CONNECTION[-1] + "alike"
    ),
    "the URL names the task": Situation(named=True),
    "two wait for it": Situation(waits=2),
    "an odd id": Situation(seeany_task_id="../x?y=1#z"),
    "another XCom by the mark's key": Situation(before=_mark_says(received="?")),
    "a mark of another task by this key": Situation(before=_mark_says(seeany_task_id="another")),
    "a mark of another connection by this key": Situation(before=_mark_says(seeany_conn_id="other")),
    "a mark of an earlier try": Situation(before=_mark_says(task_instance_id="another")),
    "marked as failed meanwhile": Situation(meanwhile=lambda place: mark_failed(place.instance_id)),
    "timed out by Airflow meanwhile": Situation(meanwhile=lambda place: sweep(place.instance_id)),
    "about to fire meanwhile": Situation(meanwhile=_mark_is_taken_down),
    "deferred anew meanwhile": Situation(meanwhile=lambda place: wait_anew(place.instance_id, place.seeany_task_id)),
    "SeeAny is down": Situation(page(502)),
    "SeeAny does not answer": Situation(register),
    "SeeAny refuses the key": Situation(reply(401, {"error": {"code": "invalid_api_key", "message": "no"}})),
    "SeeAny does not know it": Situation(reply(404, {"error": {"code": "task_not_found", "message": "no"}})),
    _SHOWS_NOTHING: Situation(reply(200, {**COMPLETED, "id": _SHOWS_NOTHING, "video_url": None})),
    "there is no connection": Situation(is_connected=False),
    "SeeAny tells of another task": Situation(reply(200, {**COMPLETED, "id": "somebody else's"})),
}


def outcome_of(situation: Situation, name: str, number: int, server: HostileServer, client: TestClient) -> Any:
    """Ring, and tell what came of it."""
    seeany_task_id = situation.seeany_task_id or name
    first = 10 * number
    instances = [add_wait(seeany_task_id, first + place, **situation.wait) for place in range(situation.waits)]
    for bystander in BYSTANDERS:
        add_wait(f"{seeany_task_id}, of a bystander", first, **bystander)
    place = Place(seeany_task_id, first, instances[0])
    if situation.before:
        situation.before(place)
    says = situation.answer or reply(200, {**COMPLETED, "id": seeany_task_id})

    async def answer(caller: Caller) -> None:
        if situation.meanwhile:
            situation.meanwhile(place)
        await says(caller)

    server.script(answer)
    server.requests.clear()
    # Only the callback's own patience ends a question.
    connection = {"conn_type": "seeany", "host": server.url, "password": "sk-rings", "extra": {"request_timeout": 3600}}
    for conn_id in (CONNECTION, situation.connection):
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection) if situation.is_connected else ""
    named = TaskInstanceKey(**HERE, map_index=first) if situation.named else None
    token = sign_token(TokenClaims(situation.connection, named), secret=SECRET)
    body = {} if situation.named else {"id": situation.body_says or seeany_task_id}
    answered = client.post(f"/callback/{token}", json=body)
    return {
        "status": answered.status_code,
        "said": answered.json(),
        "may be repeated": "Retry-After" in answered.headers,
        "questions": [asked.target for asked in server.requests],
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
            "handed on": [(each.next_kwargs or {}).get("event") for each in instances],
            "mark": xcoms.get(key),
            "xcoms": {name: value for name, value in xcoms.items() if not name.startswith(KEY_PREFIX)},
            "bystanders": [str(session.scalars(in_run.filter_by(**bystander)).one().state) for bystander in BYSTANDERS],
        }


def main() -> None:
    """Go through all situations."""
    make_database()
    server = HostileServer()
    with in_background(server.serve):
        os.environ["AIRFLOW__SEEANY__CALLBACK_SECRET"] = SECRET
        # What the first ring loads, on a busy machine, is not what is tried here.
        import_module("airflow_provider_seeany.api.asynchronous")
        handler.POLL_TIMEOUT = 2.0
        with TestClient(create_app(), raise_server_exceptions=False) as client:
            results = {
                name: outcome_of(situation, name, number, server, client)
                for number, (name, situation) in enumerate(SITUATIONS.items(), start=1)
                if AIRFLOW_V_3_3_PLUS or not situation.wait.get("worker_free")
            }
    print(msgspec.json.encode(results).decode())


if __name__ == "__main__":
    main()
