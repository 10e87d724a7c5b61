"""What a user sets for a budget. DAG files load this, so it loads nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

Amount = int | float | str | Decimal


@dataclass(frozen=True)
class SeeAnyBudget:
    """
    How much may be spent before another SeeAny task is created.

    :param limit: the maximum of what was spent, what is in flight, and the next task together.
    :param unit: its currency, as ``cost_unit`` has it. Amounts in others do not count, and are logged.
    :param per: ``day``, in UTC.
    :param scope: what counts: the results of this DAG (``dag``), or all that came through the connection (``conn_id``).
    :param on_exceed: ``fail``, which is never retried, ``skip``, or ``warn`` in the log and go on.
    :param expected_cost: what one task is likely to cost; by default the mean of the last results that count.
    """

    limit: Amount
    unit: str = "CNY"
    per: Literal["day"] = "day"
    scope: Literal["dag", "conn_id"] = "dag"
    on_exceed: Literal["fail", "skip", "warn"] = "fail"
    expected_cost: Amount | None = None

    def __post_init__(self) -> None:
        for name, values in (("per", ["day"]), ("scope", ["dag", "conn_id"]), ("on_exceed", ["fail", "skip", "warn"])):
            if (value := getattr(self, name)) not in values:
                raise ValueError(f"{name} must be {' or '.join(map(repr, values))}, not {value!r}")
        if not isinstance(self.unit, str) or not self.unit.strip():
            raise ValueError(f"unit must be a currency such as 'CNY', not {self.unit!r}")
        object.__setattr__(self, "limit", _amount(self.limit, "limit"))
        if self.expected_cost is not None:
            object.__setattr__(self, "expected_cost", _amount(self.expected_cost, "expected_cost"))


def _amount(value: object, name: str) -> Decimal:
    try:
        # Through its text: 0.7 means seven tenths.
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise ValueError(f"{name} must be an amount of money, 0 or more, not {value!r}")
    return amount
