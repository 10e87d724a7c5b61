"""Results of the past, written straight into Airflow's database: what no test could wait for."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, event, func, insert, select, text
from sqlalchemy.orm import Session

from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.copies import columns, new_uuid

TASKS_PER_RUN = 10
DAY = 24 * 3600
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Yesterday's in UTC: what ended about then ended on one day, whenever the tests run."""


def know_dags(session: Session, dag_ids: list[str]) -> None:
    """Store DAGs, as the dag-processor would."""
    session.execute(insert(DagBundleModel).values(name="tests"))
    session.execute(
        insert(DagModel),
        [
            {
                "dag_id": dag_id,
                "bundle_name": "tests",
                "max_active_tasks": 1,
                "max_consecutive_failed_dag_runs": 0,
                "has_task_concurrency_limits": False,
            }
            for dag_id in dag_ids
        ],
    )


def fill(session: Session, records: list[Record], *, dag_ids: list[str], other_xcoms: int = 0) -> None:
    """
    Store one ended task instance for each record, spread over the DAGs.

    :param dag_ids: DAGs that are stored already.
    :param other_xcoms: number of other XComs of each, which a query should not read.
    """
    first_run = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    runs: dict[int, dict[str, Any]] = {}
    tasks: list[dict[str, Any]] = []
    xcoms: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        run_number = number // TASKS_PER_RUN
        ended = datetime.fromtimestamp(record.at, tz=UTC)
        run = runs.setdefault(
            run_number,
            {
                "id": first_run + run_number,
                "dag_id": dag_ids[run_number % len(dag_ids)],
                "run_id": f"history_{first_run + run_number}",
                "run_type": "manual",
                "state": "success",
                "run_after": ended,
                "start_date": ended,
                "end_date": ended,
                "clear_number": 0,
            },
        )
        key = TaskInstanceKey(run["dag_id"], run["run_id"], "wait", number % TASKS_PER_RUN)
        state = "success" if record.state == "completed" else "failed"
        tasks.append(
            {
                **key.columns(),
                "pool": "default_pool",
                "operator": "SeeAnyTaskSensor",
                "state": state,
                "try_number": 1,
                "start_date": ended,
                "end_date": ended,
            }
        )
        values = {**record.xcoms(key), **{f"other_{each}": "x" * 60 for each in range(other_xcoms)}}
        xcoms += [
            {**key.columns(), "dag_run_id": run["id"], "key": xcom, "value": value, "timestamp": ended}
            for xcom, value in values.items()
        ]
    session.execute(insert(DagRun), list(runs.values()))
    session.execute(insert(TaskInstance), tasks)
    session.execute(insert(XComModel), xcoms)
    session.commit()


def fill_one_task_instance(session: Session, count: int) -> str:
    """
    Store very many records of one task instance of the first DAG, as its author may push them; return the run.

    Each is of another SeeAny task, as the sums count each task once a day, and these may be of one day or of two.
    """
    now = time.time()
    fill(session, [record(now - 60, number=1)], dag_ids=["dag_0"])
    names = ("dag_run_id", "run_id", "dag_id", "task_id", "map_index")
    row = session.execute(select(*(getattr(XComModel, name) for name in names)).limit(1)).one()
    rows = [
        {**row._mapping, "key": key, "value": value, "timestamp": datetime.now(UTC)}
        for number in range(2, count + 1)
        for key, value in record(now - 3600 - number, number=number).xcoms(TaskInstanceKey.of(row)).items()
        if key != PROGRESS_KEY
    ]
    session.execute(insert(XComModel), rows)
    session.commit()
    return str(row.run_id)


def repeat(session: Session, *, days: int) -> None:
    """
    Copy what was stored for one day in UTC to the days before, as other mapped task instances.

    :param days: number of days afterwards.
    """
    tasks = columns(session, "task_instance", without='"id" "map_index"')
    xcoms = columns(session, "xcom", without='"map_index" "key"')
    (key,) = session.execute(select(XComModel.key).where(XComModel.key.between(FIRST_KEY, LAST_KEY)).limit(1)).one()
    begin = key[: len(key_at(0)) - len("T000000Z")]
    day = datetime.strptime(begin, f"{PROGRESS_KEY}_%Y%m%d")
    if session.connection().dialect.name == "postgresql":
        # All are copies, so there is nothing to check: row by row, that would take longer than all else.
        session.execute(text("SET LOCAL session_replication_role = replica"))
    for back in range(1, days):
        values = {
            "shift": back * TASKS_PER_RUN,
            "first": TASKS_PER_RUN,
            "like": f"{begin}T%",
            "day": f"{PROGRESS_KEY}_{day - timedelta(days=back):%Y%m%d}",
        }
        session.execute(
            text(
                f"INSERT INTO task_instance (id, map_index, {tasks}) "
                f"SELECT {new_uuid(session)}, map_index + :shift, {tasks} FROM task_instance WHERE map_index < :first"
            ),
            values,
        )
        session.execute(
            text(
                f"INSERT INTO xcom (map_index, key, {xcoms}) SELECT map_index + :shift, "
                f"CASE WHEN key LIKE :like THEN CAST(:day AS VARCHAR(20)) || substr(key, {len(begin) + 1}) "
                f"ELSE key END, {xcoms} FROM xcom WHERE map_index < :first"
            ),
            values,
        )
    session.commit()


