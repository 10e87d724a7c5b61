"""Who sees what where FAB's auth manager decides: the role of one DAG reads that DAG's results, and no other's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from airflow_provider_seeany.budget.query import HEADER
from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from local_airflow import LocalAirflow
from tests.scripts.fab_users import IS_CALLED_BACK, PASSWORD, RESULTS, TOKEN
from tests.ui.conftest import DAGS, REPOSITORY, has_tab_and_page
from tests.web.callback.waits_in_database import ANOTHER_DAG, CONNECTION, DAG_ID

pytestmark = pytest.mark.ui

SECRET = "of-the-callbacks-of-this-test"
OWN = sum(2**number for number in range(0, RESULTS, 2))
ALL = sum(2**number for number in range(RESULTS))


class Fab:
    """An api-server whose users FAB keeps."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = cache(self._token)

    def _token(self, user: str) -> str:
        given = {"username": user, "password": PASSWORD}
        response = requests.post(f"{self.url}/auth/token", json=given, timeout=30)
        response.raise_for_status()
        return str(response.json()["access_token"])

    def get(self, path: str, user: str | None, **parameters: Any) -> requests.Response:
        headers = {} if user is None else {"Authorization": f"Bearer {self.token(user)}"}
        return requests.get(f"{self.url}{path}", headers=headers, params=parameters, timeout=30)


@pytest.fixture(scope="module")
def fab(simulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fab]:
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        # Before 3.3 Airflow heeds this one with any auth manager.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__SEEANY__CALLBACK_SECRET": SECRET,
    }
    with LocalAirflow(tmp_path_factory.mktemp("fab"), DAGS, env=env, processes=["api-server"]) as running:
        command = [sys.executable, "-m", "tests.scripts.fab_users", simulator_url]
        subprocess.run(command, env=running.environment, cwd=REPOSITORY, check=True)
        yield Fab(running.url)


def rows(fab: Fab, user: str, **filters: Any) -> list[dict[str, Any]]:
    found = fab.get("/seeany/api/results", user, limit=100, **filters).json()
    return [*found["waiting"], *found["results"]]


def spent(fab: Fab, user: str) -> Decimal:
    groups = fab.get("/seeany/api/summary", user).json()["groups"]
    return sum((Decimal(money["amount"]) for group in groups for money in group["cost"]), Decimal())


def test_nobody_reads_results_without_signing_in(fab: Fab) -> None:
    for path in ("results", "summary", "results.csv", "summary.csv", "results/urls", "setup"):
        assert fab.get(f"/seeany/api/{path}", None).status_code == 401, path


@pytest.mark.parametrize(
    ("user", "dags", "sum_"), [("admin", {DAG_ID, ANOTHER_DAG}, ALL), ("one_dag", {DAG_ID}, OWN)], ids=str
)
def test_a_role_of_one_dag_sees_its_waits_results_and_sums_only(fab: Fab, user: str, dags: set[str], sum_: int) -> None:
    assert {(row["dag_id"], row["state"]) for row in rows(fab, user)} == {
        (dag, state) for dag in dags for state in ("waiting", "completed")
    }
    assert spent(fab, user) == sum_
    assert {line.split(",")[3] for line in fab.get("/seeany/api/results.csv", user).text.splitlines()[1:]} == dags
    assert {line.split(",")[1] for line in fab.get("/seeany/api/summary.csv", user).text.splitlines()[1:]} == dags
    assert len(fab.get("/seeany/api/results/urls", user).text.split()) == RESULTS // (2 if len(dags) == 1 else 1)


def test_a_dag_that_a_role_may_not_read_is_refused_by_name(fab: Fab) -> None:
    for path in ("results", "summary", "results.csv", "summary.csv", "results/urls"):
        assert fab.get(f"/seeany/api/{path}", "one_dag", dag_id=ANOTHER_DAG).status_code == 403, path
        assert fab.get(f"/seeany/api/{path}", "one_dag", dag_id=DAG_ID).status_code == 200, path
    (theirs, *_) = rows(fab, "admin", dag_id=ANOTHER_DAG)
    instance = {name: theirs[name] for name in ("run_id", "task_id", "map_index")}
    path = f"/seeany/api/dags/{ANOTHER_DAG}/task"
    assert fab.get(path, "admin", **instance).status_code == 200
    assert fab.get(path, "one_dag", **instance).status_code == 403


def test_who_may_not_read_connections_sees_those_of_the_results_and_not_whether_others_exist(fab: Fab) -> None:
    assert fab.get("/seeany/api/setup", "admin").json() != {"has_connection": None}
    assert fab.get("/seeany/api/setup", "one_dag").json() == {"has_connection": None}
    assert {row["conn_id"] for row in rows(fab, "one_dag", state="completed")} == {CONNECTION}
    assert fab.get("/seeany/api/summary", "one_dag").json()["connections"] == [CONNECTION]


def test_a_callback_needs_no_user_of_fab(fab: Fab) -> None:
    token = sign_token(TokenClaims(CONNECTION), secret=SECRET)
    body = {"id": "video-0s-called-back", "status": "completed"}

    response = requests.post(f"{fab.url}/seeany/callback/{token}", json=body, timeout=30)

    assert (response.status_code, response.json()["status"]) == (202, "resumed")
    path = f"/api/v2/dags/{DAG_ID}/dagRuns/run/taskInstances/wait/{IS_CALLED_BACK}"
    assert fab.get(path, "admin").json()["state"] == "scheduled"


def test_a_budget_of_a_dag_needs_no_user_of_fab_and_counts_that_dag_only(fab: Fab) -> None:
    response = requests.post(f"{fab.url}/seeany/budget", headers={HEADER: TOKEN}, timeout=30)

    assert response.status_code == 200, response.text
    assert Decimal(response.json()["spent"]) == OWN


@pytest.fixture
def page_of(fab: Fab, browser: Browser) -> Iterator[Callable[[str], Page]]:
    with ExitStack() as contexts:

        def page_of(user: str) -> Page:
            context = contexts.enter_context(
                browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-US")
            )
            page = context.new_page()
            page.goto(f"{fab.url}/auth/login/")
            page.get_by_label("Username").fill(user)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign In").click()
            expect(page).not_to_have_url(re.compile("/login"))
            page.goto(f"{fab.url}/plugin/seeany")
            return page

        yield page_of


@has_tab_and_page
def test_the_page_shows_the_dag_of_the_role(page_of: Callable[[str], Page]) -> None:
    page = page_of("one_dag")

    expect(page.get_by_role("link", name=DAG_ID, exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="Spend, last 30 days: ¥21.00")).to_be_visible()
    expect(page.get_by_role("link", name=ANOTHER_DAG, exact=True)).to_have_count(0)
    expect(page.get_by_label("Connection").get_by_role("option")).to_have_text(["All", CONNECTION])


@has_tab_and_page
def test_a_role_that_may_not_read_plugins_has_no_page(page_of: Callable[[str], Page]) -> None:
    """So Airflow decides; `docs/deploy.md` names the permission."""
    page = page_of("viewer")

    expect(page.get_by_role("heading", name="404")).to_be_visible()
