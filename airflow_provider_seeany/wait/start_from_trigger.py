"""
Waiting with fewer workers: the scheduler starts the trigger itself, or the trigger ends the task, or both.

A wait otherwise costs two worker processes: one that polls once and defers, one that pushes the result. On Airflow
3.3+ the triggerer can do both. The second one it does wherever nothing of the task needs a worker at its success; the
first one only with ``worker_free``. A wait that fails or times out still ends in a worker, with the same exception.

``worker_needed`` says why a worker is needed nevertheless. Whether a wait starts in one is decided when Airflow reads
it to store the DAG, not in ``__init__``: what is mapped over a wait, and what is set on it by ``>>``, by a cluster
policy or by an assignment, comes later. Whether it ends in one is decided by the worker that defers it.

Lost in any case without a worker at the start, as they apply to every task: the limit of the default pool and of
``max_active_tasks``, the rendered template fields in the UI, and the metrics that a worker sends. At the end: the entry
in Airflow's audit log.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import BaseOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_seeany.wait.worker_needed import (
    TEMPLATE_FIELDS,
    as_template,
    worker_needed_to_end,
    worker_needed_to_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_seeany.api.settings import TaskSettings


class _DecidedLate:
    """An attribute of Airflow's operators that a wait computes when it is read, as its DAG is complete by then."""

    def __init__(self, decide: Callable[[Any], Any], *, of_class: object) -> None:
        self._decide = decide
        self._of_class = of_class

    def __get__(self, operator: Any, kind: type) -> Any:
        # Airflow copies the value of the class to mapped tasks, and reads the attribute during `__init__`, too.
        if operator is None or not getattr(operator, "_BaseOperator__instantiated", False):
            return self._of_class
        return self._decide(operator)


class StartsFromTrigger(BaseOperator):
    """Mixin for a wait for one task that the scheduler may start in the triggerer."""

    worker_free: bool
    deferrable: bool

    needs_worker: str | None = None
    """Why this kind of wait always starts and ends in a worker."""

    @property
    def wait_settings(self) -> TaskSettings:
        """The settings of the wait."""
        raise NotImplementedError

    @partial(_DecidedLate, of_class=False)
    def start_from_trigger(self) -> bool:
        """Whether Airflow starts the wait without a worker."""
        return bool(self.worker_free) and worker_needed_to_start(self) is None

    @partial(_DecidedLate, of_class=None)
    def start_trigger_args(self) -> StartTriggerArgs | None:
        """What the scheduler makes the trigger of. A new object each time: one of the class would be shared."""
        if not self.start_from_trigger:
            return None
        settings = self.wait_settings
        return StartTriggerArgs(
            trigger_cls="airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger",
            trigger_kwargs={
                # Rendered by the triggerer, because these names are template fields of the operator as well.
                **{field: as_template(self, field) for field in TEMPLATE_FIELDS},
                "settings": msgspec.to_builtins(settings),
                "start_from_trigger": True,
                "end_from_trigger": True,
            },
            next_method="execute_complete",
            timeout=settings.defer_timeout,
        )

    @property
    def began_in_trigger(self) -> bool:
        """Whether Airflow has started this wait without a worker, of a task that a worker resumes."""
        return bool(self._written.start_from_trigger)

    @cached_property
    def ends_in_trigger(self) -> bool:
        """Whether the trigger of this wait, which a worker is about to defer, ends it if it succeeds."""
        reason = worker_needed_to_end(self._written)
        if reason is not None:
            self.log.debug("This wait also ends in a worker: %s", reason)
        return reason is None

    @property
    def _written(self) -> StartsFromTrigger:
        """The task as the DAG has it, as in a worker its templates are rendered; a mapped one as the worker made it."""
        written = self.dag.task_dict.get(self.task_id) if self.has_dag() else None  # type: ignore[no-untyped-call]
        return written if isinstance(written, StartsFromTrigger) else self

    def log_why_worker(self) -> None:
        """Log why a wait that should be worker-free is in a worker, unless the DAG's author chose that."""
        if self.worker_free and self.deferrable:
            reason = worker_needed_to_start(self._written) or "Airflow starts the tasks of `dags test` in a worker"
            self.log.info("worker_free is on, but this wait starts in a worker: %s", reason)
