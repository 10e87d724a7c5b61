"""Every way to wait, with its outcomes: a DAG for each way, a task for each outcome."""

from __future__ import annotations

from airflow.sdk import DAG, get_parsing_context, task, task_group

from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from tests.system.outcomes_dag import outcomes_dag, wait_for
from tests.system.table import MODES

# A worker needs one of these DAGs, not all of them.
needed = get_parsing_context().dag_id
for mode in MODES:
    if needed in (None, f"outcomes_{mode}"):
        outcomes_dag(mode)


with DAG("xcoms_off", schedule=None):
    for mode in MODES:
        wait_for(f"video-0s-off-{mode}", mode=mode, task_id=mode, do_xcom_push=False)


with DAG("ids_from_upstream", schedule=None):

    @task(multiple_outputs=True)
    def submit() -> dict[str, str]:
        return {"id": "video-0s-submitted"}

    @task
    def submit_nothing() -> dict[str, str]:
        return {"not_the_id": "x"}

    submitted = submit()
    SeeAnyTaskSensor(task_id="xcom_arg", seeany_task_id=submitted["id"])
    submitted >> SeeAnyTaskSensor(task_id="template", seeany_task_id="{{ ti.xcom_pull(task_ids='submit')['id'] }}")
    nothing = submit_nothing()
    nothing >> SeeAnyTaskSensor(
        task_id="missing", seeany_task_id="{{ ti.xcom_pull(task_ids='submit_nothing').get('id') }}", retries=2
    )
    nothing >> SeeAnyTaskSensor(task_id="whole_answer", seeany_task_id=nothing, retries=2)
    # Airflow retries this one, as it may be a secrets backend that was down for a moment.
    SeeAnyTaskSensor(task_id="connection_failed", seeany_task_id="video-0s", seeany_conn_id="seeany_missing", retries=0)
    SeeAnyTaskSensor(task_id="no_key", seeany_task_id="video-0s", seeany_conn_id="seeany_no_key", retries=2)
    SeeAnyTaskResultOperator(
        task_id="not_waiting", seeany_task_id="never-not-waiting", wait_for_completion=False, retries=0
    )


with DAG("worker_free", schedule=None):

    @task
    def submit_one(label: str) -> str:
        return f"video-0s-{label}"

    @task_group
    def group(label: str) -> None:
        submitted_here = submit_one.override(task_id="submit_here")(label)
        SeeAnyTaskSensor(task_id="wait", seeany_task_id=submitted_here, worker_free=True)

    group.expand(label=["one", "two"])
    with_key = submit.override(task_id="submit_with_key")()
    SeeAnyTaskSensor(task_id="return_value", seeany_task_id=submit_one("return-value"), worker_free=True)
    SeeAnyTaskSensor(task_id="key", seeany_task_id=with_key["id"], worker_free=True)
    with_key >> SeeAnyTaskSensor(
        task_id="template",
        seeany_task_id="{{ ti.xcom_pull(task_ids='submit_with_key')['id'] }}",
        worker_free=True,
    )
    SeeAnyTaskSensor.partial(task_id="mapped", worker_free=True).expand(seeany_task_id=["video-0s-mapped"])
    # Succeeds at first and fails when it is cleared and runs again.
    SeeAnyTaskSensor(
        task_id="cleared",
        seeany_task_id="{{ 'video-0s-first' if ti.try_number == 1 else 'fails-0s-second' }}",
        worker_free=True,
    )
