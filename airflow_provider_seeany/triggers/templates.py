"""The task instance as templates see it in a triggerer."""

from __future__ import annotations

from typing import Any


class TemplateTaskInstance:
    """
    A task instance with an ``xcom_pull`` that works in a triggerer.

    Airflow 3.3's triggerer does not know the message that ``xcom_pull`` sends without a map index, and never gets a
    response. So one is always given: that of a task which is not mapped, as templates that pull from mapped tasks start
    in a worker.
    """

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task_instance, name)

    def xcom_pull(self, *args: Any, map_indexes: int = -1, **kwargs: Any) -> Any:
        """Pull as the real one does."""
        return self._task_instance.xcom_pull(*args, map_indexes=map_indexes, **kwargs)
