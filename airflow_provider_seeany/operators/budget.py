"""The operator that stops a DAG before it spends more than a budget, and the budget itself."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.budget.limit import Amount, SeeAnyBudget

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["SeeAnyBudget", "SeeAnyBudgetOperator"]


class SeeAnyBudgetOperator(BaseOperator):
    """
    Fails, is skipped or warns if another SeeAny task would exceed a budget.

    ``SeeAnySubmitOperator`` checks by itself, with ``budget=SeeAnyBudget(…)``, which has the same parameters; this is
    for a task that creates one in another way. What is created elsewhere after the check is not seen by it.

    :param limit: the maximum of what was spent today, what is in flight, and the next task together (templated).
    :param unit: its currency (templated).
    :param per: ``day``, in UTC.
    :param scope: what counts: the results of this DAG (``dag``), or all that came through the connection (``conn_id``).
    :param on_exceed: ``fail``, which is never retried, ``skip``, or ``warn`` in the log and go on.
    :param expected_cost: what one task is likely to cost (templated); by default the mean of the last results.
    :param seeany_conn_id: the connection that ``conn_id`` means (templated).
    """

    template_fields: Sequence[str] = ("limit", "unit", "expected_cost", "seeany_conn_id")
    ui_color = "#fef6e0"

    def __init__(
        self,
        *,
        limit: Amount,
        unit: str = "CNY",
        per: Literal["day"] = "day",
        scope: Literal["dag", "conn_id"] = "dag",
        on_exceed: Literal["fail", "skip", "warn"] = "fail",
        expected_cost: Amount | None = None,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.limit = limit
        self.unit = unit
        self.per = per
        self.scope = scope
        self.on_exceed = on_exceed
        self.expected_cost = expected_cost
        self.seeany_conn_id = seeany_conn_id
        # What is no number yet may be a template.
        self._budget(limit=_number_or_0(limit), expected_cost=_number_or_0(expected_cost))

    def execute(self, context: Context) -> None:
        """Request the sums from the api-server, and decide."""
        from airflow_provider_seeany.budget.check import check_budget
        from airflow_provider_seeany.exceptions import SeeAnyConfigError

        try:
            budget = self._budget(limit=self.limit, expected_cost=self.expected_cost)
        except ValueError as error:
            raise SeeAnyConfigError(f"The budget cannot be used: {error}.") from None
        check_budget(budget, context, seeany_conn_id=self.seeany_conn_id, log=self.log)

    def _budget(self, *, limit: Amount, expected_cost: Amount | None) -> SeeAnyBudget:
        return SeeAnyBudget(
            limit=limit,
            unit=self.unit,
            per=self.per,
            scope=self.scope,
            on_exceed=self.on_exceed,
            expected_cost=expected_cost,
        )


def _number_or_0(value: object) -> Amount:
    return value if isinstance(value, int | float | Decimal) else 0
