"""
Waiting without any worker: the scheduler starts the trigger itself, and the trigger ends the task.

A wait otherwise costs two worker processes: one that polls once and defers, one that pushes the result. On Airflow
3.3+ the triggerer can do both. A wait that fails or times out still ends in a worker, with the same exception.

A worker does more for a task than run it, and most of that does not happen in the triggerer. So a wait starts without a
worker only if every attribute of the operator and its DAG either is listed here, by what applies it, or has Airflow's
default. An attribute that is not listed, as a newer Airflow may add, starts the wait in a worker.

The decision is made when Airflow reads it to store the DAG, not in ``__init__``: what is mapped over a wait, and what
is set on it by ``>>``, by a cluster policy or by an assignment, comes later.

Lost in any case without a worker, as they apply to every task: the limit of the default pool and of
``max_active_tasks``, the rendered template fields in the UI, and the metrics that a worker sends.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.triggers.base import StartTriggerArgs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_seeany.api.settings import TaskSettings

TEMPLATE_FIELDS = ("seeany_task_id", "seeany_conn_id", "expected_duration")
"""What is rendered of a wait, in a worker or in the triggerer."""

_KNOWN_OF_A_TASK = frozenset(
    """
    task_id task_group upstream_task_ids downstream_task_ids _dag is_setup is_teardown trigger_rule depends_on_past
    ignore_first_depends_on_past wait_for_past_depends_before_skipping wait_for_downstream start_date end_date
    priority_weight weight_rule
    owner doc doc_md doc_json doc_yaml doc_rst _task_display_name
    email email_on_failure email_on_retry on_failure_callback on_retry_callback on_skipped_callback
    retries retry_delay retry_exponential_backoff max_retry_delay retry_policy soft_fail never_fail silent_fail
    executor executor_config queue run_as_user resources
    mode exponential_backoff max_wait
    params do_xcom_push allow_nested_operators _needs_expansion
    _BaseOperator__init_kwargs _BaseOperator__from_mapped _BaseOperator__instantiated _lock_for_execution
    _cached_logger _log
    """.split()  # noqa: SIM905  by lines it can be read
)
"""
Attributes that a wait without a worker may have, line by line: applied by the scheduler; shown in the UI; used by a
failure, which ends in a worker; where a worker would run; how a worker would poll; checked or applied here; Airflow's
own bookkeeping.
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

_KNOWN_OF_A_CLASS = frozenset(
    """
    __init__ __doc__ __module__ __qualname__ __annotations__ __annotate__ __annotate_func__ __annotations_cache__
    __parameters__ __orig_bases__ __abstractmethods__ _abc_impl __firstlineno__ __static_attributes__
    ui_color ui_fgcolor custom_operator_name
    """.split()  # noqa: SIM905  by lines it can be read
)
"""What a user's subclass may define: ``__init__``, whose result the attributes show, and its looks."""


MAX_DAG_TASKS = 300
"""
Maximum number of tasks in the DAG of a wait without a worker.

Airflow hands the whole DAG to the triggerer with each such wait, all that start at once in one message: 300 waits in a
DAG of 300 tasks are some 65 MB, 1000 in one of 1000 are eleven times as much.
"""


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
    """Why this kind of wait always starts in a worker."""

    @property
    def wait_settings(self) -> TaskSettings:
        """The settings of the wait."""
        raise NotImplementedError

    @partial(_DecidedLate, of_class=False)
    def start_from_trigger(self) -> bool:
        """Whether Airflow starts the wait without a worker."""
        return bool(self.worker_free) and worker_needed_because(self) is None

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
                **{field: _template(self, field) for field in TEMPLATE_FIELDS},
                "settings": msgspec.to_builtins(settings),
                "end_from_trigger": True,
            },
            next_method="execute_complete",
            timeout=settings.defer_timeout,
        )

    @property
    def began_in_trigger(self) -> bool:
        """Whether Airflow has started this wait without a worker, of a task that a worker resumes."""
        return self._written is not None and self._written.start_from_trigger

    @property
    def _written(self) -> StartsFromTrigger | None:
        """The task as the DAG has it, as in a worker its templates are rendered; ``None`` if it is mapped."""
        written = self.dag.task_dict.get(self.task_id) if self.has_dag() else None  # type: ignore[no-untyped-call]
        return written if isinstance(written, StartsFromTrigger) else None

    def log_why_worker(self) -> None:
        """Log why a wait that should be worker-free is in a worker, unless the DAG's author chose that."""
        if self.worker_free and self.deferrable:
            reason = worker_needed_because(self._written or self)
            reason = reason or "Airflow starts mapped tasks, and those of `dags test`, in a worker"
            self.log.info("worker_free is on, but this wait starts in a worker: %s", reason)


