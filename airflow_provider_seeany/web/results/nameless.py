"""Results and sums without the names of connections: for viewers who may not read connections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from airflow_provider_seeany.web.results.views import Group, Result
from airflow_provider_seeany.xcoms.untrusted import Money


def nameless_results(results: Iterable[Result]) -> list[Result]:
    """Return the results without their connections."""
    return [replace(result, conn_id=None) for result in results]


def nameless_groups(groups: Iterable[Group]) -> list[Group]:
    """Return the groups without their connections: those that differ in nothing else are one."""
    together: dict[tuple[object, ...], list[Group]] = {}
    for group in groups:
        together.setdefault((group.day, group.dag_id, group.state), []).append(group)
    return [_sum(some) for some in together.values()]


def _sum(groups: list[Group]) -> Group:
    amounts: dict[str, Decimal] = {}
    for money in (money for group in groups for money in group.cost):
        amounts[money.unit] = amounts.get(money.unit, Decimal()) + money.amount
    cost = [Money(unit, amount) for unit, amount in amounts.items()]
    return replace(groups[0], conn_id="", count=sum(group.count for group in groups), cost=cost)
