"""The results and the sums as CSV files, line by line; what a spreadsheet would run as a formula becomes text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_seeany.web.results.batch import BatchRow
from airflow_provider_seeany.web.results.views import Group, Result
from airflow_provider_seeany.xcoms.untrusted import Money

_BYTE_ORDER_MARK = "\ufeff"  # without which spreadsheets take Chinese for something else

# In full width, too, as spreadsheets in Chinese take those for the same.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")

RESULT_COLUMNS = (
    "ended_at",
    "state",
    "seeany_task_id",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "connection",
    "cost",
    "currency",
    "url",
    "files",
    "duration",
    "resolution",
    "is_partial",
    "is_task_failed",
    "error_code",
    "error_message",
)
BATCH_COLUMNS = ("seeany_task_id", "state", "cost", "currency", "url", "files", "is_partial", "reason")
SUM_COLUMNS = ("day", "dag_id", "connection", "state", "results", "cost", "currency", "owner", "tags")


def results_csv(parts: Iterable[Iterable[Result]]) -> Iterator[str]:
    """Yield the lines of results, those of one part together; a result in several currencies has a line for each."""
    yield _lines([RESULT_COLUMNS], mark=_BYTE_ORDER_MARK)
    for part in parts:
        yield _lines(_cells(result, money) for result in part for money in _or_none(result.cost))


def _cells(result: Result, money: Money | None) -> Sequence[Any]:
    ended_at = None if result.at is None else datetime.fromtimestamp(result.at, tz=UTC).isoformat()
    return (
        ended_at,
        result.state,
        result.seeany_task_id,
        result.dag_id,
        result.run_id,
        result.task_id,
        result.map_index,
        result.conn_id,
        *_money_cells(money),
        result.video_url or result.first_result,
        result.results,
        result.duration,
        result.resolution,
        result.is_partial,
        result.is_task_failed,
        result.error_code,
        result.error_message,
    )


def batch_csv(rows: Iterable[BatchRow]) -> Iterator[str]:
    """Yield the lines of the tasks of a batch."""
    yield _lines([BATCH_COLUMNS], mark=_BYTE_ORDER_MARK)
    yield _lines(
        (
            row.id,
            row.state,
            *_money_cells(row.cost),
            row.url,
            max(row.results, 1) if row.url else 0,
            row.is_partial,
            row.reason,
        )
        for row in rows
    )


def sums_csv(groups: Iterable[Group], owners: Mapping[str, str], tags: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the lines of sums; the number of results is in the first line of several currencies, so that it adds up."""
    yield _lines([SUM_COLUMNS], mark=_BYTE_ORDER_MARK)
    for group in groups:
        yield _lines(
            (
                group.day.isoformat(),
                group.dag_id,
                group.conn_id,
                group.state,
                0 if number else group.count,
                *_money_cells(money),
                owners.get(group.dag_id),
                ", ".join(tags.get(group.dag_id, ())),
            )
            for number, money in enumerate(_or_none(group.cost))
        )


def _or_none(cost: Sequence[Money]) -> Sequence[Money | None]:
    return cost or (None,)


def _money_cells(money: Money | None) -> tuple[str | None, str | None]:
    # In digits: a spreadsheet understands no 1E+15 as exactly that.
    return (None, None) if money is None else (f"{money.amount:f}", money.unit)


def _lines(rows: Iterable[Sequence[Any]], mark: str = "") -> str:
    written = io.StringIO(mark)
    written.seek(len(mark))
    csv.writer(written, lineterminator="\r\n").writerows([_harmless(cell) for cell in row] for row in rows)
    return written.getvalue()


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
