"""Decides whether a triggerer renders a template as a worker does: only what is known to come out the same does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, TemplateSyntaxError, nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import DAG

_NAMES = frozenset({"params", "run_id", "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"})
_TASK_INSTANCE = frozenset({"ti", "task_instance"})
_ATTRIBUTES = {
    **dict.fromkeys(_TASK_INSTANCE, frozenset({"dag_id", "task_id", "run_id", "map_index", "try_number"})),
    "dag_run": frozenset({"conf", "dag_id", "run_id"}),
}
"""A triggerer has its own classes for these objects, so only the attributes that were tried are known."""

_FILTERS = frozenset({"d", "default", "first", "int", "last", "lower", "replace", "string", "trim", "upper"})
_SYNTAX = frozenset(
    """
    Template Output TemplateData Const Pair CondExpr Compare Operand And Or Not Neg Add Sub Concat Getattr Getitem
    Filter Slice
    """.split()  # noqa: SIM905  by lines it can be read
)
"""What works on plain data and is the same everywhere."""


def unknown_in(template: str, dag: DAG) -> str | None:
    """Return what in a template may come out differently in a triggerer, or ``None`` if nothing does."""
    if "{" not in template:
        return None
    try:
        parsed = Environment().parse(template)
    except TemplateSyntaxError:
        return "a syntax error"
    unknown = _unknown(parsed, dag)
    return None if unknown is None else _described(unknown)


def _unknown(node: nodes.Node, dag: DAG) -> nodes.Node | None:
    """Return the outermost part that is not known."""
    parts: Iterable[nodes.Node] = node.iter_child_nodes()
    match node:
        case nodes.Getattr(node=nodes.Name(name=name), attr=attribute) if name in _ATTRIBUTES:
            return None if attribute in _ATTRIBUTES[name] else node
        case nodes.Call(node=nodes.Getattr(node=nodes.Name(name=name), attr="xcom_pull")) if name in _TASK_INSTANCE:
            return None if _is_known_pull(node, dag) else node
        case nodes.Call(node=nodes.Getattr(node=data, attr="get"), kwargs=[], dyn_args=None, dyn_kwargs=None):
            parts = [data, *node.args]
        case nodes.Name(name=name):
            return None if name in _NAMES else node
        case nodes.Getattr(attr=attribute) if attribute.startswith("_"):
            return node
        case nodes.Filter(name=name) if name not in _FILTERS:
            return node
        case _ if type(node).__name__ not in _SYNTAX:
            return node
    return next((unknown for part in parts if (unknown := _unknown(part, dag))), None)


def _is_known_pull(call: nodes.Call, dag: DAG) -> bool:
    """Return whether it pulls the same XCom everywhere: without a map index, a worker pulls those of all instances."""
    given = dict(zip(("task_ids", "dag_id", "key"), call.args, strict=False)) | {
        keyword.key: keyword.value for keyword in call.kwargs
    }
    is_spelled_out = call.dyn_args is call.dyn_kwargs is None and len(call.args) <= 3
    if not is_spelled_out or "task_ids" not in given or given.keys() - {"task_ids", "key", "map_indexes"}:
        return False
    task_id, key = (_constant(given.get(name)) for name in ("task_ids", "key"))
    if not isinstance(task_id, str) or ("key" in given and not isinstance(key, str)):
        return False
    if "map_indexes" in given:
        return _is_map_index(given["map_indexes"])
    if not dag.has_task(task_id):
        return False
    task = dag.get_task(task_id)
    return not task.is_mapped and task.get_closest_mapped_task_group() is None


def _is_map_index(node: nodes.Node) -> bool:
    match node:
        case nodes.Getattr(node=nodes.Name(name=name), attr="map_index"):
            return name in _TASK_INSTANCE
    return type(_constant(node)) is int


def _constant(node: nodes.Node | None) -> object:
    try:
        return node.as_const() if isinstance(node, nodes.Expr) else None
    except nodes.Impossible:
        return None


def _described(node: nodes.Node) -> str:
    """Name a part of a template as its author wrote it, as far as the syntax tree has that."""
    match node:
        case nodes.Name(name=name):
            return repr(name)
        case nodes.Call(node=called):
            return f"{_described(called)[:-1]}(…)'"
        case nodes.Getattr(node=nodes.Name(name=name), attr=attribute):
            return f"'{name}.{attribute}'"
        case nodes.Getattr(attr=attribute):
            return f"'.{attribute}'"
        case nodes.Filter(name=name):
            return f"'| {name}'"
    return f"a template's {type(node).__name__.lower()}"
