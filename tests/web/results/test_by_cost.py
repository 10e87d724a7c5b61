"""The order of results by cost, however many there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from decimal import Decimal

import pytest

from airflow_provider_seeany.web.results import by_cost
from airflow_provider_seeany.xcoms.record_key import record_key
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

MOMENT = 1_796_000_000  # whenever that is
COUNT = 150_000
INSTANCE = TaskInstanceKey("dag_0", "run", "wait", 0)


def keys(prices: int) -> Iterator[list[str]]:
    """Yield keys of results of so many prices, from one part of a range to the next."""
    model = record_key(
        MOMENT, seeany_task_id="x", state="completed", conn_id="c", cost={"CNY": "9"}, task_instance=INSTANCE
    ).removesuffix("9")
    for first in range(0, COUNT, 1000):
        yield [f"{model}{number * 7919 % prices}.5" for number in range(first, first + 1000)]


@pytest.mark.parametrize(
    ("prices", "is_descending", "maximum"),
    [(1, True, 10), (7, False, 10), pytest.param(COUNT, True, 30, marks=pytest.mark.large)],
)
def test_sorting_very_many_results_by_cost_takes_little_memory(prices: int, is_descending: bool, maximum: int) -> None:
    by_cost._amount.cache_clear()
    tracemalloc.start()
    try:
        best = by_cost._best(keys(prices), 10_001, is_descending=is_descending)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < maximum * 1_000_000
    amounts = [Decimal(key.rpartition("=")[2]) for key in best]
    assert (len(best), amounts) == (10_001, sorted(amounts, reverse=is_descending))
    assert amounts[0] == (prices - 1 if is_descending else 0) + Decimal("0.5")
