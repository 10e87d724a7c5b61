"""Imports what a wait needs in a worker into the scheduler that forks the workers, instead of anew in each of them."""

from __future__ import annotations

import multiprocessing
from importlib import import_module

# Of a DAG file, and of a task that runs, which imports more of them when it needs them.
_MODULES = (
    "operators.task",
    "sensors.batch",
    "sensors.task",
    "wait.batch",
    "wait.count",
    "wait.task",
    "api.blocking",
)


def preload() -> None:
    """Import it if the executors of this scheduler fork: called before they do."""
    if _forks_workers():
        for module in _MODULES:
            import_module(f"airflow_provider_seeany.{module}")


def _forks_workers() -> bool:
    from airflow.executors.executor_loader import ExecutorLoader
    from airflow.executors.local_executor import LocalExecutor

    classes = [ExecutorLoader.import_executor_cls(name)[0] for name in ExecutorLoader.get_executor_names()]
    return multiprocessing.get_start_method() == "fork" and any(issubclass(each, LocalExecutor) for each in classes)