def record(at: float, *, number: int = 0, files_url: str = "https://cdn.example", **more: Any) -> Record:
    """Return the record of a video; ``more`` changes it."""
    seeany_task_id = f"video-0s-history-{number}"
    fields: dict[str, Any] = {
        "state": "completed",
        "conn_id": "seeany_default",
        "at": int(at),
        "seeany_task_id": seeany_task_id,
        "cost": {"CNY": "0.7"},
        "video_url": f"{files_url}/files/{seeany_task_id}/output.mp4",
        "thumbnail_url": f"{files_url}/files/{seeany_task_id}/thumb.jpg",
        "results": 1,
        "duration": 5,
        "resolution": "720p",
    }
    return Record(**{**fields, **more})


def tasks(session: Session, *, dag_ids: list[str] | None = None, count: int = 1) -> list[TaskInstanceKey]:
    """Add ended task instances without XComs, ten to a run; return their keys."""
    fill(session, [record(time.time() - 60, number=number) for number in range(count)], dag_ids=dag_ids or ["dag_0"])
    session.execute(delete(XComModel))
    session.commit()
    names = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    rows = session.execute(select(*names).order_by(TaskInstance.run_id, names[-1]))
    return [TaskInstanceKey.of(row) for row in rows]


def row_of(key: TaskInstanceKey) -> Any:
    """Return the conditions for the row of a task instance."""
    return [getattr(TaskInstance, column) == value for column, value in key.columns().items()]


def push_xcoms(session: Session, instance: TaskInstanceKey, xcoms: Mapping[str, Any]) -> None:
    """Push XComs of a task instance."""
    run = session.execute(select(TaskInstance).where(*row_of(instance))).scalar_one().dag_run.id
    values = [{**instance.columns(), "dag_run_id": run, "key": key, "value": value} for key, value in xcoms.items()]
    session.execute(insert(XComModel), values)
    session.commit()


def push_foreign(session: Session, key: str, value: object = "x", *, map_index: int = 1) -> None:
    """Push what a DAG may push: anything under any key."""
    row = session.execute(select(XComModel.dag_run_id, XComModel.run_id, XComModel.dag_id).limit(1)).one()
    values = {"task_id": "wait", "map_index": map_index, "key": key, "value": value, "timestamp": datetime.now(UTC)}
    session.execute(insert(XComModel).values(**row._mapping, **values))
    session.commit()


@contextmanager
def statements(engine: Any, *, about: str = "xcom") -> Iterator[list[tuple[str, Any]]]:
    """Note the statements about XComs, or another word."""
    executed: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if about in statement:
            executed.append((statement, tuple(parameters.items()) if isinstance(parameters, dict) else parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(session: Session, statement: str, parameters: Any) -> str:
    """Return the database's plan of a statement."""
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    rows = connection.exec_driver_sql(f"{explain} {statement}", parameters if is_sqlite else dict(parameters))
    return "\n".join(str(row[-1]) for row in rows)


def main() -> None:
    """Write some weeks of results into the database of the Airflow whose environment this process has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files_url")
    parser.add_argument("--dag", action="append", required=True)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    chance = random.Random(7)
    now = time.time()
    records = []
    for number in range(arguments.count):
        at = now - DAY - chance.random() ** 1.5 * 27 * DAY
        more: dict[str, Any] = {}
        if number % 9 == 4:
            more = {"cost": {"USD": f"{chance.randrange(10, 60) / 100:.2f}"}, "conn_id": "seeany_global"}
        elif number % 13 == 6:
            more = {
                "state": "failed",
                "cost": {},
                "video_url": None,
                "thumbnail_url": None,
                "error_code": "content_policy_violation",
                "error_message": "生成内容违反内容安全策略",
            }
        else:
            more = {"cost": {"CNY": f"{chance.choice([0.7, 0.7, 1.4, 2.1]):.2f}"}}
        records.append(record(at, number=number, files_url=arguments.files_url, **more))
    with create_session(scoped=False) as session:
        fill(session, records, dag_ids=arguments.dag)


if __name__ == "__main__":
    main()
