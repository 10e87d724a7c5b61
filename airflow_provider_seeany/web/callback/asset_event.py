"""
Makes the event of the asset that a callback URL names, once for each SeeAny task, in the api-server's database session.

All of it blocks: call it in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetEvent, AssetModel
from sqlalchemy import Text, cast, or_, select, update

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import ID_KEYS, task_ids_in
from airflow_provider_seeany.database import changed_rows, open_session
from airflow_provider_seeany.xcoms.asset_events import task_extra

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_AGE = timedelta(days=7)
"""
Maximum time since a SeeAny task was completed. A later callback is a replay, and a search for an earlier event of the
same task need not go back further, unless SeeAny does not tell when that was.
"""

_CLOCK_DIFFERENCE = timedelta(days=1)


class FoundAsset(NamedTuple):
    """An asset, and whether it has an event of the SeeAny task that a callback names."""

    asset_id: int
    has_event: bool


def find_asset(name_or_uri: str, seeany_ids: Collection[str]) -> FoundAsset | None:
    """Return an asset that a DAG uses, by its URI or else its name; ``None`` if there is none."""
    is_it = or_(AssetModel.uri == name_or_uri, AssetModel.name == name_or_uri)
    with open_session() as session:
        # Both are unique among active assets, so there are two at most.
        query = select(AssetModel.id, AssetModel.uri).where(is_it, AssetModel.active.has())
        found = sorted(session.execute(query), key=lambda row: row.uri != name_or_uri)
        if not found:
            return None
        return FoundAsset(found[0].id, _has_event(session, found[0].id, seeany_ids))


def is_too_old(task: SeeAnyTask) -> bool:
    """Return whether a task was completed so long ago that a callback about it is a replay."""
    return task.completed_at is not None and task.completed_at < datetime.now(UTC) - MAX_AGE


def add_event(asset_id: int, task: SeeAnyTask, seeany_ids: Collection[str]) -> bool:
    """
    Add the event of a completed task, which starts DAGs; return whether it was this call that did.

    :param seeany_ids: how the callback names the task. Only what SeeAny itself calls it besides is stored, so a caller
        cannot pass off another task as this one.
    """
    other_ids = [each for each in task_ids_in({key: task.payload.get(key) for key in ID_KEYS}) if each != task.id]
    # Without a time of completion, a callback may be of any age.
    max_age = MAX_AGE if task.completed_at is not None else None
    with open_session() as session:
        # A write, so it locks: until the commit, no other callback gets past it.
        unchanged = {"updated_at": AssetModel.updated_at}
        changed_rows(session, update(AssetModel).where(AssetModel.id == asset_id).values(unchanged))
        if _has_event(session, asset_id, {task.id, *seeany_ids}, other_ids, max_age=max_age):
            return False
        asset = session.get_one(AssetModel, asset_id)
        extra = task_extra(task, other_ids)
        return asset_manager.register_asset_change(asset=asset, extra=extra, session=session) is not None


def _has_event(
    session: Session,
    asset_id: int,
    seeany_ids: Collection[str],
    other_ids: Collection[str] = (),
    *,
    max_age: timedelta | None = MAX_AGE,
) -> bool:
    """
    Return whether a callback has made an event of a SeeAny task, ever if there is no maximum age.

    :param other_ids: what else SeeAny calls it. Two tasks may have one of these in common, such as that of their order.
    """
    # Airflow 3.1 keeps the extra as text, 3.3 as JSON: both can be searched as text, so rows are found by it
    # and read here. What is not ASCII may be escaped in it.
    text = cast(AssetEvent.extra, Text)
    ids = [*seeany_ids, *other_ids]
    spellings = {spelling for each in ids for spelling in (each, json.dumps(each)[1:-1])}
    query = select(AssetEvent.extra).where(
        AssetEvent.asset_id == asset_id,
        AssetEvent.source_dag_id.is_(None),  # not of a task with this asset as an outlet
        or_(*(text.contains(spelling, autoescape=True) for spelling in spellings)),
    )
    if max_age is not None:
        query = query.where(AssetEvent.timestamp > datetime.now(UTC) - max_age - _CLOCK_DIFFERENCE)
    return any(_is_of(extra, ids, seeany_ids) for extra in session.scalars(query))


def _is_of(extra: Mapping[str, Any], ids: Collection[str], seeany_ids: Collection[str]) -> bool:
    # A user may have made an event with anything in it.
    others = extra.get("other_ids")
    return extra.get("seeany_task_id") in ids or (
        isinstance(others, list) and any(each in others for each in seeany_ids)
    )
