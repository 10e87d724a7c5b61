"""What is set on a wait, with and without a worker: shared by the DAG that runs it and the tests that compare."""

from __future__ import annotations

SUBMITTED = {"id": "submitted", "many": ["zero", "one"], "nothing": None}
CONF = {"of_run": {"id": "conf"}, "overridden": "by the run"}

# What a triggerer renders as a worker does, by name: the text after the beginning of an id.
SAME_TEMPLATES = {
    "text": "plain",
    "pull": "{{ ti.xcom_pull('submit')['id'] }}",
    "pull_named": "{{ ti.xcom_pull(task_ids='submit', key='return_value').id | upper }}",
    "pull_alias": "{{ task_instance.xcom_pull('submit').get('id') }}",
    "pull_item": "{{ ti.xcom_pull('submit')['many'][1] }}-{{ ti.xcom_pull('submit')['many'] | first }}",
    "pull_key": "{{ ti.xcom_pull('submit', key='many') | last }}",
    "pull_none": "{{ ti.xcom_pull('submit', key='not there') }}",
    "pull_of_mapped": "{{ ti.xcom_pull('submit_each', map_indexes=1) }}",
    "default": "{{ ti.xcom_pull('submit')['nothing'] | default('none', true) }}",
    "missing": "{{ ti.xcom_pull('submit')['not there'] | default('none') }}",
    "params": "{{ params.plain }}-{{ params['checked'] | replace('c', 'd') | trim }}-{{ params.nested.id | lower }}",
    "params_of_run": "{{ params.overridden }}",
    "conf": "{{ dag_run.conf['of_run']['id'] }}-{{ dag_run.conf.get('not there', 'none') }}",
    "run": "{{ run_id }}-{{ dag_run.run_id }}-{{ ti.run_id }}-{{ dag_run.dag_id }}-{{ ti.dag_id[:4] }}",
    "times": "{{ ds }}-{{ ds_nodash }}-{{ ts }}-{{ ts_nodash }}-{{ ts_nodash_with_tz }}",
    "numbers": "{{ ti.map_index }}-{{ 'first' if ti.try_number == 1 and not ti.map_index > 0 else 'later' }}",
    "arithmetic": "{{ '7' | int + 1 - 3 }}-{{ 'a' ~ 1 | string }}",
}

# What starts in a worker, and renders to the same there as ever.
WORKER_TEMPLATES = {
    "pull_mapped": "{{ ti.xcom_pull('submit_each')[1] }}",
    "previous": "{{ 'again' if prev_start_date_success else 'first' }}",
    "variable": "{{ var.value.get('not_there', 'none') }}",
    "macros": "{{ macros.ds_add(ds, 1) }}",
}

# What can be set on a wait that ends in the triggerer all the same.
SAME_OPTIONS = (
    "on_failure_callback",
    "on_skipped_callback",
    "trigger_rule",
    "queue_and_weight",
    "depends_on_past",
    "do_xcom_push_off",
    "setup",
    "own_look",
    "expected_duration",
    "xcom_arg",
)
FAILING = ("on_failure_callback", "on_skipped_callback")

# What takes a worker, by the word that the log has for it.
WORKER_OPTIONS = {
    "on_execute_callback": "on_execute_callback",
    "on_success_callback": "on_success_callback",
    "outlets": "outlets",
    "pool_slots": "pool_slots",
    "max_active": "max_active_tis_per_dagrun",
    "pre_execute": "pre_execute",
    "post_execute": "post_execute",
    "map_index": "map_index_template",
    "multiple_outputs": "multiple_outputs",
    "native": "render_template_as_native_obj",
    "own_code": "Busy has its own pre_execute",
    "expand": "expand_each is mapped over it",
    "expand_group": "expand_group_each is mapped over it",
}

STARTED_OPTIONS = ("pool_slots", "max_active", "native")
"""What of these takes a worker at the start only."""

WAYS = ("worker", "free", "deferred")
"""How each of them is run: with ``worker_free`` off and on, and off with a wait that has to leave its worker."""
