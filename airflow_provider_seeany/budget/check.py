"""Decides whether another SeeAny task may be created, and fails, skips or warns if not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_seeany.api.costs import money_text
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.budget.client import request_totals
from airflow_provider_seeany.exceptions import SeeAnyBudgetExceeded, SeeAnyBudgetUnknown

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_seeany.api.wait_log import Log
    from airflow_provider_seeany.budget.limit import SeeAnyBudget
    from airflow_provider_seeany.budget.query import SpendTotals


def check_budget(budget: SeeAnyBudget, context: Context, *, seeany_conn_id: str, log: Log) -> None:
    """
    Return if another task may be created.

    :raises SeeAnyBudgetExceeded: if not, with ``on_exceed="fail"``.
    :raises AirflowSkipException: if not, with ``on_exceed="skip"``.
    :raises SeeAnyBudgetUnknown: if there is no response of the api-server.
    """
    conn_id = seeany_conn_id if budget.scope == "conn_id" else None
    try:
        totals = request_totals(context["ti"], unit=budget.unit, conn_id=conn_id)
    except SeeAnyBudgetUnknown as unknown:
        if budget.on_exceed != "warn":
            raise
        log.warning("The budget is not checked: %s", unknown)
        return
    about = f"connection {seeany_conn_id}" if conn_id else f"DAG {context['ti'].dag_id}"
    state = describe(budget, totals, about=about)
    if totals.others:
        others = ", ".join(money_text(amount, sanitize(unit)) for unit, amount in sorted(totals.others.items()))
        log.warning("Spent in other currencies, which this budget does not count: %s", others)
    if _cost_of_one(budget, totals) is None:
        log.warning("What is in flight cannot be estimated: nothing has ended yet. Set expected_cost")
    if not is_exceeded(budget, totals):
        log.info("Within the budget: %s", state)
        return
    error = SeeAnyBudgetExceeded(f"The budget does not allow another SeeAny task: {state}.")
    if budget.on_exceed == "fail":
        raise error
    log.warning("%s", error)
    if budget.on_exceed == "skip":
        raise AirflowSkipException(str(error)) from error


def is_exceeded(budget: SeeAnyBudget, totals: SpendTotals) -> bool:
    """Tell whether the limit is used up, or another task would exceed it."""
    limit, each = Decimal(budget.limit), _cost_of_one(budget, totals) or Decimal()
    committed = totals.spent + (totals.unpriced + totals.in_flight) * each
    return committed >= limit or committed + each > limit


def describe(budget: SeeAnyBudget, totals: SpendTotals, *, about: str) -> str:
    """Describe what was spent, for a person."""
    each, unit = _cost_of_one(budget, totals), sanitize(budget.unit)
    estimate = f" at about {money_text(each, unit)} each" if each is not None else ""
    unpriced = f", {format_count(totals.unpriced)} completed without a cost" if totals.unpriced else ""
    ends = datetime.fromtimestamp(totals.ends_at, tz=UTC)
    return (
        f"the limit is {money_text(Decimal(budget.limit), unit)} a day for {about}; "
        f"{money_text(totals.spent, unit)} spent{unpriced}, {format_count(totals.in_flight)} in flight{estimate}. "
        f"The day ends at {ends:%Y-%m-%d %H:%M} UTC"
    )


def _cost_of_one(budget: SeeAnyBudget, totals: SpendTotals) -> Decimal | None:
    if budget.expected_cost is not None:
        return Decimal(budget.expected_cost)
    return None if totals.mean is None else round(totals.mean, 4)
