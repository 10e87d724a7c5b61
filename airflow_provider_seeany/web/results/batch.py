"""The tasks of a batch, as its tab lists them, read from the result that any DAG may have pushed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

from airflow_provider_seeany.api.costs import NO_CURRENCY
from airflow_provider_seeany.api.result_urls import urls_in
from airflow_provider_seeany.api.task_id import MAX_TASKS
from airflow_provider_seeany.xcoms.record import MAX_TEXT_LENGTH, Record, web_url
from airflow_provider_seeany.xcoms.untrusted import MAX_UNIT_LENGTH, Money, read_amount

MAX_FILES_LISTED = 1000  # of one result


@dataclass(frozen=True)
class BatchRow:
    """
    One SeeAny task of a batch.

    :param url: of its video, else of its first result file; ``results`` counts those.
    :param other_urls: the other result files, as far as the batch's result has them.
    """

    id: str
    state: Literal["completed", "failed"]
    url: str | None = None
    other_urls: list[str] = field(default_factory=list)
    thumbnail_url: str | None = None
    results: int = 0
    cost: Money | None = None
    reason: str | None = None
    is_partial: bool = False


def result_urls(value: object) -> list[str]:
    """Return the URLs in the XCom of all result files."""
    urls = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [url for item in urls if (url := web_url(item))]


def batch_rows(result: object, record: Record) -> list[BatchRow]:
    """Return the tasks of a batch that have ended, from its result, else the failures from its record."""
    if not isinstance(result, Mapping):
        return [BatchRow(id=failure.id, state="failed", reason=failure.reason) for failure in record.failures]
    ids = result.get("completed_ids")
    rows = chain(
        (_completed(task) for task in _objects(result.get("tasks"))),
        (BatchRow(id=_text(each), state="completed") for each in (ids if isinstance(ids, list) else ())),
        (_failed(failure) for failure in _objects(result.get("failures"))),
    )
    return list(islice(rows, MAX_TASKS))


def batch_urls(result: object) -> list[str]:
    """Return the URLs of all files of a batch, as far as its result has them."""
    if not isinstance(result, Mapping):
        return []
    completed = (url for task in _objects(result.get("tasks")) for url in _files(task))
    partial = (url for failure in _objects(result.get("failures")) for url in result_urls(failure.get("result_urls")))
    return result_urls([*completed, *partial])


def has_first_files_only(result: object) -> bool:
    """Return whether a batch was so large that its result has one file of each task."""
    return isinstance(result, Mapping) and result.get("detail") == "table"


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return str(value)[:MAX_TEXT_LENGTH]


def _completed(task: Mapping[str, Any]) -> BatchRow:
    usage = task.get("usage")
    paid = usage if isinstance(usage, Mapping) else task
    amount = read_amount(paid.get("cost"))
    files = _files(task)
    return BatchRow(
        id=_text(task.get("id")),
        state="completed",
        url=next(iter(files), None),
        other_urls=list(files[1:MAX_FILES_LISTED]),
        thumbnail_url=web_url(task.get("thumbnail_url")),
        results=0 if web_url(task.get("video_url")) else len(files),
        cost=Money(str(paid.get("cost_unit") or NO_CURRENCY)[:MAX_UNIT_LENGTH], amount) if amount is not None else None,
        is_partial=task.get("is_partial") is True,
    )


def _files(task: Mapping[str, Any]) -> Sequence[str]:
    """Return the video of a task, else its files: all in a whole payload, the first in a row of the table."""
    video_url = web_url(task.get("video_url"))
    return (video_url,) if video_url else urls_in(task)


def _failed(failure: Mapping[str, Any]) -> BatchRow:
    files = result_urls(failure.get("result_urls"))
    return BatchRow(
        id=_text(failure.get("id")),
        state="failed",
        url=next(iter(files), None),
        other_urls=list(files[1:MAX_FILES_LISTED]),
        results=len(files),
        reason=_text(failure.get("reason")),
        is_partial=bool(files),
    )
