"""DAGs that a budget guards."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, chain

from airflow_provider_seeany.operators.budget import SeeAnyBudget, SeeAnyBudgetOperator
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator


def create(seeany_task_id: str) -> str:
    """Create a task: the simulator makes it when it is first polled."""
    print(f"created {seeany_task_id}")
    return seeany_task_id


def submit(number: int, budget: SeeAnyBudget, *, wait: bool) -> SeeAnySubmitOperator:
    """Create one of several tasks."""
    return SeeAnySubmitOperator(
        task_id=f"submit_{number}",
        create=create,
        op_args=[f"video-0s-{{{{ dag.dag_id }}}}-{number}"],
        budget=budget,
        wait=wait,
        poll_interval=1,
        retries=1,
    )


with DAG("budget_spent", schedule=None):
    # A video costs 0.7.
    guarded = SeeAnyBudget(limit=1.5)
    chain(
        *(submit(number, guarded, wait=True) for number in (1, 2, 3)),
        # Whatever became of them.
        SeeAnyBudgetOperator(task_id="skipped", limit="{{ 7 / 5 }}", on_exceed="skip", trigger_rule="all_done"),
        EmptyOperator(task_id="after_skipped"),
    )
    SeeAnyBudgetOperator(task_id="other_currency", limit=0, unit="USD", on_exceed="warn")

with DAG("budget_in_flight", schedule=None):
    guarded = SeeAnyBudget(limit=10, expected_cost=5)
    chain(*(submit(number, guarded, wait=False) for number in (1, 2, 3)))
