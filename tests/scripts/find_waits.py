"""Finds a wait among ten thousand, and its registration among a million XComs; prints times and plan: a script."""

from __future__ import annotations

import json
import time

from airflow.utils.session import create_session
from sqlalchemy import text
from sqlalchemy.orm import Session

from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback.resume import find_waits, waits_query
from tests.copies import columns, count, new_uuid
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database

WAITS = 10_000
XCOMS_OF_EACH = 101


def fill(session: Session) -> None:
    """Copy a wait until there are enough, each with its own id, trigger and registration, and add other XComs."""
    is_sqlite = session.connection().dialect.name == "sqlite"
    numbers = (
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) SELECT i FROM n)"
        if is_sqlite
        else "(SELECT generate_series(1, {0}) AS i)"
    )
    waits, others = numbers.format(WAITS - 1), numbers.format(XCOMS_OF_EACH - 1)
    shared = columns(session, "trigger", without='"id"')
    session.execute(
        text(
            f"INSERT INTO trigger (id, {shared}) "
            f"SELECT 1000 + i, {shared} FROM trigger CROSS JOIN {waits} AS n WHERE id = 1"
        )
    )
    count(session)
    shared = columns(session, "task_instance", without='"id" "map_index" "trigger_id"')
    session.execute(
        text(
            f"INSERT INTO task_instance (id, map_index, trigger_id, {shared}) "
            f"SELECT {new_uuid(session)}, i, 1000 + i, {shared} "
            f"FROM task_instance CROSS JOIN {waits} AS n WHERE map_index = 0"
        )
    )
    count(session)
    shared = columns(session, "xcom", without='"map_index" "key"')
    session.execute(
        text(
            f"INSERT INTO xcom (map_index, key, {shared}) SELECT i, '_seeany_wait_' || i, {shared} "
            f"FROM xcom CROSS JOIN {waits} AS n WHERE map_index = 0 AND key LIKE '_seeany_wait_%'"
        )
    )
    session.execute(
        text(
            f"INSERT INTO xcom (map_index, key, {shared}) SELECT t.i, 'value_' || n.i, {shared} "
            f"FROM xcom CROSS JOIN {numbers.format(WAITS - 1)} AS t CROSS JOIN {others} AS n "
            "WHERE map_index = 0 AND key LIKE '_seeany_wait_%'"
        )
    )
    count(session)


def main() -> None:
    """Fill the database, find the wait, and explain the query."""
    make_database()
    add_wait("wanted", 0)
    with create_session(scoped=False) as session:
        fill(session)
        counts = [session.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("task_instance", "xcom")]
        query = waits_query(CONNECTION, ["wanted", "another"]).compile(
            session.connection(), compile_kwargs={"literal_binds": True}
        )
        explain = "EXPLAIN QUERY PLAN" if session.connection().dialect.name == "sqlite" else "EXPLAIN ANALYZE"
        plan = [str(row[-1]) for row in session.connection().exec_driver_sql(f"{explain} {query}")]
    milliseconds = []
    for _ in range(50):
        began = time.perf_counter()
        found = find_waits(TokenClaims(CONNECTION), ["wanted", "another"])
        milliseconds.append(1000 * (time.perf_counter() - began))
    print(
        json.dumps(
            {
                "task instances": counts[0],
                "xcoms": counts[1],
                "found": [wait.registration.key == registration_key(CONNECTION, "wanted") for wait in found],
                "milliseconds": sorted(milliseconds),
                "plan": plan,
            }
        )
    )


if __name__ == "__main__":
    main()
