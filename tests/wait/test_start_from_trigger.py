"""Which waits start without a worker, and the arguments of their trigger."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.listeners import hookimpl
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow.sdk import Asset, Param, task_group
from airflow.sdk import task as taskflow

from airflow_provider_seeany.api.settings import DEFER_GRACE
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from airflow_provider_seeany.wait import worker_needed
from tests.hostile import HostileServer, task
from tests.waits import (
    KINDS,
    WORKER_FREE,
    deferred,
    each_way_to_render,
    interval,
    mapped_wait,
    starts_triggers,
    wait,
)

each_kind = pytest.mark.parametrize("kind", KINDS)


@taskflow
def submit(number: int = 0) -> dict[str, Any]:
    """Return what a task that submits would."""
    return {"id": f"x{number}"}


def needs_a_worker(waiting: Any) -> bool:
    """Return whether a wait starts in a worker."""
    assert waiting.start_from_trigger == (waiting.start_trigger_args is not None)
    return not waiting.start_from_trigger


@starts_triggers
@each_kind
def test_the_scheduler_is_given_all_that_the_trigger_needs(kind: Any) -> None:
    template = "{{ ti.xcom_pull(task_ids='submit')['id'] }}"
    with DAG("dag", schedule=None):
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
        submit()  # which is known only once the whole DAG is

    assert not needs_a_worker(waiting)
    args = waiting.start_trigger_args
    assert args.trigger_cls == f"{SeeAnyTaskTrigger.__module__}.{SeeAnyTaskTrigger.__qualname__}"
    assert args.next_method == "execute_complete"
    assert args.timeout == timedelta(hours=2) + DEFER_GRACE
    assert args.trigger_kwargs == {
        "seeany_task_id": template,
        "seeany_conn_id": "studio",
        "settings": {
            "poll_interval": 12,
            "max_poll_interval": 45,
            "timeout": 7200,
            "do_xcom_push": False,
            "accept_partial": True,
            "expect_callback": False,
            "callback_poll_interval": 120,
        },
        "expected_duration": None,
        **WORKER_FREE,
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
        f"{{{{ ti.xcom_pull(task_ids='submit', key={key or 'return_value'!r}, map_indexes=-1) | default('', true) }}}}"
    )
    assert waiting.upstream_task_ids == {"submit"}


@starts_triggers
@each_kind
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (40, 40),
        ("40.0", "40.0"),
        (timedelta(minutes=1), 60),
        ("{{ ti.xcom_pull(task_ids='submit').get('wait_time') }}",) * 2,
        (
            "an XComArg",
            "{{ ti.xcom_pull(task_ids='submit', key='wait_time', map_indexes=-1) | default('', true) }}",
        ),
    ],
    ids=str,
)
def test_the_expected_duration_is_rendered_in_the_triggerer(kind: Any, given: Any, sent: Any) -> None:
    with DAG("dag", schedule=None):
        submitted: Any = submit()
        given = submitted["wait_time"] if given == "an XComArg" else given
        waiting = wait(kind, submitted["id"], worker_free=True, expected_duration=given)

    assert not needs_a_worker(waiting)
    assert waiting.start_trigger_args.trigger_kwargs["expected_duration"] == sent


@starts_triggers
@each_kind
@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ("macro", "'macros.random(…)' in expected_duration may not be the same in a triggerer"),
        ("map", "expected_duration is a MapXComArg that cannot be written as a template"),
    ],
)
def test_an_expected_duration_that_only_a_worker_can_work_out_starts_in_a_worker(
    kind: Any, shape: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with DAG("dag", schedule=None):
        submitted: Any = submit()
        given = "{{ macros.random() }}" if shape == "macro" else submitted.map(lambda value: value)
        waiting = wait(kind, worker_free=True, expected_duration=given)

    assert why in reason(waiting, caplog)


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


def reason(waiting: Any, caplog: pytest.LogCaptureFixture) -> str:
    """Return the log's reason why a wait is in a worker."""
    assert needs_a_worker(waiting)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        waiting.log_why_worker()
    (line,) = caplog.messages
    return line.partition("this wait starts in a worker: ")[2]


def code(self: Any, context: Any, *more: Any) -> None:
    """Stand for code that a user wrote."""


