"""Which waits that a worker has started end in the triggerer."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta
from typing import Any

import pytest
from airflow.listeners import hookimpl
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import DAG
from airflow.sdk import Asset, Param, TaskGroup
from airflow.sdk import task as taskflow
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_seeany import metrics
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.wait import worker_needed
from tests.hostile import HostileServer, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, deferred, each_way_to_render, mapped_wait, starts_triggers, wait

pytestmark = [pytest.mark.usefixtures("_connected"), starts_triggers]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_form = pytest.mark.parametrize("make", [wait, mapped_wait], ids=["single", "mapped"])


@pytest.fixture(autouse=True)
def _still_running(hostile: HostileServer, supervisor: Supervisor) -> None:
    hostile.script(task(progress=65))


def ends_in_trigger(waiting: Any) -> bool:
    """Let a worker defer the wait; return whether its trigger ends it."""
    return deferred(waiting)[0].end_from_trigger


def why_not(waiting: Any, caplog: pytest.LogCaptureFixture) -> str:
    """Return the log's reason why a wait ends in a worker."""
    with caplog.at_level(logging.DEBUG, "tests.waits"):
        assert not ends_in_trigger(waiting)
    (line,) = (line for line in caplog.messages if "also ends in a worker" in line)
    return line.partition("also ends in a worker: ")[2]


@each_kind
@each_form
@pytest.mark.parametrize("worker_free", [False, True])
def test_a_wait_that_sets_nothing_special_ends_in_the_triggerer(kind: Any, make: Any, worker_free: bool) -> None:
    assert ends_in_trigger(make(kind, worker_free=worker_free))


@each_kind
@each_form
@pytest.mark.parametrize(
    "option",
    [
        {"pool": "slow", "pool_slots": 2},
        {"max_active_tis_per_dag": 1, "max_active_tis_per_dagrun": 1},
        {"inlets": [Asset("ideas")]},
        {"execution_timeout": timedelta(hours=1)},
        {"render_template_as_native_obj": True},
        {"seeany_task_id": "{{ macros.random() }}"},
        {"params": {"id": Param(type="string")}},
        {"retries": 3, "on_failure_callback": print, "on_retry_callback": print, "do_xcom_push": False},
        {"expect_callback": True},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_a_worker_has_applied_needs_none_at_the_end(kind: Any, make: Any, option: dict[str, Any]) -> None:
    waiting = make(kind, **option)
    in_worker = waiting.prepare_for_execution()
    in_worker.seeany_task_id = "rendered"

    assert ends_in_trigger(in_worker)


@each_kind
@each_form
@each_way_to_render
def test_how_a_dag_renders_needs_no_worker_at_the_end(kind: Any, make: Any, option: dict[str, Any]) -> None:
    with DAG("dag", schedule=None, **option):
        assert ends_in_trigger(make(kind))


@each_kind
@each_form
@pytest.mark.parametrize(
    "option",
    [
        {"on_execute_callback": print},
        {"on_success_callback": print},
        {"outlets": [Asset("videos")]},
        {"pre_execute": print},
        {"post_execute": print},
        {"map_index_template": "{{ task.task_id }}"},
        {"multiple_outputs": True},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_a_worker_does_at_a_success_takes_one(
    kind: Any, make: Any, option: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = option

    assert why_not(make(kind, **option), caplog) == f"it has {name}, which only a worker applies"


@each_kind
@each_form
@pytest.mark.parametrize("shape", ["own code", "own DAG", "newer Airflow", "mapped over", "many tasks"])
def test_what_a_triggerer_cannot_know_ends_in_a_worker(
    kind: Any, make: Any, shape: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(kind):  # type: ignore[misc]
        """Has code of its own."""

        def execute_complete(self, context: Any, event: Any) -> Any:
            """Do more."""

    class OurDag(DAG):
        """Does more."""

    @taskflow
    def each(item: Any) -> None: ...

    monkeypatch.setattr(worker_needed, "TO_END", dataclasses.replace(worker_needed.TO_END, dag_tasks=2))
    with (OurDag if shape == "own DAG" else DAG)("dag", schedule=None):
        waiting = make(Busy if shape == "own code" else kind)
        match shape:
            case "newer Airflow":
                waiting.of_a_newer_airflow = print
            case "mapped over":
                each.expand(item=waiting.dag.get_task("wait").output)
            case "many tasks":
                for number in range(2):
                    wait(kind, task_id=f"more_{number}")

    assert {
        "own code": "Busy has its own execute_complete",
        "own DAG": "its DAG is a OurDag",
        "newer Airflow": "it has of_a_newer_airflow",
        "mapped over": "each is mapped over it",
        "many tasks": "its DAG has 3 tasks",
    }[shape] in why_not(waiting, caplog)


@each_kind
def test_a_dag_that_is_being_made_stays_as_its_author_writes_it(kind: Any) -> None:
    """Defaults are those of a task that is made for that."""
    worker_needed._plain_task.cache_clear()
    with DAG("dag", schedule=None) as dag, TaskGroup("group") as group:
        wait(kind)
        assert worker_needed.worker_needed_to_end(dag.task_dict["group.wait"]) is None

    assert dag.task_ids == ["group.wait"]
    assert list(group.children) == ["group.wait"]


@each_kind
@pytest.mark.parametrize("what", ["metrics", "traces", "XCom backend", "listener"])
def test_what_airflow_does_only_in_a_worker_takes_one(
    kind: Any, what: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lineage:
        """Listens to tasks, as OpenLineage does."""

        @hookimpl
        def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
            """Note it."""

    class OurXCom(BaseXCom):
        """Stores values elsewhere."""

    from airflow.sdk.listener import get_listener_manager  # not in Airflow 3.1

    listener, manager = Lineage(), get_listener_manager()
    match what:
        case "metrics":
            monkeypatch.setattr(metrics, "is_on", lambda: True)
        case "traces":
            monkeypatch.setenv("AIRFLOW__TRACES__OTEL_ON", "True")
        case "XCom backend":
            monkeypatch.setattr(sdk, "XCom", OurXCom)
        case "listener":
            manager.add_listener(listener)
    try:
        assert {
            "metrics": "metrics are on",
            "traces": "traces are on",
            "XCom backend": "OurXCom stores XComs",
            "listener": "is called only for tasks in workers",
        }[what] in why_not(wait(kind), caplog)
    finally:
        if what == "listener":
            manager.pm.unregister(listener)


@each_kind
def test_an_airflow_whose_triggers_end_no_tasks_ends_the_wait_in_a_worker(
    kind: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_needed, "AIRFLOW_V_3_3_PLUS", False)

    assert why_not(wait(kind), caplog) == "it takes Airflow 3.3 or newer"


def test_a_wait_for_what_its_task_has_created_ends_in_a_worker() -> None:
    with DAG("dag", schedule=None):
        submit = SeeAnySubmitOperator(task_id="submit", create=lambda: {"id": "x"}, wait=True)

    assert not submit.ends_in_trigger
