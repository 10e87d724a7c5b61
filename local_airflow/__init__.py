"""A real Airflow for demo and tests: separate processes, a private home, 127.0.0.1 only."""

from __future__ import annotations

from local_airflow.client import AirflowClient, ApiError, DagImportError, WaitTimeoutError
from local_airflow.instance import PROCESSES, LocalAirflow
from local_airflow.processes import Component, ComponentDiedError
from local_airflow.values import DagRun, ImportFailure, Job, TaskInstance

__all__ = [
    "PROCESSES",
    "AirflowClient",
    "ApiError",
    "Component",
    "ComponentDiedError",
    "DagImportError",
    "DagRun",
    "ImportFailure",
    "Job",
    "LocalAirflow",
    "TaskInstance",
    "WaitTimeoutError",
]
