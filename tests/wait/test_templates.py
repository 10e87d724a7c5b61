"""Which templates a triggerer is known to render as a worker does. That it does is tried in tests/system."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.sdk import task, task_group

from airflow_provider_seeany.wait.templates import unknown_in
from tests.system.ways import SAME_TEMPLATES, WORKER_TEMPLATES


@task
def submit(number: int = 0) -> dict[str, Any]:
    """Return what a task that submits would."""
    return {"id": f"x{number}"}


@pytest.fixture(scope="module")
def dag() -> DAG:
    """Return a DAG in which something is submitted once, and in which it is several times."""
    with DAG("dag", schedule=None) as made:
        submit()
        submit.override(task_id="submit_each").expand(number=[1, 2])

        @task_group
        def group(number: int) -> None:
            submit.override(task_id="submit")(number)

        group.expand(number=[1, 2])
    return made


@pytest.mark.parametrize(
    "template",
    [
        *SAME_TEMPLATES.values(),
        "",
        "no {template} % at all",
        "{# a comment #}x",
        "{{ ti.xcom_pull('group.submit', map_indexes=ti.map_index) }}",
        "{{ ti.xcom_pull('submit', map_indexes=-1)['id'] }}",
    ],
)
def test_what_was_tried_is_known(dag: DAG, template: str) -> None:
    assert unknown_in(f"video-{template}", dag) is None


@pytest.mark.parametrize(
    ("template", "named"),
    [
        *((template, "") for template in WORKER_TEMPLATES.values()),
        ("{{ prev_data_interval_start_success }}", "'prev_data_interval_start_success'"),
        ("{{ prev_end_date_success.isoformat() }}", "'prev_end_date_success.isoformat(…)'"),
        ("{{ logical_date }}", "'logical_date'"),
        ("{{ logical_date | ds }}", "'| ds'"),
        ("{{ conn.studio.host }}", "'conn'"),
        ("{{ var.json.x }}", "'var'"),
        ("{{ outlet_events }}", "'outlet_events'"),
        ("{{ triggering_asset_events }}", "'triggering_asset_events'"),
        ("{{ task.task_id }}", "'task'"),
        ("{{ dag.dag_id }}", "'dag'"),
        ("{{ dag_run }}", "'dag_run'"),
        ("{{ dag_run.start_date }}", "'dag_run.start_date'"),
        ("{{ dag_run.get_task_instances() }}", "'dag_run.get_task_instances(…)'"),
        ("{{ ti }}", "'ti'"),
        ("{{ ti.start_date }}", "'ti.start_date'"),
        ("{{ ti['task_id'] }}", "'ti'"),
        ("{{ ti.get_previous_ti() }}", "'ti.get_previous_ti(…)'"),
        ("{{ ti.xcom_pull }}", "'ti.xcom_pull'"),
        ("{{ ti.xcom_pull() }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('unknown') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit_each') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('group.submit') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull(['submit']) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull(params.task) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', 'other_dag') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', none, 'id', true) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', key=params.key) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', default='x') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', run_id='other') }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', include_prior_dates=true) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit', map_indexes=none) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull('submit_each', map_indexes=[0, 1]) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull(*['submit']) }}", "'ti.xcom_pull(…)'"),
        ("{{ ti.xcom_pull(**{'task_ids': 'submit'}) }}", "'ti.xcom_pull(…)'"),
        ("{{ task_instance.log_url }}", "'task_instance.log_url'"),
        ("{{ params.plain.__class__ }}", "'.__class__'"),
        ("{{ params.plain.upper() }}", "'.upper"),
        ("{{ params.x | random }}", "'| random'"),
        ("{{ params.x | map(attribute='id') | first }}", "'| map'"),
        ("{{ range(3) | first }}", "'range(…)'"),
        ("{{ get(params) }}", "'get(…)'"),
        ("{{ params.get(ti.start_date) }}", "'ti.start_date'"),
        ("{{ params[ti.start_date] }}", "'ti.start_date'"),
        ("{{ 'a' if prev_start_date_success else 'b' }}", "'prev_start_date_success'"),
        ("{{ params.x is defined }}", "test"),
        ("{% if params.x %}a{% endif %}", "if"),
        ("{% set ti = params %}{{ ti.run_id }}", "assign"),
        ("{% include 'other.txt' %}", "include"),
        ("{% for x in params.x %}{{ x }}{% endfor %}", "for"),
        ("{{ params.", "a syntax error"),
    ],
)
def test_anything_else_is_not_and_is_named(dag: DAG, template: str, named: str) -> None:
    unknown = unknown_in(f"video-{template}", dag)

    assert unknown is not None
    assert named in unknown
