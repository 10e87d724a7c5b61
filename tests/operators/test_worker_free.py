"""Which waits start without a worker, and what the scheduler makes their trigger of."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.sdk import Param
from airflow.sdk import task as taskflow

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.operators.worker_free import SWEEP_GRACE
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.hostile import HostileServer, task
from tests.waits import KINDS, deferred, interval, starts_triggers, wait

each_kind = pytest.mark.parametrize("kind", KINDS)


@taskflow
def submit(number: int = 0) -> dict[str, Any]:
    """Return what a task that submits would."""
    return {"id": f"x{number}"}


def needs_a_worker(waiting: Any) -> bool:
    """Tell whether a wait starts in a worker."""
    assert waiting.start_from_trigger == (waiting.start_trigger_args is not None)
    return not waiting.start_from_trigger


@starts_triggers
@each_kind
def test_the_scheduler_is_told_all_that_the_trigger_has_to_know(kind: Any) -> None:
    template = "{{ ti.xcom_pull(task_ids='submit')['id'] }}"
    waiting = wait(
        kind,
        template,
        seeany_conn_id="studio",
        worker_free=True,
        timeout=timedelta(hours=2),
        max_poll_interval=45,
        do_xcom_push=False,
        **interval(kind, 12),
    )

    assert not needs_a_worker(waiting)
    args = waiting.start_trigger_args
    assert args.trigger_cls == f"{SeeAnyTaskTrigger.__module__}.{SeeAnyTaskTrigger.__qualname__}"
    assert args.next_method == "execute_complete"
    assert args.timeout == timedelta(hours=2) + SWEEP_GRACE
    assert args.trigger_kwargs == {
        "seeany_task_id": template,
        "seeany_conn_id": "studio",
        "poll_interval": 12,
        "max_poll_interval": 45,
        "callback_poll_interval": None,
        "time_after_deadline": SWEEP_GRACE.total_seconds(),
        "timeout": 7200,
        "ends_task": True,
        "do_xcom_push": False,
    }
    assert SeeAnyTaskTrigger(**args.trigger_kwargs).serialize()[1].items() >= args.trigger_kwargs.items()


@starts_triggers
@each_kind
def test_each_wait_has_arguments_of_its_own(kind: Any) -> None:
    one, two = wait(kind, "one", worker_free=True), wait(kind, "two", worker_free=True)

    assert one.start_trigger_args is not two.start_trigger_args
    assert one.start_trigger_args.trigger_kwargs["seeany_task_id"] == "one"
    assert two.start_trigger_args.trigger_kwargs["seeany_task_id"] == "two"
    assert needs_a_worker(wait(kind, "three", worker_free=False))
    assert kind.start_trigger_args is None


@starts_triggers
@each_kind
@pytest.mark.parametrize("key", [None, "id"])
def test_the_id_may_be_the_output_of_an_upstream_task_which_stays_upstream(kind: Any, key: str | None) -> None:
    with DAG("dag", schedule=None):
        submitted: Any = submit()
        waiting = wait(kind, submitted[key] if key else submitted, worker_free=True)

    assert not needs_a_worker(waiting)
    assert waiting.start_trigger_args.trigger_kwargs["seeany_task_id"] == (
        f"{{{{ ti.xcom_pull(task_ids='submit', key={key or 'return_value'!r}) }}}}"
    )
    assert waiting.upstream_task_ids == {"submit"}


@each_kind
@pytest.mark.parametrize("shape", ["map", "zip", "mapped upstream", "not a string"])
def test_an_id_that_only_a_worker_can_work_out_starts_in_a_worker(kind: Any, shape: str) -> None:
    with DAG("dag", schedule=None):
        submitted: Any = submit()
        values = {
            "map": lambda: submitted.map(lambda value: value),
            "zip": lambda: submitted.zip(submitted),
            "mapped upstream": lambda: submit.override(task_id="mapped").expand(number=[1, 2]),
            "not a string": lambda: ["x"],
        }
        waiting = wait(kind, values[shape](), worker_free=True)

    assert needs_a_worker(waiting)


@each_kind
def test_a_wait_that_is_not_deferrable_starts_in_a_worker(kind: Any) -> None:
    assert needs_a_worker(wait(kind, worker_free=True, deferrable=False))


@starts_triggers
@each_kind
def test_a_subclass_whose_code_has_to_run_starts_in_a_worker_and_says_so(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calm = type("Calm", (kind,), {"ui_color": "#fff", "template_fields": (*kind.template_fields, "note"), "note": ""})
    busy = type("Busy", (calm,), {"execute_complete": lambda self, context, event: None})

    assert not needs_a_worker(wait(calm, worker_free=True))
    waiting = wait(busy, worker_free=True)
    assert needs_a_worker(waiting)
    with caplog.at_level(logging.INFO):
        waiting.explain_worker()
    assert "Busy has its own execute_complete(), which only a worker runs" in caplog.text


@starts_triggers
@each_kind
def test_an_execution_timeout_which_airflow_would_take_for_the_waits_own_starts_in_a_worker(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = wait(kind, worker_free=True, execution_timeout=timedelta(hours=1))

    assert needs_a_worker(waiting)
    with caplog.at_level(logging.INFO):
        waiting.explain_worker()
    assert "it has an execution_timeout" in caplog.text


@starts_triggers
@each_kind
@pytest.mark.parametrize("of", ["the DAG", "the task"])
def test_a_parameter_without_a_default_which_would_end_the_triggerer_starts_in_a_worker(kind: Any, of: str) -> None:
    unset, default = {"id": Param(type="string")}, {"id": Param("x", type="string")}
    for params, needs in ((unset, True), (default, False)):
        with DAG("dag", schedule=None, params=params if of == "the DAG" else None):
            waiting = wait(kind, worker_free=True, params=params if of == "the task" else None)

        assert needs_a_worker(waiting) is needs


@starts_triggers
@each_kind
@pytest.mark.parametrize("own", ["user_defined_macros", "user_defined_filters"])
def test_a_dag_with_macros_of_its_own_which_no_triggerer_knows_starts_in_a_worker(kind: Any, own: str) -> None:
    with DAG("dag", schedule=None, **{own: {"vid": str}}):
        assert needs_a_worker(wait(kind, worker_free=True))


@starts_triggers
def test_an_operator_that_shall_not_wait_starts_in_a_worker() -> None:
    assert needs_a_worker(wait(SeeAnyTaskResultOperator, worker_free=True, wait_for_completion=False))


@starts_triggers
@each_kind
def test_a_wait_made_without_a_dag_starts_in_a_worker(kind: Any) -> None:
    assert needs_a_worker(kind(task_id="wait", seeany_task_id="x", worker_free=True))


@each_kind
def test_an_airflow_that_starts_no_triggers_starts_the_wait_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(airflow, "__version__", "3.2.9")

    assert needs_a_worker(wait(kind, worker_free=True))


@starts_triggers
@each_kind
@pytest.mark.parametrize("version", ["3.3.0", "3.3.0rc1", "3.10.1", "4.0.0"])
def test_any_newer_airflow_starts_the_wait_without_a_worker(
    monkeypatch: pytest.MonkeyPatch, kind: Any, version: str
) -> None:
    monkeypatch.setattr(airflow, "__version__", version)

    assert not needs_a_worker(wait(kind, worker_free=True))


@each_kind
def test_a_wait_starts_in_a_worker_unless_told_otherwise(kind: Any) -> None:
    assert needs_a_worker(wait(kind))


@starts_triggers
@each_kind
def test_the_option_counts_where_the_dag_says_nothing(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__WORKER_FREE", "True")
    assert not needs_a_worker(wait(kind))
    assert needs_a_worker(wait(kind, worker_free=False))

    monkeypatch.setenv("AIRFLOW__SEEANY__WORKER_FREE", "False")
    assert needs_a_worker(wait(kind))
    assert not needs_a_worker(wait(kind, worker_free=True))


@each_kind
def test_the_log_says_why_a_wait_that_should_need_no_worker_is_in_one(
    hostile: HostileServer, connect: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    connect(host=hostile.url)
    hostile.script(task())
    monkeypatch.setattr(airflow, "__version__", "3.2.9")

    with caplog.at_level(logging.INFO):
        deferred(wait(kind, worker_free=True))

    assert "this wait starts in a worker: it takes Airflow 3.3 or newer" in caplog.text


@each_kind
def test_the_log_does_not_explain_what_nobody_asked_for(
    hostile: HostileServer, connect: Any, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    connect(host=hostile.url)
    hostile.script(task())

    with caplog.at_level(logging.INFO):
        deferred(wait(kind))

    assert "worker_free" not in caplog.text
