"""Tasks that create a SeeAny task while both processes of their worker are killed: the task, and what watches it."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import requests
from airflow.sdk import DAG, get_current_context

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator


def die(*_: Any) -> None:
    """Kill both processes at the first try."""
    if get_current_context()["ti"].try_number == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def create(url: str, label: str, dies: str) -> Any:
    """Create a task at the counting server."""
    if dies == "before":
        die()
    response = requests.post(f"{url}/{label}", json={}, timeout=30)
    response.raise_for_status()
    if dies == "after":
        die()
    return response.json()


with DAG("lost_worker", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    for label, dies in (("before_the_call", "before"), ("before_the_store", "after"), ("after_the_store", "later")):
        SeeAnySubmitOperator(
            task_id=label,
            create=create,
            op_kwargs={"url": "{{ dag_run.conf['url'] }}", "label": label, "dies": dies},
            post_execute=die if dies == "later" else None,
        )
