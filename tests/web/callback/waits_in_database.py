"""Makes waits as Airflow's scheduler, worker and triggerer leave them in the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import msgspec
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import DAG
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select, update

from airflow_provider_seeany.callback.batch import BatchCallbacks
from airflow_provider_seeany.callback.registration import Registration
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.supervisor import Supervisor
from tests.waits import TASK_SETTINGS

CONNECTION = "studio"
DAG_ID = "waits"
ANOTHER_DAG = "waits_too"
ANOTHER_RUN = "another_run"
ANOTHER_TASK = "wait_too"


def make_database() -> None:
    """Make Airflow's tables and two DAGs, with the same two tasks and two runs each."""
    logging.disable(logging.WARNING)
    initdb()
    DagBundlesManager().sync_bundles_to_db()
    for dag_id in (DAG_ID, ANOTHER_DAG):
        _add_dag(dag_id)


def _add_dag(dag_id: str) -> None:
    from airflow.models.serialized_dag import SerializedDagModel

    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        for task_id in ("wait", ANOTHER_TASK):
            SeeAnyTaskSensor(task_id=task_id, seeany_task_id="x", seeany_conn_id=CONNECTION, expect_callback=True)
    with create_session() as session:
        session.merge(DagModel(dag_id=dag_id, bundle_name="dags-folder", relative_fileloc="waits.py"))
        session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDagModel.write_dag(lazy, bundle_name="dags-folder", session=session)
        session.commit()
        stored = SerializedDagModel.get_dag(dag_id, session=session)
        for hours, run_id in enumerate(("run", ANOTHER_RUN)):
            date = datetime(2026, 1, 1, hours, tzinfo=UTC)
            stored.create_dagrun(
                run_id=run_id,
                logical_date=date,
                run_after=date,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                session=session,
            )
        session.flush()
        session.expunge_all()


def add_wait(
    seeany_task_id: str,
    map_index: int,
    *,
    dag_id: str = DAG_ID,
    run_id: str = "run",
    task_id: str = "wait",
    **waiting: Any,
) -> Any:
    """Add a deferred task instance with trigger and registration, which waits with these arguments; return its id."""
    from airflow.models.serialized_dag import SerializedDagModel

    with create_session(scoped=False) as session:
        task = SerializedDagModel.get_dag(dag_id, session=session).get_task(task_id)
        version = DagVersion.get_latest_version(dag_id, session=session).id
        instance = TaskInstance(task=task, run_id=run_id, map_index=map_index, dag_version_id=version)
        session.add(instance)
        session.flush()
        _defer(session, instance, seeany_task_id, **waiting)
        return instance.id


def add_batch(seeany_task_ids: Sequence[str], map_index: int, *, conn_id: str = CONNECTION) -> Any:
    """Add a deferred task instance that waits for a batch with callbacks; return it."""
    instance_id = add_wait("no task of the batch", map_index)
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, instance_id)
        supervisor = Supervisor()
        with mock.patch.object(task_runner, "SUPERVISOR_COMMS", supervisor, create=True):
            BatchCallbacks(instance, seeany_conn_id=conn_id).register(seeany_task_ids)
        for key, value in supervisor.xcoms.items():
            _push(session, instance, key, value)
        session.expunge(instance)
        return instance


def wait_anew(instance_id: Any, seeany_task_id: str) -> Any:
    """Clear a task instance and let it wait again, without a worker; return its new id."""
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, instance_id)
        instance.prepare_db_for_next_try(session)
        session.flush()
        _defer(session, instance, seeany_task_id, worker_free=True)
        return instance.id


def _defer(
    session: Any,
    instance: TaskInstance,
    seeany_task_id: str,
    *,
    worker_free: bool = False,
    end_from_trigger: bool = False,
    first_poll_at: float = 0.0,
    **settings: Any,
) -> None:
    trigger = SeeAnyTaskTrigger(
        seeany_task_id=seeany_task_id,
        seeany_conn_id=CONNECTION,
        settings={**msgspec.to_builtins(TASK_SETTINGS), "expect_callback": True, **settings},
        first_poll_at=None if worker_free else first_poll_at,
        start_from_trigger=worker_free,
        end_from_trigger=worker_free or end_from_trigger,
    )
    row = Trigger.from_object(trigger)
    session.add(row)
    session.flush()
    instance.state = TaskInstanceState.DEFERRED
    instance.trigger_id = row.id
    instance.next_method = "execute_complete"
    instance.start_date = datetime.now(UTC)
    instance.trigger_timeout = datetime.now(UTC) + timedelta(hours=1)
    registration = Registration(
        seeany_conn_id=CONNECTION, seeany_task_id=seeany_task_id, task_instance_id=str(instance.id)
    )
    _push(session, instance, registration.key, msgspec.to_builtins(registration))


def _push(session: Any, instance: TaskInstance, key: str, value: Any) -> None:
    """Push an XCom as the Execution API stores it, also where an earlier try left one."""
    here = {"dag_id": instance.dag_id, "run_id": instance.run_id}
    dag_run_id = session.scalar(select(DagRun.id).filter_by(**here))
    where = {"task_id": instance.task_id, "map_index": instance.map_index, **here}
    session.merge(XComModel(dag_run_id=dag_run_id, key=key, value=value, **where))


def sweep(instance_id: Any) -> None:
    """Do what the scheduler does with a deferral whose time is up."""
    with create_session(scoped=False) as session:
        session.execute(
            update(TaskInstance)
            .where(TaskInstance.id == instance_id, TaskInstance.state == TaskInstanceState.DEFERRED)
            .values(state=TaskInstanceState.SCHEDULED, next_method="__fail__", trigger_id=None)
        )


def mark_failed(instance_id: Any) -> None:
    """Do what the api-server does when a user marks a task instance as failed."""
    with create_session(scoped=False) as session:
        instance = session.get_one(TaskInstance, instance_id)
        instance.set_state(TaskInstanceState.FAILED, session=session)