@starts_triggers
@each_kind
@pytest.mark.parametrize(
    "own",
    [
        *({name: code} for name in ("execute_complete", "pre_execute", "post_execute", "render_template_fields")),
        {"xcom_push": code, "ui_color": "#fff"},
        {"template_fields": ("seeany_task_id", "seeany_conn_id", "note"), "note": "{{ 1 / 0 }}"},
        {"template_ext": (".txt",)},
        {"operator_extra_links": ()},
        {"on_kill": code},
        {"what a newer Airflow calls": code},
    ],
    ids=lambda own: next(iter(own)),
)
@pytest.mark.parametrize("mixed_in", ["in it", "before it", "behind it"])
def test_a_subclass_whose_code_has_to_run_starts_in_a_worker_and_says_so(
    kind: Any, own: dict[str, Any], mixed_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    if mixed_in == "in it":
        busy = type("Busy", (kind,), own)
    else:
        mixin = type("Busy", (BaseOperator,), own)
        busy = type("Mixed", (mixin, kind) if mixed_in == "before it" else (kind, mixin), {})

    why = reason(wait(busy, worker_free=True), caplog)
    assert why in {f"Busy has its own {name}, which only a worker uses" for name in own}


@starts_triggers
@each_kind
def test_a_subclass_that_only_fills_in_parameters_needs_no_worker(kind: Any) -> None:
    def fill_in(self: Any, **kwargs: Any) -> None:
        kind.__init__(self, seeany_conn_id="studio", queue="slow", **kwargs)

    calm = type("Calm", (kind,), {"__doc__": "Ours.", "__init__": fill_in, "ui_color": "#fff"})
    waiting = wait(calm, worker_free=True)

    assert not needs_a_worker(waiting)
    assert waiting.start_trigger_args.trigger_kwargs["seeany_conn_id"] == "studio"


@starts_triggers
@each_kind
@pytest.mark.parametrize(
    "option",
    [
        {"execution_timeout": timedelta(hours=1)},
        {"on_execute_callback": print},
        {"on_success_callback": [print, print]},
        {"outlets": [Asset("videos")]},
        {"inlets": [Asset("ideas")]},
        {"pool": "slow"},
        {"pool_slots": 2},
        {"max_active_tis_per_dag": 1},
        {"max_active_tis_per_dagrun": 1},
        {"pre_execute": print},
        {"post_execute": print},
        {"map_index_template": "{{ task.task_id }}"},
        {"multiple_outputs": True},
        {"render_template_as_native_obj": True},
        {"logger_name": "videos"},
    ],
    ids=lambda option: next(iter(option)),
)
@pytest.mark.parametrize("given", ["at once", "by the DAG"])
def test_what_only_a_worker_applies_starts_in_one_and_the_log_says_so(
    kind: Any, option: dict[str, Any], given: str, caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = option
    if given == "at once":
        waiting = wait(kind, worker_free=True, **option)
    else:
        with DAG("dag", schedule=None, default_args=option):
            waiting = wait(kind, worker_free=True)

    assert (
        reason(waiting, caplog)
        == f"it has {'_logger_name' if name == 'logger_name' else name}, which only a worker applies"
    )


@starts_triggers
@each_kind
@pytest.mark.parametrize("name", ["outlets", "on_success_callback", "execute", "of_a_newer_airflow"])
def test_what_is_set_later_counts_too(kind: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    waiting = wait(kind, worker_free=True)
    assert not needs_a_worker(waiting)

    if name == "outlets":
        waiting.add_outlets([Asset("videos")])
    else:
        setattr(waiting, name, [print])

    assert reason(waiting, caplog) == f"it has {name}, which only a worker applies"


@starts_triggers
@each_kind
@pytest.mark.parametrize(
    "option",
    [
        {"trigger_rule": "all_done", "depends_on_past": True, "wait_for_downstream": True},
        {"start_date": datetime(2026, 1, 1, tzinfo=UTC), "end_date": datetime(2027, 1, 1, tzinfo=UTC)},
        {"priority_weight": 7, "weight_rule": "absolute", "queue": "slow", "executor_config": {"pod": 1}},
        {"retries": 3, "retry_delay": timedelta(seconds=1), "max_retry_delay": 5, "retry_exponential_backoff": True},
        {"on_failure_callback": print, "on_retry_callback": print, "on_skipped_callback": print},
        {"owner": "me", "doc_md": "# It", "task_display_name": "It", "params": {"a": 1}, "do_xcom_push": False},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_is_applied_elsewhere_needs_no_worker(kind: Any, option: dict[str, Any]) -> None:
    assert not needs_a_worker(wait(kind, worker_free=True, **option))


@starts_triggers
@each_kind
@each_way_to_render
def test_what_a_dag_sets_and_no_triggerer_knows_starts_in_a_worker(
    kind: Any, option: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with DAG("dag", schedule=None, **option):
        waiting = wait(kind, worker_free=True)

    assert reason(waiting, caplog) == f"its DAG has {next(iter(option))}, which a triggerer does not apply"


@starts_triggers
@each_kind
def test_what_a_dag_sets_for_the_scheduler_needs_no_worker(kind: Any) -> None:
    options: dict[str, Any] = {
        "schedule": "@daily",
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": True,
        "max_active_runs": 2,
        "max_active_tasks": 2,
        "dagrun_timeout": timedelta(hours=3),
        "on_success_callback": print,
        "on_failure_callback": print,
        "fail_fast": True,
        "tags": ["videos"],
        "doc_md": "# It",
        "default_args": {"retries": 2},
        "template_searchpath": "/srv",
    }
    with DAG("dag", description="It", **options):
        assert not needs_a_worker(wait(kind, worker_free=True))


@starts_triggers
@each_kind
def test_a_dag_of_a_class_of_its_own_starts_in_a_worker(kind: Any) -> None:
    class OurDag(DAG):
        """Renders in its own way."""

    with OurDag("dag", schedule=None):
        assert needs_a_worker(wait(kind, worker_free=True))


MAPPED: dict[str, Any] = {
    "expand": lambda output: submit.expand(number=output),
    "expand_kwargs": lambda output: submit.expand_kwargs(output),
    "map": lambda output: submit.expand(number=output.map(lambda item: item)),
    "zip": lambda output: submit.expand(number=output.zip(output)),
    "concat": lambda output: submit.expand(number=output.concat(output)),
    "operator": lambda output: SeeAnyTaskSensor.partial(task_id="each").expand(seeany_task_id=output),
    "operator_kwargs": lambda output: SeeAnyTaskSensor.partial(task_id="each").expand_kwargs(output),
    "group": lambda output: task_group(group_id="group")(lambda number: submit(number)).expand(number=output),
    "group_kwargs": lambda output: task_group(group_id="group")(lambda number: submit(number)).expand_kwargs(output),
}


@starts_triggers
@each_kind
@pytest.mark.parametrize("how", MAPPED)
def test_a_wait_that_something_is_mapped_over_starts_in_a_worker(
    kind: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with DAG("dag", schedule=None):
        waiting = wait(kind, worker_free=True)
        other = wait(kind, task_id="other", worker_free=True)
        waiting >> other
        assert not needs_a_worker(waiting)  # which is not known yet
        MAPPED[how](waiting.output)

    assert "is mapped over it" in reason(waiting, caplog)
    assert not needs_a_worker(other)


@starts_triggers
@each_kind
def test_a_mapped_wait_starts_in_a_worker_as_airflow_s_scheduler_starts_no_trigger_for_one(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert reason(mapped_wait(kind, worker_free=True), caplog) == "Airflow starts mapped tasks in a worker"


@starts_triggers
@each_kind
def test_what_is_mapped_behind_a_wait_but_not_over_it_is_none_of_its_business(kind: Any) -> None:
    with DAG("dag", schedule=None):
        waiting = wait(kind, worker_free=True)
        waiting >> submit.expand(number=[1, 2])
        submit.override(task_id="reads")(waiting.output)

    assert not needs_a_worker(waiting)


@starts_triggers
@each_kind
def test_a_wait_that_is_the_result_of_its_dag_starts_in_a_worker(kind: Any) -> None:
    with DAG("dag", schedule=None) as dag:
        waiting = wait(kind, worker_free=True)
        dag.add_result(waiting.output)

    assert needs_a_worker(waiting)


@starts_triggers
@each_kind
def test_a_listener_that_is_called_only_for_tasks_in_workers_starts_them_there(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Lineage:
        """Listens to tasks, as OpenLineage does."""

        @hookimpl
        def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
            """Note it."""

    class Process:
        """Listens to the processes of Airflow alone."""

        @hookimpl
        def on_starting(self, component: Any) -> None:
            """Note it."""

    from airflow.sdk.listener import get_listener_manager

    manager = get_listener_manager()
    listeners = Process(), Lineage()
    try:
        manager.add_listener(listeners[0])
        assert not needs_a_worker(wait(kind, worker_free=True))
        manager.add_listener(listeners[1])
        assert "is called only for tasks in workers" in reason(wait(kind, worker_free=True), caplog)
    finally:
        for listener in listeners:
            manager.pm.unregister(listener)


@starts_triggers
@each_kind
def test_where_triggers_have_queues_a_wait_starts_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")

    assert "queues_enabled is on" in reason(wait(kind, worker_free=True), caplog)


@starts_triggers
@each_kind
def test_an_airflow_in_which_something_has_moved_starts_the_wait_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kind, "iter_mapped_dependants", lambda self: self.moved_elsewhere)

    assert "could not be found out" in reason(wait(kind, worker_free=True), caplog)


@starts_triggers
@each_kind
def test_the_stored_dag_has_what_was_decided_when_it_was_complete(kind: Any) -> None:
    with DAG("dag", schedule=None) as dag:
        for name in ("free", "mapped_over"):
            wait(kind, task_id=name, worker_free=True)
        wait(kind, task_id="classic")
        kind.partial(task_id="mapped", worker_free=True).expand(seeany_task_id=["x"])
        submit.expand(number=dag.get_task("mapped_over").output)

    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    for name in ("free", "mapped_over", "classic", "mapped"):
        assert stored.get_task(name).start_from_trigger is (name == "free")
        assert bool(stored.get_task(name).start_trigger_args) is (name == "free")


@starts_triggers
@each_kind
@pytest.mark.parametrize("of", ["the DAG", "the task"])
def test_a_parameter_without_a_default_which_would_end_the_triggerer_starts_in_a_worker(kind: Any, of: str) -> None:
    unset, default = {"id": Param(type="string")}, {"id": Param("x")}
    for params, needs in ((unset, True), (default, False)):
        with DAG("dag", schedule=None, params=params if of == "the DAG" else None):
            waiting = wait(kind, worker_free=True, params=params if of == "the task" else None)

        assert needs_a_worker(waiting) is needs


@starts_triggers
@each_kind
def test_a_parameter_that_only_a_worker_checks_starts_in_a_worker(kind: Any) -> None:
    class OurParam(Param):
        """Checks in its own way."""

    checked = {"id": Param("x", type="string")}
    with DAG("dag", schedule=None, params=checked):  # when the run is created
        assert not needs_a_worker(wait(kind, worker_free=True))
    assert needs_a_worker(wait(kind, worker_free=True, params=checked))
    assert needs_a_worker(wait(kind, worker_free=True, params={"id": OurParam("x")}))


@starts_triggers
def test_an_operator_that_shall_not_wait_starts_in_a_worker() -> None:
    assert needs_a_worker(wait(SeeAnyTaskResultOperator, worker_free=True, wait_for_completion=False))


@starts_triggers
@each_kind
def test_a_wait_in_a_large_dag_starts_in_a_worker_though_it_ends_in_the_triggerer(kind: Any) -> None:
    with DAG("dag", schedule=None):
        waits = [
            wait(kind, task_id=f"wait_{number}", worker_free=True) for number in range(worker_needed.TO_START.dag_tasks)
        ]
        assert not needs_a_worker(waits[0])
        wait(kind, task_id="one_more")

    assert needs_a_worker(waits[0])
    assert worker_needed.worker_needed_to_end(waits[0]) is None


@starts_triggers
@each_kind
def test_a_wait_made_without_a_dag_starts_in_a_worker(kind: Any) -> None:
    assert needs_a_worker(kind(task_id="wait", seeany_task_id="x", worker_free=True))


@each_kind
def test_an_airflow_that_starts_no_triggers_starts_the_wait_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(worker_needed, "AIRFLOW_V_3_3_PLUS", False)

    assert needs_a_worker(wait(kind, worker_free=True))


@each_kind
def test_a_wait_starts_in_a_worker_by_default(kind: Any) -> None:
    assert needs_a_worker(wait(kind))


@starts_triggers
@each_kind
def test_the_option_counts_where_the_dag_sets_nothing(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
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
    monkeypatch.setattr(worker_needed, "AIRFLOW_V_3_3_PLUS", False)

    with caplog.at_level(logging.INFO):
        deferred(wait(kind, worker_free=True))

    assert "this wait starts in a worker: it takes Airflow 3.3 or newer" in caplog.text


@starts_triggers
@each_kind
@pytest.mark.parametrize("seeany_task_id", ["{{ prev_start_date_success }}", "an XComArg"])
def test_the_log_names_the_template_although_the_worker_has_rendered_it(
    caplog: pytest.LogCaptureFixture, kind: Any, seeany_task_id: str
) -> None:
    with DAG("dag", schedule=None):
        mapped: Any = submit.expand(number=[1])
        waiting = wait(kind, mapped if seeany_task_id == "an XComArg" else seeany_task_id, worker_free=True)
    in_worker = waiting.prepare_for_execution()
    in_worker.seeany_task_id = "rendered"

    with caplog.at_level(logging.INFO):
        in_worker.log_why_worker()

    assert (
        "seeany_task_id is a PlainXComArg that cannot" in caplog.text
        or "'prev_start_date_success' in seeany_task_id" in caplog.text
    )


@each_kind
def test_the_log_explains_nothing_unless_worker_free_is_on(
    hostile: HostileServer, connect: Any, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    connect(host=hostile.url)
    hostile.script(task())

    with caplog.at_level(logging.INFO):
        deferred(wait(kind))

    assert "worker_free" not in caplog.text
