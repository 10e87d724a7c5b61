"""When another task may be created, and what happens if not; the sums themselves are tested in tests/web/budget."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_seeany.budget import client
from airflow_provider_seeany.budget.check import check_budget, is_exceeded
from airflow_provider_seeany.budget.limit import SeeAnyBudget
from airflow_provider_seeany.budget.query import HEADER, PATH, SpendTotals, query_key
from airflow_provider_seeany.exceptions import SeeAnyBudgetExceeded, SeeAnyBudgetUnknown
from tests.hostile import HostileServer, reply
from tests.recorded_log import RecordedLog
from tests.supervisor import Supervisor


def totals(spent: str = "0", **more: Any) -> SpendTotals:
    fields: dict[str, Any] = {"unpriced": 0, "in_flight": 0, "mean": None, "others": {}, "ends_at": 1_800_057_600}
    return SpendTotals(spent=Decimal(spent), **{**fields, **more})


# What was spent, results without a cost, tasks in flight, mean cost, expected_cost, limit: is it exceeded?
EXCEEDED: list[tuple[str, int, int, str | None, str | None, str, bool]] = [
    ("0", 0, 0, None, None, "1.5", False),
    ("0", 0, 0, None, None, "0", True),
    ("1.4", 0, 0, None, None, "1.5", False),
    ("1.5", 0, 0, None, None, "1.5", True),
    ("0.7", 0, 0, "0.7", None, "1.5", False),
    ("1.4", 0, 0, "0.7", None, "1.5", True),
    ("0.7", 0, 0, "0.7", None, "1.4", False),
    ("0", 0, 2, "0.7", None, "1.5", True),
    ("0", 0, 1, "0.7", None, "1.5", False),
    ("0", 0, 9, None, None, "1.5", False),
    ("0", 0, 1, "0.7", "1", "1.5", True),
    ("0", 1, 1, None, "1", "2.5", True),
    ("0.1", 0, 2, "0.1", None, "0.4", False),
]


@pytest.mark.parametrize(("spent", "unpriced", "in_flight", "mean", "expected", "limit", "exceeded"), EXCEEDED)
def test_a_task_may_be_created_while_it_fits_into_the_limit(
    spent: str, unpriced: int, in_flight: int, mean: str | None, expected: str | None, limit: str, exceeded: bool
) -> None:
    each = totals(spent, unpriced=unpriced, in_flight=in_flight, mean=None if mean is None else Decimal(mean))

    assert is_exceeded(SeeAnyBudget(limit, expected_cost=expected), each) is exceeded


@pytest.fixture
def server(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor) -> HostileServer:
    """An api-server whose responses the test scripts."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{hostile.url}/airflow/")
    monkeypatch.setattr(client, "MAX_PAUSE", 0.01)
    monkeypatch.setattr(client, "MAX_SECONDS", 0.5)
    return hostile


def says(*responses: SpendTotals) -> list[Any]:
    return [reply(200, msgspec.to_builtins(each)) for each in responses]


def run(budget: SeeAnyBudget, log: Any = None) -> None:
    ti = SimpleNamespace(id="try-1", dag_id="videos", run_id="run", task_id="submit", map_index=-1)
    context: Any = {"ti": ti}
    check_budget(budget, context, seeany_conn_id="studio", log=log or RecordedLog())


@pytest.mark.parametrize(("scope", "conn_id"), [("dag", None), ("conn_id", "studio")])
def test_the_query_is_in_the_database_during_the_request_and_only_its_token_is_sent(
    server: HostileServer, supervisor: Supervisor, scope: Any, conn_id: str | None
) -> None:
    server.script(*says(totals("0.1")))

    run(SeeAnyBudget(1, unit="USD", scope=scope))

    (request,) = server.requests
    assert request.line == f"POST /airflow/seeany{PATH} HTTP/1.1"
    (token,) = request.all(HEADER)
    key = query_key(token)
    assert supervisor.writes == [key, key]
    assert supervisor.xcoms == {}, "deleted afterwards"
    assert token not in str(key)
    assert request.body == b""
    assert request.all("Authorization") == []


