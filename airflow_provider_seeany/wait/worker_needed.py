"""
Why a wait needs a worker: to start, or to end.

A worker does more for a task than run it, and most of that does not happen in the triggerer. So a wait starts or ends
without a worker only if every attribute of the operator and its DAG either is listed here, by what applies it, or has
Airflow's default. An attribute that is not listed, as a newer Airflow may add, takes a worker.

A wait that a worker has started needs none at its end for what that worker has applied. But more is checked then, as it
is the default: nobody has accepted that something is lost.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEMPLATE_FIELDS = ("seeany_task_id", "seeany_conn_id", "expected_duration")
"""What is rendered of a wait, in a worker or in the triggerer."""

_KNOWN_OF_A_TASK = frozenset(
    """
    task_id task_group upstream_task_ids downstream_task_ids _dag is_setup is_teardown trigger_rule depends_on_past
    ignore_first_depends_on_past wait_for_past_depends_before_skipping wait_for_downstream start_date end_date
    priority_weight weight_rule _on_failure_fail_dagrun
    owner doc doc_md doc_json doc_yaml doc_rst _task_display_name
    email email_on_failure email_on_retry on_failure_callback on_retry_callback on_skipped_callback
    retries retry_delay retry_exponential_backoff max_retry_delay retry_policy soft_fail never_fail silent_fail
    executor executor_config queue run_as_user resources
    mode exponential_backoff max_wait
    params do_xcom_push allow_nested_operators _needs_expansion
    waiting_ti is_resumed began _shows_at
    _BaseOperator__init_kwargs _BaseOperator__from_mapped _BaseOperator__instantiated _lock_for_execution
    _cached_logger _log
    """.split()  # noqa: SIM905  by lines it can be read
)
"""
Attributes that take no worker, line by line: applied by the scheduler; shown in the UI; used by a
failure, which ends in a worker; where a worker would run; how a worker would poll; checked or applied here; what a wait
keeps while a worker runs it; Airflow's own bookkeeping.
"""

_KNOWN_OF_A_DAG = frozenset(
    """
    dag_id description schedule timetable timezone start_date end_date catchup max_active_tasks max_active_runs
    max_consecutive_failed_dag_runs dagrun_timeout deadline sla_miss_callback fail_fast allowed_run_types
    on_success_callback on_failure_callback has_on_success_callback has_on_failure_callback is_paused_upon_creation
    doc_md tags owner_links access_control dag_display_name edge_info
    default_args params template_searchpath
    task_dict task_group auto_register partial fileloc relative_fileloc last_loaded disable_bundle_versioning
    rerun_with_latest_version
    """.split()  # noqa: SIM905  by lines it can be read
)
"""
The same of a DAG: applied by the scheduler; shown in the UI; passed to the operator or checked here, and the path of
template files, of which a wait has none; how the DAG is loaded.
"""

_APPLIED_TO_A_TASK = frozenset(
    """
    pool pool_slots max_active_tis_per_dag max_active_tis_per_dagrun inlets execution_timeout
    render_template_as_native_obj
    """.split()  # noqa: SIM905  by lines it can be read
)
_APPLIED_TO_A_DAG = frozenset(
    """
    user_defined_macros user_defined_filters jinja_environment_kwargs template_undefined render_template_as_native_obj
    """.split()  # noqa: SIM905  by lines it can be read
)
"""What a worker has applied when it defers: limits on workers, and how templates are rendered."""

_KNOWN_OF_A_CLASS = frozenset(
    """
    __init__ __doc__ __module__ __qualname__ __annotations__ __annotate__ __annotate_func__ __annotations_cache__
    __parameters__ __orig_bases__ __abstractmethods__ _abc_impl __firstlineno__ __static_attributes__
    ui_color ui_fgcolor custom_operator_name
    """.split()  # noqa: SIM905  by lines it can be read
)
"""What a user's subclass may define: ``__init__``, whose result the attributes show, and its looks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a wait may have that does without a worker.

    :param dag_tasks: maximum number of tasks in its DAG, if there is one.
    :param of_task: attributes of the operator besides those that are known.
    :param of_dag: the same of its DAG.
    """

    dag_tasks: int | None = None
    of_task: frozenset[str] = frozenset()
    of_dag: frozenset[str] = frozenset()


# Airflow hands the whole DAG to the triggerer with each such wait, all that start at once in one message: 100 waits in
# a DAG of 100 tasks take 1.2 times the memory of waits that a worker starts, 300 in one of 300 twice as much.
TO_START = Limits(dag_tasks=150)
TO_END = Limits(of_task=_APPLIED_TO_A_TASK, of_dag=_APPLIED_TO_A_DAG)


def worker_needed_to_start(operator: Any) -> str | None:
    """
    Return why a wait has to start in a worker, or ``None`` if it need not.

    :param operator: a :class:`~airflow_provider_seeany.wait.start_from_trigger.StartsFromTrigger`.
    """
    return _first_of(_reasons_to_start, operator)


def worker_needed_to_end(operator: Any) -> str | None:
    """Return why a wait that a worker has started has to end in one even if it succeeds, or ``None`` if it need not."""
    return _first_of(_reasons_to_end, operator)


def _first_of(reasons: Callable[[Any], Iterator[str]], operator: Any) -> str | None:
    try:
        return next(reasons(operator), None)
    except Exception as error:
        # An Airflow in which something has moved must not lose the DAG for it.
        return f"whether it needs one could not be found out ({type(error).__name__}: {error})"


def _reasons_to_start(operator: Any) -> Iterator[str]:
    if getattr(operator, "_BaseOperator__from_mapped", False):
        yield "Airflow starts mapped tasks in a worker"
    yield from _reasons(operator, TO_START)
    if not getattr(operator, "wait_for_completion", True):
        yield "wait_for_completion is off"
    if conf.getboolean("triggerer", "queues_enabled", fallback=False):
        yield "[triggerer] queues_enabled is on, and Airflow gives a trigger that it starts itself no queue"
    yield from _reasons_in_params(operator)
    yield from _reasons_in_templates(operator)


def _reasons_to_end(operator: Any) -> Iterator[str]:
    from airflow.providers.common.compat.sdk import XCom
    from airflow.sdk.bases.xcom import BaseXCom

    from airflow_provider_seeany.metrics import is_on

    yield from _reasons(operator, TO_END)
    if is_on():
        yield "metrics are on, and Airflow sends those of its success from a worker only"
    if conf.getboolean("traces", "otel_on", fallback=False):
        yield "traces are on, and Airflow makes the span of its success for a worker only"
    if XCom is not BaseXCom:
        yield f"{XCom.__name__} stores XComs, and may not work in a triggerer"


def _reasons(operator: Any, limits: Limits) -> Iterator[str]:
    """Yield why a wait needs a worker at its end, and so at its start. Later checks rely on earlier ones."""
    if operator.needs_worker:
        yield operator.needs_worker
    if not operator.deferrable:
        yield "deferrable is off"
    if not AIRFLOW_V_3_3_PLUS:
        yield "it takes Airflow 3.3 or newer"
    if not operator.has_dag():
        yield "its DAG is not known where it is made"
    tasks, most = len(operator.dag.task_dict), limits.dag_tasks
    if most is not None and tasks > most:
        yield f"its DAG has {tasks} tasks, and Airflow loads all of them for each such wait (maximum {most})"
    yield from _reasons_in_class(type(operator))
    yield from _reasons_in_attributes(operator, limits)
    for mapped in operator.iter_mapped_dependants():
        yield f"{mapped.node_id} is mapped over it, and only a worker tells Airflow how often"
    if listener := _listener_of_tasks():
        yield f"the listener {listener} is called only for tasks in workers"


def _reasons_in_class(kind: type) -> Iterator[str]:
    ours = _ours(kind).__mro__
    for parent in kind.__mro__:
        if parent not in ours and (unknown := sorted(vars(parent).keys() - _KNOWN_OF_A_CLASS)):
            yield f"{parent.__name__} has its own {unknown[0]}, which only a worker uses"


def _reasons_in_attributes(operator: Any, limits: Limits) -> Iterator[str]:
    plain = _plain_task(isinstance(operator, BaseSensorOperator))
    for name in _unlike(operator, plain, _known_of(_ours(type(operator))) | limits.of_task):
        name = {"_pre_execute_hook": "pre_execute", "_post_execute_hook": "post_execute"}.get(name, name)
        yield f"it has {name}, which only a worker applies"
    if type(operator.dag) is not DAG:
        yield f"its DAG is a {type(operator.dag).__name__}, which a triggerer does not know"
    for name in _unlike(operator.dag, _plain_dag(), _KNOWN_OF_A_DAG | limits.of_dag):
        yield f"its DAG has {name}, which a triggerer does not apply"


def _unlike(thing: object, plain: object, known: frozenset[str]) -> Iterator[str]:
    """Yield the attributes that are not listed and differ from Airflow's default."""
    not_there = object()
    for name, value in vars(thing).items():
        is_computed = isinstance(getattr(type(thing), name, None), cached_property)
        # Airflow sets some of a mapped task that other tasks have of their class.
        if name not in known and not is_computed and getattr(plain, name, not_there) != value:
            yield name


