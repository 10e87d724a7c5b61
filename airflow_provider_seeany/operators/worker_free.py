"""
Waiting without any worker: the scheduler starts the trigger itself, and the trigger ends the task.

A wait costs two worker processes otherwise: one that looks once and defers, one that pushes the result. On Airflow
3.3+ the triggerer can do both. What fails or times out still ends in a worker, so that the exception is the same as
always.

What Airflow applies in a worker does not apply to such a wait: pools, ``max_active_tis_per_dag`` and
``max_active_tis_per_dagrun``, ``pre_execute`` and ``post_execute``, asset events of ``outlets``, and the rendered
template fields in the UI.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import StartTriggerArgs

from airflow_provider_seeany.versions import airflow_is_at_least

if TYPE_CHECKING:
    from airflow_provider_seeany.operators.base import WaitsForTask

SWEEP_GRACE = timedelta(minutes=5)
"""
How long after the deadline Airflow may end the deferral itself. The trigger reports the time-out first, with a
better message; this is for a trigger that never runs, for want of a triggerer.
"""


TEMPLATED = ("seeany_task_id", "seeany_conn_id")
"""What is rendered of a wait, in a worker or in the triggerer."""

_RUNS_IN_A_WORKER = frozenset({"execute", "poke", "defer_wait", "execute_complete", "deliver"})


def sweep_timeout(seconds: float) -> timedelta:
    """Return the time limit for Airflow to set on the deferral of a wait of so many seconds."""
    return timedelta(seconds=seconds) + SWEEP_GRACE


def worker_needed_because(operator: WaitsForTask) -> str | None:
    """Return why this wait has to start in a worker, or ``None`` if it need not."""
    if not operator.deferrable:
        return "deferrable is off"
    if not airflow_is_at_least(3, 3):
        return "it takes Airflow 3.3 or newer"
    if not getattr(operator, "wait_for_completion", True):
        return "wait_for_completion is off"
    if not operator.has_dag():  # type: ignore[no-untyped-call]
        return "its DAG is not known where it is made"
    if unset := _params_without_a_value(operator):
        # Airflow 3.3's triggerer ends, and with it all its waits, when it looks at such a parameter.
        return f"the parameter {unset[0]!r} has no default"
    if operator.dag.user_defined_macros or operator.dag.user_defined_filters:
        return "its DAG has macros or filters of its own, which a triggerer does not know"
    if operator.execution_timeout is not None:
        # Airflow would shorten the limit of the deferral by it, from which the trigger tells its deadline.
        return "it has an execution_timeout, which limits work in a worker"
    if any(_template(getattr(operator, field)) is None for field in TEMPLATED):
        return "its id or connection is an XComArg that cannot be written as a template"
    if own := _RUNS_IN_A_WORKER & _written_by_others(type(operator)):
        return f"{type(operator).__name__} has its own {min(own)}(), which only a worker runs"
    return None


def start_trigger_args(operator: WaitsForTask) -> StartTriggerArgs:
    """Return what the scheduler makes the trigger of. A new object: one of the class would be every task's."""
    return StartTriggerArgs(
        trigger_cls="airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger",
        trigger_kwargs={
            # Rendered by the triggerer, because these names are template fields of the operator as well.
            **{field: _template(getattr(operator, field)) for field in TEMPLATED},
            "poll_interval": operator.interval,
            "max_poll_interval": operator.max_poll_interval,
            "callback_poll_interval": operator.callback_poll_interval if operator.expect_callback else None,
            "time_after_deadline": SWEEP_GRACE.total_seconds(),
            "timeout": operator.timeout,
            "ends_task": True,
            "do_xcom_push": operator.do_xcom_push,
        },
        next_method="execute_complete",
        timeout=sweep_timeout(operator.timeout),
    )


def _written_by_others(kind: type) -> set[str]:
    """Return the names that a user's subclasses of a sensor or operator of this provider define."""
    ours = (parent.__module__.startswith("airflow_provider_seeany.") for parent in kind.__mro__)
    theirs = takewhile(lambda pair: not pair[1], zip(kind.__mro__, ours, strict=True))
    return {name for parent, _ in theirs for name in vars(parent)}


def _params_without_a_value(operator: WaitsForTask) -> list[str]:
    """Return the parameters of an operator and its DAG that get their value only when a run is triggered."""
    groups: tuple[Any, ...] = (operator.params, operator.dag.params)
    return [name for group in groups for name in group if not group.get_param(name).has_value]


def _template(value: object) -> str | None:
    """
    Write a field's value as a string for the triggerer to render, or return ``None`` if that cannot be done.

    An XComArg would reach the trigger unresolved. The operator keeps its own, and with it the dependency.
    """
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if isinstance(value, PlainXComArg):
        if value.operator.is_mapped:
            return None
        return f"{{{{ ti.xcom_pull(task_ids={value.operator.task_id!r}, key={value.key!r}) }}}}"
    return value if isinstance(value, str) else None