def test_a_budget_that_is_exceeded_fails_and_says_all_that_matters(server: HostileServer) -> None:
    server.script(*says(totals("198.6", in_flight=3, mean=Decimal("0.7"), unpriced=2)))

    with pytest.raises(SeeAnyBudgetExceeded) as failed:
        run(SeeAnyBudget(200))

    assert str(failed.value) == (
        "The budget does not allow another SeeAny task: the limit is ¥200.00 a day for DAG videos; ¥198.60 spent, "
        "2 completed without a cost, 3 in flight at about ¥0.70 each. The day ends at 2027-01-16 00:00 UTC."
    )


def test_a_budget_that_is_exceeded_may_skip_or_warn(server: HostileServer) -> None:
    server.script(*says(totals("200"), totals("200")))
    log = RecordedLog()

    with pytest.raises(AirflowSkipException, match=r"¥200\.00 a day for connection studio"):
        run(SeeAnyBudget(200, on_exceed="skip", scope="conn_id"))
    run(SeeAnyBudget(200, on_exceed="warn"), log)

    assert "The budget does not allow another SeeAny task" in log.text


def test_what_was_spent_in_other_currencies_is_said_once(server: HostileServer) -> None:
    server.script(*says(totals("1", others={"USD": Decimal("0.40"), "?": Decimal("2")})))
    log = RecordedLog()

    run(SeeAnyBudget(200), log)

    assert log.text.count("2.00 ?, $0.40") == 1


UNKNOWN: dict[str, Callable[[], Any]] = {
    "no such route": lambda: reply(404),
    "busy for long": lambda: reply(503, b"", ("Retry-After", "2")),
    "another program": lambda: reply(200, {"spent": "a lot"}),
    "a web page": lambda: reply(200, b"<html>"),
    "a login": lambda: reply(302, b"", ("Location", "http://login.example/")),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_without_a_response_nothing_is_created_unless_the_budget_only_warns(
    server: HostileServer, supervisor: Supervisor, name: str
) -> None:
    server.script(UNKNOWN[name]())
    log = RecordedLog()

    with pytest.raises(SeeAnyBudgetUnknown, match="Nobody can tell what was spent"):
        run(SeeAnyBudget(200, on_exceed="skip"))
    run(SeeAnyBudget(200, on_exceed="warn"), log)

    assert "The budget is not checked" in log.text
    assert supervisor.xcoms == {}


def test_an_api_server_that_is_busy_is_asked_again(server: HostileServer) -> None:
    server.script(reply(503, b"", ("Retry-After", "1")), reply(429), *says(totals("0.1")))

    run(SeeAnyBudget(200))

    assert len(server.requests) == 3


def test_the_api_server_is_found_where_the_supervisor_finds_it_or_where_users_do(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(*says(totals("0.1")))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:1/execution/")

    run(SeeAnyBudget(200))

    assert client.addresses() == ["http://127.0.0.1:1/seeany/budget", f"{server.url}/airflow/seeany/budget"]


def test_elsewhere_than_in_a_task_the_error_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "supervisor", lambda: None)

    with pytest.raises(SeeAnyBudgetUnknown, match="by a task that Airflow runs"):
        run(SeeAnyBudget(200))


def test_nothing_else_is_logged_than_that_the_budget_allows_it(server: HostileServer) -> None:
    server.script(*says(totals("1.4", in_flight=1, mean=Decimal("0.7"))))
    log = RecordedLog()

    run(SeeAnyBudget(200), log)

    (line,) = [*log.infos, *log.warnings]
    assert "Within the budget: the limit is ¥200.00 a day for DAG videos; ¥1.40 spent, 1 in flight" in line
