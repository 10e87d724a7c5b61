"""The asset events of what was made: their ``extra``, and the outlets of a task whose events get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_seeany.api.collector import Room, json_size, task_row
from airflow_provider_seeany.api.task import SeeAnyTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

MAX_EXTRA_BYTES = 8 * 1024
"""Maximum size of an extra as JSON: Airflow keeps every event, and reads all those that started a run."""

Extra = dict[str, Any]


def task_extra(task: SeeAnyTask, other_ids: Sequence[str] = ()) -> Extra:
    """Return the extra for a completed task: its id, others that it has, its fields under the keys of their XComs."""
    others = {"other_ids": other_ids} if other_ids else {}
    return _fitting({"seeany_task_id": task.id, **others, **task.result_fields()})


def batch_extra(result: Mapping[str, Any]) -> Extra:
    """Return the extra for a batch's result as JSON: the totals, and of each completed task what its table has."""
    rows = result["tasks"]
    if result["detail"] == "full":
        rows = [task_row(SeeAnyTask.from_payload(payload)) for payload in rows]
    totals = {name: result[name] for name in ("total", "completed", "failed", "partial", "cost")}
    return _fitting({**totals, "tasks": rows or [{"id": each} for each in result.get("completed_ids", ())]})


def download_extra(manifest: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, path: str) -> Extra:
    """Return the extra for the manifest that a download returns: the totals, and the copies or where their list is."""
    if isinstance(manifest, Mapping):
        return _fitting({"path": path, **manifest})
    copies = [{name: row[name] for name in ("id", "file", "path", "size", "sha256")} for row in manifest]
    return _fitting({"path": path, "files": len(copies), "bytes": sum(row["size"] for row in copies), "copies": copies})


def fill_outlet_events(operator: BaseOperator, context: Context, extra: Extra, *, alias_uri: str | None = None) -> None:
    """
    Add the extra to the event of each outlet; what the DAG's author has put there stays.

    An alias needs an asset for its event: one that stands for the task in its DAG, unless ``alias_uri`` names another.
    An error in this does not fail the task, whose result was paid for.
    """
    for outlet in operator.outlets:
        try:
            event = context["outlet_events"][outlet]
            if not isinstance(outlet, AssetAlias):
                event.extra = {**extra, **event.extra}
            elif not event.asset_alias_events:
                event.add(Asset(alias_uri or _uri_of(operator)), extra=extra)
        except Exception:
            operator.log.warning("The asset event of %r does not tell what was made", outlet, exc_info=True)


def _uri_of(operator: BaseOperator) -> str:
    # With the prefix that Airflow leaves to schemes of one's own.
    return f"x-seeany://{quote(operator.dag_id, safe='')}/{quote(operator.task_id, safe='')}"


def _fitting(extra: Extra) -> Extra:
    """Return what fits into an event: of lists, which come last, the first items; ``left_out`` says how many do not."""
    room = Room(MAX_EXTRA_BYTES - json_size({"left_out": 10**9}))
    fitting: Extra = {}
    left_out = 0
    for name, value in sorted(extra.items(), key=lambda field: isinstance(field[1], list)):
        if not isinstance(value, list):
            if room.take(json_size({name: value})):
                fitting[name] = value
        elif room.take(json_size({name: []})):
            fitting[name] = list(takewhile(lambda item: room.take(json_size(item)), value))
            left_out += len(value) - len(fitting[name])
    return {**fitting, "left_out": left_out} if left_out else fitting
