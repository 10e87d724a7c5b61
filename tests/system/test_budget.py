"""DAGs that a budget guards, on real Airflow processes against the simulator's costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.conftest import FinishedRun

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

REFUSED = {
    "budget_spent": "¥1.50 a day for DAG budget_spent; ¥1.40 spent, 0 in flight at about ¥0.70 each",
    "budget_in_flight": "¥10.00 a day for DAG budget_in_flight; ¥0.00 spent, 2 in flight at about ¥5.00 each",
}


@pytest.mark.parametrize("dag_id", REFUSED)
def test_the_task_that_would_exceed_the_budget_is_not_created(
    run_dag: Callable[[str], FinishedRun], dag_id: str
) -> None:
    run = run_dag(dag_id)

    for number in (1, 2):
        assert run.task(f"submit_{number}").state == "success", run.log(f"submit_{number}")
        assert f"created video-0s-{dag_id}-{number}" in run.log(f"submit_{number}")
    task, log = run.task("submit_3"), run.log("submit_3")
    assert (task.state, task.try_number) == ("failed", 1), log
    assert f"SeeAnyBudgetExceeded: The budget does not allow another SeeAny task: the limit is {REFUSED[dag_id]}" in log
    assert f"created video-0s-{dag_id}-3" not in log
    assert [key for key in run.all_xcoms("submit_1") if key.startswith("_seeany_question")] == []


def test_a_budget_that_skips_skips_what_comes_after_it(run_dag: Callable[[str], FinishedRun]) -> None:
    run = run_dag("budget_spent")

    assert run.task("skipped").state == "skipped", run.log("skipped")
    assert run.task("after_skipped").state == "skipped"


def test_a_budget_that_warns_goes_on(run_dag: Callable[[str], FinishedRun]) -> None:
    run = run_dag("budget_spent")

    assert run.task("other_currency").state == "success"
    assert "The budget does not allow another SeeAny task: the limit is $0.00" in run.log("other_currency")
