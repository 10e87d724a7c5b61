"""Lets a callback resume a wait whose triggerer was killed when it ended it, and prints what is left: a script."""

from __future__ import annotations

import json
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback.resume import find_waits, resume
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database

PAYLOAD = {"id": "x", "status": "completed", "usage": {"cost": 0.7, "cost_unit": "CNY"}}


def main() -> None:
    """Print what is left where XComs are on, and where they are off."""
    make_database()
    print(json.dumps({"on": left(0, do_xcom_push=True), "off": left(1, do_xcom_push=False)}))


def left(map_index: int, *, do_xcom_push: bool) -> dict[str, Any]:
    """Push a record of yesterday as a trigger does, then call back; return the values of the UI's own XComs by key."""
    key, seeany_task_id = TaskInstanceKey("waits", "run", "wait", map_index), f"x-{map_index}"
    add_wait(seeany_task_id, map_index, worker_free=True, do_xcom_push=do_xcom_push)
    payload = {**PAYLOAD, "id": seeany_task_id}
    completed = {**payload, "completed_at": 1_795_000_000}
    pushed = Record.of_task(SeeAnyTask.from_payload(completed), conn_id=CONNECTION).xcoms(key)
    with create_session(scoped=False) as session:
        dag_run_id = session.scalar(select(DagRun.id).filter_by(dag_id="waits", run_id="run"))
        session.add_all(
            XComModel(dag_run_id=dag_run_id, key=name, value=value, **key.columns()) for name, value in pushed.items()
        )
    for wait in find_waits(TokenClaims(CONNECTION), [seeany_task_id]):
        resume(wait, Finished(payload))
    with create_session(scoped=False) as session:
        rows = session.execute(
            select(XComModel.key, XComModel.value).where(
                XComModel.key.startswith("_seeany"), XComModel.map_index == map_index
            )
        )
        return {row.key: row.value for row in rows}


if __name__ == "__main__":
    main()
