"""Adds up what tasks cost, exactly, each currency on its own."""

from __future__ import annotations

import sys
from decimal import Decimal

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

NO_CURRENCY = "?"
"""The key of costs without a currency."""

_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}


class Costs:
    """Adds up what tasks cost, by currency."""

    def __init__(self) -> None:
        self._totals: dict[str, Decimal] = {}

    def add(self, task: SeeAnyTask) -> None:
        """Add a task's cost, if it has one."""
        if task.usage.cost is not None:
            unit = sanitize(task.usage.cost_unit or "", limit=20) or NO_CURRENCY
            # Through its text: the float 0.7 is not quite seven tenths, what the service wrote is.
            self._totals[unit] = self._totals.get(unit, Decimal()) + Decimal(str(task.usage.cost))

    def totals(self) -> dict[str, float]:
        """Return the sums by currency, as JSON numbers."""
        maximum = sys.float_info.max
        return {unit: max(min(float(total), maximum), -maximum) for unit, total in self._totals.items()}

    def __str__(self) -> str:
        return " + ".join(money_text(total, unit) for unit, total in self._totals.items())


def money_text(amount: Decimal, unit: str) -> str:
    """Write money for a person, as ``moneyText`` of the UI does: ``¥0.70``, ``12.00 credits``."""
    exponent = amount.normalize().as_tuple().exponent
    decimals = min(max(-exponent, 2), 6) if isinstance(exponent, int) else 2
    number = f"{amount:,.{decimals}f}" if amount.adjusted() < 18 else f"{amount:.3e}"
    return f"{_SIGNS[unit]}{number}" if unit in _SIGNS else f"{number} {unit}".rstrip()
