"""Imports what DAG files and waits need into the process that forks, instead of anew in each process it forks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from importlib import import_module

_FOR_DAG_FILES = (
    "operators.budget",
    "operators.download",
    "operators.submit",
    "operators.task",
    "sensors.batch",
    "sensors.task",
    "wait.templates",
)
_FOR_WAITS = ("wait.batch", "wait.count", "wait.task", "api.blocking")


def preload_for_workers() -> None:
    """Import what a task needs into a scheduler whose executors fork: called before they do."""
    if _forks_workers():
        _import(_FOR_DAG_FILES + _FOR_WAITS)


def preload_for_dag_files() -> None:
    """
    Import what a DAG file needs into a DAG processor, which forks a process whenever it reads one.

    Airflow does so for the modules of its own that a file imports.
    """
    _import(_FOR_DAG_FILES)


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        import_module(f"airflow_provider_seeany.{module}")


def _forks_workers() -> bool:
    from airflow.executors.executor_loader import ExecutorLoader
    from airflow.executors.local_executor import LocalExecutor

    classes = [ExecutorLoader.import_executor_cls(name)[0] for name in ExecutorLoader.get_executor_names()]
    return multiprocessing.get_start_method() == "fork" and any(issubclass(each, LocalExecutor) for each in classes)
