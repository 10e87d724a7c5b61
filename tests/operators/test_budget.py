"""The budget as a DAG has it; when it is exceeded is tested in tests/budget, what counts in tests/web/budget."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException

from airflow_provider_seeany.budget import check
from airflow_provider_seeany.budget.query import SpendTotals
from airflow_provider_seeany.exceptions import (
    SeeAnyBudgetExceeded,
    SeeAnyConfigError,
    SeeAnyNotCreated,
    SeeAnyTaskFailed,
)
from airflow_provider_seeany.operators.budget import SeeAnyBudget, SeeAnyBudgetOperator
from airflow_provider_seeany.xcoms.record_key import CREATED_KEY, FIRST_KEY, LAST_KEY, hash_part, read_created_key
from tests.hostile import FAILED, HostileServer, reply, task
from tests.operators.test_submit import Run
from tests.submit.state import Service
from tests.supervisor import Supervisor
from tests.waits import context


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """The queries that an api-server received, of which 2 CNY are spent."""
    queries: list[tuple[str, str | None]] = []

    def totals(_: Any, *, unit: str, conn_id: str | None) -> SpendTotals:
        queries.append((unit, conn_id))
        return SpendTotals(spent=Decimal(2), unpriced=0, in_flight=0, mean=Decimal(1), others={}, ends_at=0)

    monkeypatch.setattr(check, "request_totals", totals)
    return queries


def operator(**parameters: Any) -> SeeAnyBudgetOperator:
    with DAG("videos", schedule=None):
        return SeeAnyBudgetOperator(task_id="budget", **parameters)


def test_it_lets_the_dag_go_on_while_there_is_something_left(queries: list[Any]) -> None:
    operator(limit=3).execute(context())

    assert queries == [("CNY", None)]


@pytest.mark.parametrize(("on_exceed", "kind"), [("fail", SeeAnyBudgetExceeded), ("skip", AirflowSkipException)])
def test_it_stops_the_dag_when_nothing_is_left(queries: list[Any], on_exceed: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"the limit is \$2\.90 a day for connection studio"):
        operator(limit=2.9, unit="USD", scope="conn_id", seeany_conn_id="studio", on_exceed=on_exceed).execute(
            context()
        )

    assert queries == [("USD", "studio")]


def test_amounts_may_be_templates(queries: list[Any]) -> None:
    budget: Any = operator(limit="{{ limit }}", expected_cost="{{ cost }}")
    budget.render_template_fields({"limit": "2.5", "cost": "0.5"})

    budget.execute(context())

    budget.limit = "much"
    with pytest.raises(SeeAnyConfigError, match="limit must be an amount"):
        budget.execute(context())


@pytest.mark.parametrize("parameter", [{"per": "month"}, {"scope": "run"}, {"limit": -1}, {"on_exceed": "stop"}])
def test_a_parameter_that_means_nothing_is_refused_where_the_dag_is_written(parameter: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameter))):
        operator(**{"limit": 1, **parameter})


def test_a_submission_is_checked_before_it_creates_and_not_when_it_reuses(queries: list[Any]) -> None:
    service = Service()
    run = Run(create=service.create, budget=SeeAnyBudget(3))
    run.execute()
    run.execute()

    assert (len(queries), service.created) == (1, 1)


def test_a_submission_that_its_own_budget_cannot_see_says_so(
    queries: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    Run(create=Service().create, budget=SeeAnyBudget(3), do_xcom_push=False).execute()

    assert "With do_xcom_push=False budgets do not count what this task creates" in caplog.text


def test_a_submission_beyond_the_budget_creates_nothing_and_the_tab_says_why(
    queries: list[Any], supervisor: Supervisor
) -> None:
    for on_exceed, kind in (("fail", SeeAnyBudgetExceeded), ("skip", AirflowSkipException)):
        service = Service()
        run = Run(create=service.create, budget=SeeAnyBudget(2, on_exceed=on_exceed))

        with pytest.raises(kind):
            run.execute()

        assert (service.created, run.state.values) == (0, {})
        (record,) = (value for key, value in supervisor.xcoms.items() if FIRST_KEY <= key < LAST_KEY)
        assert "The budget does not allow another SeeAny task" in record["error_message"]


def test_what_a_clear_replaces_is_noted_too_and_before_the_check(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear deletes its result, but it was paid."""
    noted: list[list[str]] = []

    def note(*_: Any, **__: Any) -> None:
        noted.append([value for key, value in supervisor.xcoms.items() if key.startswith(CREATED_KEY)])

    monkeypatch.setattr(check, "check_budget", note)
    run = Run(create=Service().create, budget=SeeAnyBudget(3))
    for run.max_tries in range(4):
        supervisor.xcoms.clear()
        if run.max_tries == 3:
            # The day is over.
            run.state.edit(began_at=time.time() - 25 * 3600, earlier={})
        run.execute()
    note()

    assert noted == [[], ["wtask_1"], ["wtask_1", "wtask_2"], [], ["wtask_4"]]


@pytest.mark.usefixtures("_connected")
@pytest.mark.parametrize(("cost", "noted"), [(0, ["wtask_2"]), (0.7, ["wtask_1", "wtask_2"])])
def test_what_failed_and_cost_nothing_is_not_counted_when_it_is_replaced(
    supervisor: Supervisor, hostile: HostileServer, cost: float, noted: list[str]
) -> None:
    hostile.script(reply(200, {**FAILED, "id": "wtask_1", "usage": {"cost": cost, "cost_unit": "CNY"}}))
    run = Run(create=Service().create, wait=True)
    with pytest.raises(SeeAnyTaskFailed):
        run.execute()
    run.max_tries = 1
    supervisor.xcoms.clear()
    hostile.script(task())
    run.deferral()

    assert [value for key, value in supervisor.xcoms.items() if key.startswith(CREATED_KEY)] == noted


def test_what_was_created_before_a_clear_is_known_after_a_refusal(supervisor: Supervisor) -> None:
    run = Run(create=Service().create)
    run.execute()
    run.max_tries = 1
    with pytest.raises(SeeAnyNotCreated):
        run.execute(create=lambda: Service().fail(SeeAnyNotCreated("busy")))
    run.execute()

    assert set(run.state.submission.earlier) == {"wtask_1"}


def test_what_was_created_is_noted_also_after_a_retry_whose_xcoms_airflow_deletes(supervisor: Supervisor) -> None:
    run = Run(create=Service().create)
    run.execute()
    first = [key for key in supervisor.xcoms if key.startswith(CREATED_KEY)]
    supervisor.xcoms.clear()
    run.execute()

    (key,) = (key for key in supervisor.xcoms if key.startswith(CREATED_KEY))
    assert [key] == first
    assert read_created_key(key) == (hash_part("wtask_1"), hash_part("waits"), "seeany_default")
    assert not FIRST_KEY <= key < LAST_KEY, "it is no result"
