"""A real Airflow with results in every state, and a browser to test its UI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS
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

has_tab_and_page = pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="Airflow has neither tab nor page before 3.2")

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


NOWHERE = "/plugin/nothing"
"""A path of Airflow's UI at which there is little: where a tab waits for the next test."""

GO = "address => { history.pushState(null, '', address); dispatchEvent(new PopStateEvent('popstate')); }"


LEFT = () if AIRFLOW_V_3_3_PLUS else ("signal is aborted without reason",)
"""What Airflow's own UI throws if it is left while it loads."""


class Viewer:
    """A browser profile, signed in, and its tabs.

    To load Airflow's UI takes five seconds of CPU, to go on in it half a second. So the tests share tabs, and go from
    address to address as the links of the UI do.
    """

    def __init__(self, browser: Browser, url: str, *, dark: bool, language: str, phone: bool) -> None:
        self.context = browser.new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1360, "height": 900},
            color_scheme="dark" if dark else "light",
            locale="zh-CN" if language == "zh" else "en-US",
            timezone_id="Asia/Shanghai",
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self._prefer = (
            f"localStorage.setItem('i18nextLng', {'zh-CN' if language == 'zh' else 'en'!r});"
            f"localStorage.setItem('theme', {'dark' if dark else 'light'!r});"
        )
        self.context.add_init_script(self._prefer)
        self.errors: list[str] = []
        self._url = url
        self._idle: list[Page] = []

    def open(self, address: str, before: Callable[[Page], object]) -> Page:
        """Go to an address in a tab that waits, or load it in a new one."""
        if self._idle:
            page = self._idle.pop()
            before(page)
            page.evaluate(GO, address)
            return page
        self.context.request.get(f"{self._url}/auth/token/login")
        page = self.context.new_page()
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        before(page)
        page.goto(address, wait_until="domcontentloaded")
        return page

    def leave(self, page: Page, *, is_kept: bool) -> None:
        """Close a tab, or leave what it shows, for the next test."""
        # What Airflow's UI, or a test, has kept for the next visit. The language stays: Airflow writes it to the page
        # only if its texts came after the UI was mounted.
        page.evaluate(f"localStorage.clear();{self._prefer}")
        if is_kept and page.url.startswith(self._url):
            page.mouse.move(0, 0)
            page.evaluate(GO, self._url + NOWHERE)
            expect(page.get_by_role("heading", name="404")).to_be_visible()
            page.unroute_all(behavior="ignoreErrors")
            self._idle.append(page)
        else:
            page.close()


@pytest.fixture(scope="session")
def viewer_of(browser: Browser, airflow: LocalAirflow) -> Iterator[Callable[..., Viewer]]:
    """The viewers by what they prefer, each shared by all tests."""
    viewers: dict[tuple[bool, str, bool], Viewer] = {}

    def viewer_of(*, dark: bool, language: str, phone: bool) -> Viewer:
        key = dark, language, phone
        if key not in viewers:
            viewers[key] = Viewer(browser, airflow.url, dark=dark, language=language, phone=phone)
        return viewers[key]

    yield viewer_of
    for viewer in viewers.values():
        viewer.context.close()


@pytest.fixture
def open_page(
    request: pytest.FixtureRequest, browser: Browser, airflow: LocalAirflow, viewer_of: Callable[..., Viewer]
) -> Iterator[object]:
    opened: list[tuple[Viewer, Page]] = []
    own: list[Viewer] = []
    expected_errors: list[str] = [*LEFT]
    failed_before = request.session.testsfailed

    def at(
        address: str,
        *,
        dark: bool = False,
        language: str = "en",
        phone: bool = False,
        before: Callable[[Page], object] = lambda page: None,
        expected_error: str | None = None,
        is_first_visit: bool = False,
    ) -> Page:
        expected_errors.extend([expected_error] if expected_error else [])
        if is_first_visit:
            own.append(Viewer(browser, airflow.url, dark=dark, language=language, phone=phone))
        viewer = own[-1] if is_first_visit else viewer_of(dark=dark, language=language, phone=phone)
        page = viewer.open(address, before)
        opened.append((viewer, page))
        return page

    yield at
    # Whatever a failed test has left behind is no other test's concern, nor an expected error that comes late.
    is_kept = request.session.testsfailed == failed_before and expected_errors == [*LEFT]
    errors: list[str] = []
    for viewer, page in opened:
        viewer.leave(page, is_kept=is_kept and viewer not in own)
        errors += viewer.errors
        viewer.errors.clear()
    for viewer in own:
        viewer.context.close()
    unexpected = [error for error in errors if not any(text in error for text in expected_errors)]
    assert not unexpected, unexpected