def _reasons_in_params(operator: Any) -> Iterator[str]:
    from airflow.sdk import Param

    groups: tuple[Any, ...] = (operator.params, operator.dag.params)
    for name, param in ((name, group.get_param(name)) for group in groups for name in group):
        if not param.has_value:
            # Airflow 3.3's triggerer ends, and with it all its waits, when it reads such a parameter.
            yield f"the parameter {name!r} has no default"
        if type(param) is not Param or (param.schema and name not in operator.dag.params):
            # Those of the DAG are checked when a run is created.
            yield f"the parameter {name!r} is checked in a worker only"


def _reasons_in_templates(operator: Any) -> Iterator[str]:
    from airflow_provider_seeany.wait.templates import unknown_in

    for field in TEMPLATE_FIELDS:
        value = as_template(operator, field)
        if not isinstance(value, str | int | float | None):
            yield f"{field} is a {type(value).__name__} that cannot be written as a template"
        elif isinstance(value, str) and (unknown := unknown_in(value, operator.dag)):
            yield f"{unknown} in {field} may not be the same in a triggerer"


def _listener_of_tasks() -> str | None:
    """Return the name of a listener that Airflow calls in a worker when a task instance starts or ends."""
    from airflow.sdk.listener import get_listener_manager

    hooks = (hook for name, hook in vars(get_listener_manager().hook).items() if "task_instance" in name)
    listeners = (str(listener.plugin_name) for hook in hooks for listener in hook.get_hookimpls())
    # One comes with Airflow's own examples, which a fresh Airflow loads; it only prints.
    return next((name for name in listeners if not name.startswith("airflow.example_dags.")), None)


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("airflow_provider_seeany.")


