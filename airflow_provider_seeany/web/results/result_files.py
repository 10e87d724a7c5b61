"""The URLs of all files of results, those of image sets and batches included, which their records do not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select, tuple_

from airflow_provider_seeany.web.results.queries import all_ended_waits
from airflow_provider_seeany.web.results.views import Filters, batch_urls, result_urls
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, Record
from airflow_provider_seeany.xcoms.untrusted import convert

if TYPE_CHECKING:
    from sqlalchemy import Row

_AT_ONCE = 100  # number of results whose other XComs are in memory
_INSTANCE = (XComModel.dag_run_id, XComModel.task_id, XComModel.map_index)

Instance = tuple[int, str, int]


def lines_of_urls(readable: Collection[str], filters: Filters) -> Iterator[str]:
    """Yield the URLs of results, a line each, the newest result first."""
    for rows in all_ended_waits(readable, filters):
        for begin in range(0, len(rows), _AT_ONCE):
            yield "".join(f"{url}\n" for url in _urls(rows[begin : begin + _AT_ONCE]))


def _urls(rows: Sequence[Row[Any]]) -> Iterator[str]:
    records = [(_instance(row), record) for row in rows if (record := convert(row.value, Record)) is not None]
    several = _xcoms([instance for instance, record in records if record.results > 1], "result_urls")
    batches = _xcoms([instance for instance, record in records if record.batch], "return_value", PARTIAL_RESULT_KEY)
    for instance, record in records:
        if record.batch:
            xcoms = batches.get(instance, {})
            found = batch_urls(xcoms.get("return_value", xcoms.get(PARTIAL_RESULT_KEY)))
        else:
            others = several.get(instance, {}).get("result_urls", record.result_urls)
            found = result_urls([record.video_url or record.first_result, *result_urls(others)])
        yield from dict.fromkeys(found)


def _instance(row: Row[Any]) -> Instance:
    return row.dag_run_id, row.task_id, row.map_index


def _xcoms(instances: list[Instance], *keys: str) -> dict[Instance, dict[str, Any]]:
    """Return the XComs of task instances under some keys, by task instance and key."""
    if not instances:
        return {}
    query = select(*_INSTANCE, XComModel.key, XComModel.value).where(
        tuple_(*_INSTANCE).in_(instances), XComModel.key.in_(keys)
    )
    found: dict[Instance, dict[str, Any]] = {}
    with create_session(scoped=False) as session:
        for row in session.execute(query):
            found.setdefault(_instance(row), {})[row.key] = decode_json(row.value)
    return found
