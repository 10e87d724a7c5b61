"""The DAGs with which the tests of the local Airflow run."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import dag, get_current_context, task


@dag(dag_id="plain")
def plain():
    """Push XComs, map a task and fail one."""

    @task
    def push():
        context = get_current_context()
        instance = context["ti"]
        instance.xcom_push(key="text", value="42")
        instance.xcom_push(key="number", value=1.5)
        instance.xcom_push(key="nothing", value=None)
        instance.xcom_push(key="with/slash and blank", value=[1, "two", None])
        print("the conf is", context["dag_run"].conf)
        of_the_shell = {"AIRFLOW_CONN_OF_THE_SHELL", "SOME_API_KEY"}
        print("the variables of the shell are", sorted(of_the_shell & set(os.environ)))
        return {"url": "https://example.com/a.mp4", "cost": 0.25, "tags": ["a", "b"], "paid": True}

    @task
    def double(number: int):
        return number * 2

    @task
    def fail():
        raise ValueError("this task fails on purpose")

    push()
    double.expand(number=[1, 2, 3])
    fail()


@dag(dag_id="waiting")
def waiting():
    """Wait in the triggerer."""
    TimeDeltaSensor(task_id="wait", delta=timedelta(seconds=12), deferrable=True)


plain()
waiting()