def worker_needed_because(operator: StartsFromTrigger) -> str | None:
    """Return why this wait has to start in a worker, or ``None`` if it need not."""
    try:
        return next(_reasons(operator), None)
    except Exception as error:
        # An Airflow in which something has moved must not lose the DAG for it.
        return f"whether it needs one could not be found out ({type(error).__name__}: {error})"


def _reasons(operator: StartsFromTrigger) -> Iterator[str]:
    """Yield why a wait has to start in a worker. Later checks rely on earlier ones."""
    if operator.needs_worker:
        yield operator.needs_worker
    if not operator.deferrable:
        yield "deferrable is off"
    if not AIRFLOW_V_3_3_PLUS:
        yield "it takes Airflow 3.3 or newer"
    if not getattr(operator, "wait_for_completion", True):
        yield "wait_for_completion is off"
    if not operator.has_dag():  # type: ignore[no-untyped-call]
        yield "its DAG is not known where it is made"
    if (tasks := len(operator.dag.task_dict)) > MAX_DAG_TASKS:
        yield f"its DAG has {tasks} tasks, and Airflow hands all of them over with each wait (maximum {MAX_DAG_TASKS})"
    if conf.getboolean("triggerer", "queues_enabled", fallback=False):
        yield "[triggerer] queues_enabled is on, and Airflow gives a trigger that it starts itself no queue"
    yield from _reasons_in_class(type(operator))
    yield from _reasons_in_attributes(operator)
    yield from _reasons_in_params(operator)
    for mapped in operator.iter_mapped_dependants():
        yield f"{mapped.node_id} is mapped over it, and only a worker tells Airflow how often"
    yield from _reasons_in_templates(operator)
    if listener := _listener_of_tasks():
        yield f"the listener {listener} is called only for tasks in workers"


def _reasons_in_class(kind: type) -> Iterator[str]:
    ours = _ours(kind).__mro__
    for parent in kind.__mro__:
        if parent not in ours and (unknown := sorted(vars(parent).keys() - _KNOWN_OF_A_CLASS)):
            yield f"{parent.__name__} has its own {unknown[0]}, which only a worker uses"


def _reasons_in_attributes(operator: StartsFromTrigger) -> Iterator[str]:
    plain = _plain_task(isinstance(operator, BaseSensorOperator))
    for name in _unlike(operator, plain, _known_of(_ours(type(operator)))):
        name = {"_pre_execute_hook": "pre_execute", "_post_execute_hook": "post_execute"}.get(name, name)
        yield f"it has {name}, which only a worker applies"
    if type(operator.dag) is not DAG:
        yield f"its DAG is a {type(operator.dag).__name__}, which a triggerer does not know"
    for name in _unlike(operator.dag, _plain_dag(), _KNOWN_OF_A_DAG):
        yield f"its DAG has {name}, which a triggerer does not apply"


def _unlike(thing: object, plain: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    """Yield the attributes that are not listed and differ from Airflow's default."""
    for name, value in vars(thing).items():
        is_computed = isinstance(getattr(type(thing), name, None), cached_property)
        if name not in known and not is_computed and (name not in plain or plain[name] != value):
            yield name


def _reasons_in_params(operator: StartsFromTrigger) -> Iterator[str]:
    from airflow.sdk import Param

    groups: tuple[Any, ...] = (operator.params, operator.dag.params)
    for name, param in ((name, group.get_param(name)) for group in groups for name in group):
        if not param.has_value:
            # Airflow 3.3's triggerer ends, and with it all its waits, when it reads such a parameter.
            yield f"the parameter {name!r} has no default"
        if type(param) is not Param or (param.schema and name not in operator.dag.params):
            # Those of the DAG are checked when a run is created.
            yield f"the parameter {name!r} is checked in a worker only"


def _reasons_in_templates(operator: StartsFromTrigger) -> Iterator[str]:
    from airflow_provider_seeany.wait.templates import unknown_in

    for field in TEMPLATE_FIELDS:
        value = _template(operator, field)
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
def _plain_task(is_sensor: bool) -> dict[str, Any]:
    """Return the attributes of a task with Airflow's defaults."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext

    plain_kind: type[BaseOperator] = BaseSensorOperator if is_sensor else BaseOperator
    # Else it would be part of the DAG that is being made.
    DagContext.push(None)  # type: ignore[arg-type]
    TaskGroupContext.push(None)  # type: ignore[arg-type]
    try:
        return dict(vars(plain_kind(task_id="plain")))
    finally:
        TaskGroupContext.pop()
        DagContext.pop()


@cache
def _plain_dag() -> dict[str, Any]:
    """Return the attributes of a DAG with Airflow's defaults."""
    return vars(DAG("plain", schedule=None))


def _template(operator: StartsFromTrigger, field: str) -> object:
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
