"""
What a wait pushes when it has ended: the XComs of a completed task, and the record.

Each XCom is a request of a worker, and a row in Airflow's database: so few fields have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import XCom, conf
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_seeany.links.task import RESULT_LINKS, links_of
from airflow_provider_seeany.xcoms.raw import RawXCom
from airflow_provider_seeany.xcoms.record import Claim, Progress, Record
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, bypasses_backend
from airflow_provider_seeany.xcoms.untrusted import convert, read_counts, read_money

if TYPE_CHECKING:
    from airflow_provider_seeany.api.task import SeeAnyTask
    from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey


FIELD_KEYS = ("video_url", "cost", "result_urls")
"""The fields that get XComs of their own, under their names; ``return_value`` has all of them."""


def result_keys(record: str | None) -> tuple[str, ...]:
    """
    Return the keys of all that a result may have, in the order in which they are deleted one by one.

    ``return_value`` is last of the values: without it there is nothing of a result.

    :param record: the key of its record, if it has one.
    """
    links = (link.xcom_key for link in RESULT_LINKS)
    return (*FIELD_KEYS, *links, *([] if record is None else [record]), "return_value", PROGRESS_KEY)


def field_xcoms(task: SeeAnyTask) -> dict[str, Any]:
    """
    Return the XComs of the fields of a completed task, by key, without missing ones.

    The URLs of all files are left out if the video is the only one.
    """
    fields = task.result_fields()
    if fields.get("result_urls") == [fields.get("video_url")]:
        del fields["result_urls"]
    return {key: fields[key] for key in FIELD_KEYS if key in fields}


def result_xcoms(
    task: SeeAnyTask, *, conn_id: str, do_xcom_push: bool, task_instance: TaskInstanceKey
) -> dict[str, Any]:
    """
    Return the XComs of a completed task that ends its wait without a worker, by key, as Airflow's database stores them.

    The link is among them in any case. A custom XCom backend may block while it stores the values elsewhere.
    """
    xcoms: dict[str, Any] = {link.xcom_key: link.url_of(task) for link in links_of(task)}
    if do_xcom_push:
        xcoms |= {"return_value": task.as_json(), **field_xcoms(task)}
        xcoms |= Record.of_task(task, conn_id=conn_id).xcoms(task_instance)
    return {
        key: value if bypasses_backend(key) else XCom.serialize_value(value, key=key, **task_instance.columns())
        for key, value in xcoms.items()
    }


def has_backend() -> bool:
    """Return whether a custom XCom backend stores values."""
    return XCom is not BaseXCom


def publishes_progress() -> bool:
    """Return whether progress is published for the UI, as ``[seeany] publish_progress`` says."""
    return bool(conf.getboolean("seeany", "publish_progress", fallback=True))


def push_record(record: Record | Progress, task_instance: TaskInstanceKey) -> None:
    """
    Push a record from a worker, in place of an earlier one or the progress.

    Airflow accepts an XCom from a worker whose try is over, until its supervisor ends it at the next heartbeat. The
    record of such a try is deleted; but not before a progress, for which that would take a request each time.
    """
    xcoms = record.xcoms(task_instance)
    if isinstance(record, Record):
        before = RawXCom(PROGRESS_KEY, task_instance).get()
        xcoms = _with_known_cost(record, before).xcoms(task_instance)
        earlier = Claim.read(before).record
        if earlier is not None and earlier not in xcoms:
            RawXCom(earlier, task_instance).delete()
    for key, value in xcoms.items():
        RawXCom(key, task_instance).set(value)


def _with_known_cost(record: Record, published: object) -> Record:
    """Return the record of a batch that reported no result with the progress that it published: that was paid."""
    if record.seeany_task_id is not None or record.batch is not None:
        return record
    progress = convert(published, Progress)
    counts = read_counts(progress.batch) if progress else None
    if progress is None or counts is None:
        return record
    cost = {money.unit: str(money.amount) for money in read_money(progress.cost)}
    return msgspec.structs.replace(record, batch=counts, cost=cost)
