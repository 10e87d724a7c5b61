"""Tasks that create a SeeAny task while their worker is killed at a certain moment of the first try."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import requests
from airflow.sdk import DAG, get_current_context

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator


def die(*_: Any) -> None:
    """Kill this worker at the first try, as the kernel does when memory is short."""
    if get_current_context()["ti"].try_number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def create(url: str, label: str, dies: str = "") -> Any:
    """Create a task at the counting server."""
    if dies == "before":
        die()
    response = requests.post(f"{url}/{label}", json={"pid": os.getpid()}, timeout=30)
    response.raise_for_status()
    if dies == "after":
        die()
    return response.json()


def submit(label: str, dies: str = "", **options: Any) -> SeeAnySubmitOperator:
    """Create a task under a label by which it is counted."""
    return SeeAnySubmitOperator(
        task_id=label,
        create=create,
        op_kwargs={"url": "{{ dag_run.conf['url'] }}", "label": f"{{{{ run_id }}}}/{label}", "dies": dies},
        **options,
    )


with DAG(
    "submits",
    schedule=None,
    max_active_tasks=100,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1), "poll_interval": 1},
):
    submit("before_the_intent", pre_execute=die)
    submit("before_the_call", dies="before")
    # The server kills this one.
    submit("during_the_call")
    submit("before_the_store", dies="after")
    submit("after_the_store", post_execute=die)
    submit("reused_by_a_clear", post_execute=die, on_clear="reuse")
    submit("refused_first")
    submit("wait", wait=True, post_execute=die)
    SeeAnySubmitOperator(
        task_id="by_payload",
        payload={"prompt": "a cat, images-0s-2x"},
        seeany_conn_id="seeany_submits",
        wait=True,
        post_execute=die,
    )
    SeeAnySubmitOperator.partial(task_id="mapped", create=create, post_execute=die).expand(
        op_kwargs=[
            {"url": "{{ dag_run.conf['url'] }}", "label": f"{{{{ run_id }}}}/mapped_{index}"} for index in range(2)
        ]
    )
