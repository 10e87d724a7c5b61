"""What a user may set for a budget."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_seeany.operators.budget import SeeAnyBudget


@pytest.mark.parametrize("limit", [200, 0.7, "0.70", Decimal("0.7"), 0])
def test_a_limit_is_the_amount_that_was_written(limit: Any) -> None:
    assert Decimal(SeeAnyBudget(limit).limit) == Decimal(str(limit))


WRONG: list[tuple[str, Any]] = [
    *(("limit", value) for value in (-1, "a lot", None, True, float("nan"), float("inf"))),
    ("expected_cost", -0.1),
    ("unit", ""),
    ("unit", None),
    ("per", "month"),
    ("scope", "run"),
    ("on_exceed", "stop"),
]


@pytest.mark.parametrize(("parameter", "value"), WRONG)
def test_a_parameter_that_means_nothing_is_refused_where_the_dag_is_written(parameter: str, value: Any) -> None:
    with pytest.raises(ValueError, match=parameter):
        SeeAnyBudget(**{"limit": 1, parameter: value})
