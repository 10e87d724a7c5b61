"""
A budget per day: image sets are created as long as there is money for them today, the others are skipped.

Run it twice a day, and the second run skips all of them. The day is that of UTC.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.operators.budget import SeeAnyBudget
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator

PROMPTS = ["a red shoe, images-5s", "a green bag, images-5s", "a blue hat, images-5s"]


@dag(schedule=None, tags=["seeany", "example"])
def seeany_within_budget():
    images = SeeAnySubmitOperator.partial(
        task_id="images",
        # Enough for two. The developer API returns no costs, so each counts as the expected one.
        budget=SeeAnyBudget(limit=1, unit="CNY", expected_cost=0.4, on_exceed="skip"),
        # One after the other: checks at the same moment do not see what each other creates. The waits overlap.
        max_active_tis_per_dag=1,
        wait=True,
        seeany_conn_id="seeany_developer",
        retries=3,
    ).expand(payload=[{"aiTypeId": 113, "aiType": "smartImg", "prompt": prompt, "imgNum": 2} for prompt in PROMPTS])

    # Also if some of them were skipped, unless all were.
    @task(trigger_rule="none_failed_min_one_success")
    def publish(results: list[dict[str, Any]]) -> list[str]:
        return [url for result in results for url in SeeAnyTask.from_xcom(result).result_urls]

    publish(images.output)


seeany_within_budget()