def _ours(kind: type) -> type:
    """Return the class of this provider that a class is, or is made from."""
    return next(filter(_is_ours, kind.__mro__))


@cache
def _known_of(ours: type) -> frozenset[str]:
    """Return the attributes that may be set: those of any task, and the parameters of a wait."""
    inits = (vars(parent)["__init__"] for parent in filter(_is_ours, ours.__mro__) if "__init__" in vars(parent))
    return _KNOWN_OF_A_TASK.union(*(inspect.signature(init).parameters for init in inits))


@cache
def _plain_task(is_sensor: bool) -> BaseOperator:
    """Return a task with Airflow's defaults."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    plain_kind: type[BaseOperator] = BaseSensorOperator if is_sensor else BaseOperator
    # Else it would be part of the DAG that is being made.
    DagContext.push(None)  # type: ignore[arg-type]
    try:
        return plain_kind(task_id="plain")
    finally:
        DagContext.pop()


@cache
def _plain_dag() -> DAG:
    """Return a DAG with Airflow's defaults."""
    return DAG("plain", schedule=None)


def as_template(operator: Any, field: str) -> object:
    """
    Return a field's value for the triggerer; an XComArg as a template, if it can be written as one.

    An XComArg would reach the trigger unresolved. The operator keeps it, and with it the dependency.
    """
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    value: object = getattr(operator, field)
    if not isinstance(value, PlainXComArg):
        return value.total_seconds() if isinstance(value, timedelta) else value
    upstream = value.operator
    group = upstream.get_closest_mapped_task_group()
    if upstream.is_mapped or group not in (None, operator.get_closest_mapped_task_group()):
        return value
    map_index = "-1" if group is None else "ti.map_index"
    pulled = f"ti.xcom_pull(task_ids={upstream.task_id!r}, key={value.key!r}, map_indexes={map_index})"
    # A missing value would be the text "None".
    return f"{{{{ {pulled} | default('', true) }}}}"
