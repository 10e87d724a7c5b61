"""Sums of costs: exact, and each currency on its own."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from airflow_provider_seeany.api.costs import Costs
from tests.api.tasks import completed, task_with


def test_currencies_are_never_added_together() -> None:
    costs = Costs()
    for cost, unit in ((0.1, "CNY"), (0.2, "CNY"), (3, "USD"), (1200, "JPY"), (0.0035, "EUR"), (1, None)):
        costs.add(task_with("x", "completed", usage={"cost": cost, "cost_unit": unit}))
    costs.add(task_with("x", "completed"))

    assert str(costs) == "¥0.30 + $3.00 + 1,200.00 JPY + €0.0035 + 1.00 ?"
    assert costs.totals() == {"CNY": 0.3, "USD": 3.0, "JPY": 1200.0, "EUR": 0.0035, "?": 1.0}


def test_ten_thousand_costs_add_up_to_the_cent() -> None:
    costs = Costs()
    for _ in range(10_000):
        costs.add(completed("x", cost=0.7))

    assert costs.totals() == {"CNY": float(Decimal("7000.0"))}
    assert str(costs) == "¥7,000.00"


@pytest.mark.parametrize("cost", [1e308, -1e308, 10**30])
def test_no_cost_is_too_large_to_be_stored(cost: float) -> None:
    costs = Costs()
    for _ in range(3):
        costs.add(completed("x", cost=cost))

    json.dumps(costs.totals(), allow_nan=False)
    assert len(str(costs)) < 60
