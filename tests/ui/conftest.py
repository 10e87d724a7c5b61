"""A real Airflow with results in every state, and a browser to test its UI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from local_airflow import DagRun, LocalAirflow
from tests.system.conftest import simulator, simulator_url  # noqa: F401

REPOSITORY = Path(__file__).parents[2]
DAGS = Path(__file__).with_name("dags")
FRESH = Path(__file__).with_name("test_fresh.py")
PREFIX = "/team/airflow"
"""All tests use a path prefix: what works with one works without."""

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ENDED = {
    "finished": "success",
    "kept": "success",
    "lost": "failed",
    "failed": "failed",
    "timed_out": "failed",
    "image_set": "success",
    "batch": "success",
    "refused": "failed",
    "mixed": "failed",
    "skipped": "skipped",
    "retrying": "up_for_retry",
    "failed_later": "failed",
    "passed_over": "upstream_failed",
    "foreign": "success",
}

OpenPage = Callable[..., Page]

# As long as a busy machine takes to show a page for the first time.
expect.set_options(timeout=20_000)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of an Airflow without any result: all share one."""
    items.sort(key=lambda item: item.path != FRESH)


class Ui:
    """The Airflow under test, and the run with a wait in every state."""

    def __init__(self, airflow: LocalAirflow, run: DagRun, files_url: str) -> None:
        self.airflow = airflow
        self.run = run
        self.files_url = files_url

    def task(self, task_id: str, map_index: int | None = None) -> str:
        """Return the address of a task instance's SeeAny tab."""
        mapped = "" if map_index is None else f"/mapped/{map_index}"
        path = f"/dags/{self.run.dag_id}/runs/{self.run.run_id}/tasks/{task_id}{mapped}/plugin/seeany-result"
        return self.airflow.url + path

    @property
    def page(self) -> str:
        """Return the address of the SeeAny page."""
        return f"{self.airflow.url}/plugin/seeany"


@pytest.fixture(scope="session")
def airflow(simulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:  # noqa: F811
    home = tmp_path_factory.mktemp("ui")
    with LocalAirflow(
        home,
        DAGS,
        base_url_path=PREFIX,
        wait_for_dags={"shoe_videos", "weekly_campaign", "product_teasers"},
    ) as running:
        running.create_connection("seeany_default", conn_type="seeany", host=simulator_url, password="sk-ui")
        yield running


@pytest.fixture(scope="session")
def ui(airflow: LocalAirflow, simulator_url: str) -> Ui:  # noqa: F811
    run = airflow.trigger_dag("shoe_videos", run_id="autumn")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.web.results.history",
            simulator_url,
            "--dag=weekly_campaign",
            "--dag=product_teasers",
        ],
        env=airflow.environment,
        cwd=REPOSITORY,
        check=True,
    )
    for task_id, state in ENDED.items():
        airflow.client.wait_for_task(run, task_id, {state}, timeout=120)
    for map_index in (0, 1):
        airflow.client.wait_for_task(run, "colours", {"success"}, map_index=map_index, timeout=120)
    airflow.client.wait_for_task(run, "under_way", {"deferred"}, timeout=120)
    airflow.client.wait_for_task(run, "poking", {"running"}, timeout=120)
    return Ui(airflow, run, simulator_url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


class BrowserTab:
    """A browser tab, signed in, that records the errors of the page."""

    def __init__(self, browser: Browser, url: str, *, dark: bool, language: str, phone: bool) -> None:
        self.context = browser.new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1360, "height": 900},
            color_scheme="dark" if dark else "light",
            locale="zh-CN" if language == "zh" else "en-US",
            timezone_id="Asia/Shanghai",
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.add_init_script(
            f"localStorage.setItem('i18nextLng', {'zh-CN' if language == 'zh' else 'en'!r});"
            f"localStorage.setItem('theme', {'dark' if dark else 'light'!r});"
        )
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._url = url

    def open(self, address: str, *, before: Callable[[Page], object]) -> Page:
        """Sign in and go to an address."""
        self.context.request.get(f"{self._url}/auth/token/login")
        before(self.page)
        self.page.goto(address, wait_until="domcontentloaded")
        return self.page


@pytest.fixture
def open_page(browser: Browser, airflow: LocalAirflow) -> Iterator[object]:
    browser_tabs: list[BrowserTab] = []
    expected_errors: list[str] = []

    def at(
        address: str,
        *,
        dark: bool = False,
        language: str = "en",
        phone: bool = False,
        before: Callable[[Page], object] = lambda page: None,
        expected_error: str | None = None,
    ) -> Page:
        expected_errors.extend([expected_error] if expected_error else [])
        browser_tab = BrowserTab(browser, airflow.url, dark=dark, language=language, phone=phone)
        browser_tabs.append(browser_tab)
        return browser_tab.open(address, before=before)

    yield at
    errors = [
        error
        for browser_tab in browser_tabs
        for error in browser_tab.errors
        if not any(text in error for text in expected_errors)
    ]
    for browser_tab in browser_tabs:
        browser_tab.context.close()
    assert not errors, errors
