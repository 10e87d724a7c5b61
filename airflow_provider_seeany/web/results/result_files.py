"""The URLs of all files of results, those of image sets and batches included, which their records do not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select, tuple_

from airflow_provider_seeany.web.results.queries import all_ended_waits
from airflow_provider_seeany.web.results.views import Filters, batch_rows, result_urls
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, Record
from airflow_provider_seeany.xcoms.untrusted import convert, decode_json

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
    xcoms = _xcoms([instance for instance, record in records if record.batch or record.results > 1])
    for instance, record in records:
        others = xcoms.get(instance, {})
        if record.batch:
            found = [row.url for row in batch_rows(others.get("return_value", others.get(PARTIAL_RESULT_KEY)), record)]
        else:
            found = [record.video_url or record.first_result, *result_urls(others.get("result_urls"))]
        yield from dict.fromkeys(result_urls(found))


def _instance(row: Row[Any]) -> Instance:
    return row.dag_run_id, row.task_id, row.map_index


def _xcoms(instances: list[Instance]) -> dict[Instance, dict[str, Any]]:
    """Return the XComs that list the files of task instances, by task instance and key."""
    if not instances:
        return {}
    query = select(*_INSTANCE, XComModel.key, XComModel.value).where(
        tuple_(*_INSTANCE).in_(instances), XComModel.key.in_(("result_urls", "return_value", PARTIAL_RESULT_KEY))
    )
    found: dict[Instance, dict[str, Any]] = {}
    with create_session(scoped=False) as session:
        for row in session.execute(query):
            found.setdefault(_instance(row), {})[row.key] = decode_json(row.value)
    return found
