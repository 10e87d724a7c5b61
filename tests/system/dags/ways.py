"""Everything that can be set on a wait and that a worker may treat differently, with and without `worker_free`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, Param, task, task_group

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.ways import (
    FAILING,
    SAME_OPTIONS,
    SAME_TEMPLATES,
    SUBMITTED,
    WAYS,
    WORKER_OPTIONS,
    WORKER_TEMPLATES,
)


class Calm(SeeAnyTaskSensor):
    """Has another color."""

    ui_color = "#fff"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"timeout": 120, **kwargs})


def note(what: str) -> Callable[..., None]:
    """Return a callback that writes down that it was called."""

    def write(context: Any, result: Any = None) -> None:
        with (Path(os.environ["AIRFLOW_HOME"]) / "called.txt").open("a") as file:
            file.write(f"{context['ti'].task_id} {what}\n")

    return write


class Busy(SeeAnyTaskSensor):
    """Has code of its own."""

    def pre_execute(self, context: Any) -> None:
        """Write down that it was called."""
        note("own pre_execute")(context)


OPTIONS: dict[str, dict[str, Any]] = {
    "on_failure_callback": {"on_failure_callback": note("failure")},
    "on_skipped_callback": {"on_skipped_callback": note("skipped"), "soft_fail": True},
    "trigger_rule": {"trigger_rule": "all_done"},
    "queue_and_weight": {"queue": "default", "priority_weight": 3, "weight_rule": "absolute", "retries": 2},
    "depends_on_past": {"depends_on_past": True, "wait_for_downstream": True},
    "do_xcom_push_off": {"do_xcom_push": False},
    "own_look": {"kind": Calm},
    "expected_duration": {"expected_duration": "{{ params.nested['wait_time'] }}"},
    "on_execute_callback": {"on_execute_callback": note("execute")},
    "on_success_callback": {"on_success_callback": note("success")},
    "pool_slots": {"pool_slots": 2},
    "max_active": {"max_active_tis_per_dagrun": 1},
    "pre_execute": {"pre_execute": note("pre")},
    "post_execute": {"post_execute": note("post")},
    "map_index": {"map_index_template": "{{ task.task_id }}"},
    "multiple_outputs": {"multiple_outputs": True},
    # Airflow 3.1 takes this for a DAG only.
    "native": {"render_template_as_native_obj": True} if AIRFLOW_V_3_2_PLUS else {},
    "own_code": {"kind": Busy},
}


def wait_for(seeany_task_id: Any, *, way: str, kind: Any = SeeAnyTaskSensor, **options: Any) -> BaseOperator:
    """Make a task that waits in this way."""
    options.setdefault("timeout", 120)
    return kind(seeany_task_id=seeany_task_id, worker_free=way == "free", **options)


def map_over(name: str, output: Any, way: str) -> None:
    """Map something that costs no worker over a wait, as its name says."""
    child = f"{name}_each_{way}"
    match name:
        case "expand":
            EmptyOperator.partial(task_id=child).expand(doc=output)
        case "expand_group":

            @task_group(group_id=child)
            def group(item: Any) -> None:
                EmptyOperator(task_id="empty")

            group.expand(item=output)


with DAG(
    "ways",
    schedule=None,
    params={
        "plain": "p",
        "checked": Param("c", type="string"),
        "nested": {"id": "NESTED", "wait_time": 40},
        "overridden": "not by the run",
    },
):

    @task
    def submit(ti: Any) -> dict[str, Any]:
        ti.xcom_push(key="many", value=SUBMITTED["many"])
        return SUBMITTED

    @task
    def submit_id(way: str) -> str:
        return f"video-{3 if way == 'deferred' else 0}s-xcom_arg"

    @task
    def submit_each(label: str) -> str:
        return label

    @task
    def rendered(**context: Any) -> dict[str, str]:
        """Return what each template is in a worker."""
        return {name: context["task"].render_template(text, context) for name, text in SAME_TEMPLATES.items()}

    submitted, each = submit(), submit_each.expand(label=["zero", "one"])
    [submitted, each] >> rendered()

    for name, text in SAME_TEMPLATES.items():
        [submitted, each] >> wait_for(f"video-0s-{text}", way="free", task_id=f"template_{name}")
    # What a worker fails of does not go through: the DAG's environment is strict.
    submitted >> wait_for("video-0s-{{ params.not_there }}", way="free", task_id="undefined", timeout=30)
    for name, text in WORKER_TEMPLATES.items():
        [submitted, each] >> wait_for(f"video-0s-{text}", way="free", task_id=f"template_{name}")

    for way in WAYS:
        for name in (*SAME_OPTIONS, *WORKER_OPTIONS):
            options = OPTIONS.get(name, {})
            if name == "outlets":
                options = {"outlets": [Asset(f"ways_{way}")]}
            what = f"{'fails' if name in FAILING else 'video'}-{3 if way == 'deferred' else 0}s"
            wait = wait_for(
                submit_id(way) if name == "xcom_arg" else f"{what}-{name}",
                way=way,
                task_id=f"{name}_{way}",
                **options,
            )
            if name == "setup":
                wait.as_setup()
            map_over(name, wait.output, way)
