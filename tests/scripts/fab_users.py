"""Writes waits and results of two DAGs, and FAB users who may read all or one of them, into the database: a script."""

from __future__ import annotations

import argparse
import time
from typing import Any

import msgspec
from airflow.models.connection import Connection
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState

from airflow_provider_seeany.budget.query import SpendQuery, query_key
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.web.callback.waits_in_database import ANOTHER_DAG, CONNECTION, DAG_ID, add_wait, make_database
from tests.web.results.history import fill, push_xcoms, record

RESULTS = 6
"""Number of results, half of them of each DAG."""

WAITS, IS_CALLED_BACK, ASKS = 100, 101, 102
"""The map indexes of task instances: one waits, one for a callback, and one asks what was spent."""

TOKEN = "a" * 43
"""By which the last one asks."""

PASSWORD = "not-a-secret-1"
ROLES = {"admin": "Admin", "viewer": "Viewer", "one_dag": "One DAG"}


def main() -> None:
    """Write all of it."""
    # Not above: every collection of tests imports this module.
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    parser = argparse.ArgumentParser()
    parser.add_argument("api_url")
    arguments = parser.parse_args()
    make_database()
    now = time.time()
    with create_session(scoped=False) as session:
        session.add(Connection(conn_id=CONNECTION, conn_type="seeany", host=arguments.api_url, password="sk-fab"))
        session.add(Connection(conn_id="of_nobody", conn_type="seeany"))
        session.commit()
        # Each costs another power of two, so that a sum tells which are in it. A run is of one DAG.
        for number in range(RESULTS):
            of_it = record(now - 60 - number, number=number, conn_id=CONNECTION, cost={"CNY": str(2**number)})
            fill(session, [of_it], dag_ids=[(DAG_ID, ANOTHER_DAG)[number % 2]])
    for dag_id in (DAG_ID, ANOTHER_DAG):
        add_wait("never-ends", WAITS, dag_id=dag_id)
    add_wait("video-0s-called-back", IS_CALLED_BACK)
    _ask_for_the_budget(add_wait("never-asked-for", ASKS))
    with get_application_builder() as builder:
        manager = builder.sm
        # What a viewer has, but of DAGs one; and what shows plugins.
        of_viewers = set(manager.VIEWER_PERMISSIONS) - {("can_read", "DAGs")}
        role = manager.add_role(ROLES["one_dag"])
        for action, resource in of_viewers | {("can_read", f"DAG:{DAG_ID}"), ("can_read", "Plugins")}:
            manager.add_permission_to_role(role, manager.create_permission(action, resource))
        for name, role_name in ROLES.items():
            manager.add_user(name, name, "of FAB", f"{name}@example.com", manager.find_role(role_name), PASSWORD)


def _ask_for_the_budget(instance_id: Any) -> None:
    """Leave what a worker leaves in the database before it asks."""
    query = SpendQuery(task_instance_id=str(instance_id), unit="CNY")
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, instance_id)
        instance.state = TaskInstanceState.RUNNING
        push_xcoms(session, TaskInstanceKey.of(instance), {str(query_key(TOKEN)): msgspec.to_builtins(query)})


if __name__ == "__main__":
    main()
