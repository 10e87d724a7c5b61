"""The real Airflows and their simulators, as processes, that the system tests of a session share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from shutil import copy, copytree
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY
from benchmarks.callback import airflow_with_callbacks, callback_url
from demo.simulator import running_simulator
from local_airflow import DagRun, LocalAirflow, TaskInstance
from local_airflow.client import wait_until
from tests.hostile import HostileServer, in_background
from tests.s3 import running_s3, s3_connection
from tests.statsd import Statsd, options, receiving
from tests.system.counted import Counted
from tests.system.echoes import ECHOES, KEY
from tests.system.file_backend import FOLDER_VARIABLE
from tests.system.table import MODES

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent

SHARED = ExitStack()


def _group(item: pytest.Item | None) -> str:
    mark = item.get_closest_marker("xdist_group") if item is not None else None
    return str(mark.args[0]) if mark is not None else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Let the tests of a group follow each other, also without pytest-xdist, and that of upgrades end its group.

    A triggerer of Airflow 3.3 never forgets the id of a trigger that it could not read. SQLite gives the id of a
    deleted trigger to another one, which then never starts.
    """
    items.sort(
        key=lambda item: (
            (_group(item), item.path.stem == "test_upgrade") if item.path.is_relative_to(HERE) else ("", False)
        )
    )


@pytest.fixture(scope="session")
def shared() -> Iterator[ExitStack]:
    """What is entered here ends with the tests of the group, or with the session."""
    with SHARED:
        yield SHARED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop what a group shares after its last test: an idle Airflow takes a tenth of a core."""
    yield
    if _group(item) != _group(nextitem):
        SHARED.close()


@dataclass(frozen=True)
class Simulator:
    """A simulator that runs as a process of its own."""

    url: str
    pid: int
    log_file: Path


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Run a simulator."""
    command = [sys.executable, "-m", "airflow_provider_seeany.simulator", "--port", "0"]
    log_file = tmp_path_factory.mktemp("simulator") / "log"
    with (
        log_file.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        yield Simulator(process.stdout.readline().split()[-1], process.pid, log_file)
        process.terminate()


@pytest.fixture(scope="session")
def simulator_url(simulator: Simulator) -> str:
    """The URL of the simulator."""
    return simulator.url


@pytest.fixture(scope="session")
def echo_url() -> Iterator[str]:
    """The URL of a server that quotes the key wherever it can."""
    server = HostileServer()
    for task_id, response in ECHOES.items():
        server.script(response, task_id=task_id)
    with in_background(server.serve):
        yield server.url


@pytest.fixture(scope="session")
def s3_url(shared: ExitStack) -> str:
    """The URL of a real S3 server."""
    return shared.enter_context(running_s3())


@pytest.fixture(scope="session")
def airflow(
    shared: ExitStack,
    simulator_url: str,
    echo_url: str,
    s3_url: str,
    database_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> LocalAirflow:
    """A real Airflow with the provider, the test DAGs and the example DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    copytree(HERE / "dags", dags)
    copytree(REPOSITORY / "example_dags", dags / "examples")
    running = shared.enter_context(LocalAirflow(home, dags, database_template=database_template))
    for conn_id, key in (("seeany_default", KEY), ("seeany_bad_key", "sk-bad-key"), ("seeany_no_key", None)):
        running.create_connection(conn_id, conn_type="seeany", host=simulator_url, password=key)
    developer = {"api": "developer"}
    for conn_id, key in (("seeany_developer", KEY), ("seeany_developer_bad_key", "sk-bad-envelope")):
        running.create_connection(conn_id, conn_type="seeany", host=simulator_url, password=key, extra=developer)
    running.create_connection("seeany_echo", conn_type="seeany", host=echo_url, password=KEY)
    running.create_connection("aws_studio", **s3_connection(s3_url))
    return running


@dataclass(frozen=True)
class CalledBack:
    """
    An Airflow that a simulator calls back, below a path prefix, and runs of all its DAGs.

    :param ringing: the URL of the simulator that calls back.
    :param developer: that of another one, whose connection is in the dialect of developers.
    :param silent: that of one that does not.
    :param xcoms: the folder with the XComs of the DAG `backend`.
    :param asset_url: the callback URL of the example, which names an asset.
    :param statsd: the server to which all its processes send their metrics.
    """

    airflow: LocalAirflow
    ringing: str
    developer: str
    silent: str
    xcoms: Path
    runs: dict[str, DagRun]
    asset_url: str
    statsd: Statsd


CALLED_BACK_DAGS = ("callbacks", "backend")
CALLBACK_EXAMPLE = "publish_on_callback.py"
CREATED_WITH_CALLBACK = {"video": "video-5s", "fails": "fails-5s"}


@pytest.fixture(scope="session")
def called_back(shared: ExitStack, database_template: Path, tmp_path_factory: pytest.TempPathFactory) -> CalledBack:
    """Start the Airflow, and all its DAGs at once, as they mostly wait."""
    home = tmp_path_factory.mktemp("callback") / "home"
    xcoms = home.with_name("xcoms")
    xcoms.mkdir()
    statsd, port = shared.enter_context(receiving())
    dags = copytree(HERE / "callback_dags", home.with_name("dags"))
    copy(REPOSITORY / "example_dags" / CALLBACK_EXAMPLE, dags)
    env = {
        **options(port),
        # What Airflow itself sends would be more than a socket that is read at the end keeps.
        "AIRFLOW__METRICS__METRICS_ALLOW_LIST": r"^seeany\.",
        "AIRFLOW__CORE__XCOM_BACKEND": "tests.system.file_backend.FileXCom",
        FOLDER_VARIABLE: str(xcoms),
        "PYTHONPATH": os.environ["PYTHONPATH"],
    }
    airflow, ringing, silent = shared.enter_context(
        airflow_with_callbacks(home, dags, base_url_path="/airflow", env=env, database_template=database_template)
    )
    conn_id = "calls_back_developer"
    url = callback_url(airflow.environment["AIRFLOW__SEEANY__CALLBACK_SECRET"], airflow.url, conn_id)
    developer = shared.enter_context(running_simulator(home.with_name("developer.log"), callback_url=url))
    airflow.create_connection(conn_id, conn_type="seeany", host=developer, password=KEY, extra={"api": "developer"})
    claims = TokenClaims("seeany_developer", asset="seeany_called_back")
    token = sign_token(claims, secret=airflow.environment["AIRFLOW__SEEANY__CALLBACK_SECRET"])
    asset_url = f"{airflow.url}/seeany/callback/{token}"
    host = shared.enter_context(running_simulator(home.with_name("example.log")))
    developer_api = {"api": "developer"}
    airflow.create_connection("seeany_developer", conn_type="seeany", host=host, password=KEY, extra=developer_api)
    airflow.wait_for_dags([*CALLED_BACK_DAGS, "seeany_create_video", "seeany_publish_on_callback"])
    runs = {dag_id: airflow.trigger_dag(dag_id) for dag_id in CALLED_BACK_DAGS}
    for name, prompt in CREATED_WITH_CALLBACK.items():
        runs[name] = airflow.trigger_dag("seeany_create_video", conf={"prompt": prompt})
    return CalledBack(airflow, ringing, developer, silent, xcoms, runs, asset_url, statsd)


def started_run(airflow: LocalAirflow, dag_id: str) -> FinishedRun:
    """Return the only run of a DAG that something else starts, after it has ended."""

    def runs() -> list[Any]:
        return list(airflow.client.request("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"])

    wait_until(lambda: bool(runs()), timeout=120, describe=lambda: f"nothing has started {dag_id}")
    (run,) = map(DagRun.from_json, runs())
    return FinishedRun(airflow, airflow.wait_for_run(run, timeout=120))


@pytest.fixture(scope="session")
def counted(called_back: CalledBack) -> Counted:
    """Wait until all has ended, and count, before any test lets a wait begin again."""
    for run in called_back.runs.values():
        called_back.airflow.wait_for_run(run, timeout=240)
    started_run(called_back.airflow, "seeany_publish_on_callback")
    simulators = {
        "calls_back": called_back.ringing,
        "calls_back_developer": called_back.developer,
        "silent": called_back.silent,
    }
    return Counted.by(called_back.statsd, simulators)


class FinishedRun:
    """What a DAG run that has ended left: requested once, as nothing changes any more."""

    def __init__(self, airflow: LocalAirflow, run: DagRun) -> None:
        self._airflow = airflow
        self.run = run
        self.tasks = {(task.task_id, task.map_index): task for task in airflow.task_instances(run)}
        self._xcoms = cache(partial(airflow.xcoms, run))
        self._links = cache(partial(airflow.extra_links, run))
        self._log = cache(partial(airflow.log, run))

    def task(self, task_id: str, map_index: int | None = None) -> TaskInstance:
        """Return a task instance; without ``map_index`` the only one of its task."""
        if map_index is None:
            (map_index,) = (index for name, index in self.tasks if name == task_id)
        return self.tasks[task_id, map_index]

    def xcoms(self, task_id: str, map_index: int | None = None) -> dict[str, object]:
        """Return the XComs that a user or a downstream task sees, without stored links and what is the UI's own."""
        return {key: value for key, value in self.all_xcoms(task_id, map_index).items() if not key.startswith("_")}

    def record(self, task_id: str, map_index: int | None = None) -> dict[str, Any] | None:
        """Return the record that a wait kept for the UI, or what it published of its progress."""
        kept = self.all_xcoms(task_id, map_index)
        records = [decode_json(value) for key, value in kept.items() if FIRST_KEY <= key < LAST_KEY]
        assert len(records) <= 1, kept
        return records[0] if records else kept.get("_seeany")

    def tab(self, task_id: str) -> dict[str, Any]:
        """Return what the tab on a task instance shows."""
        query = urlencode({"run_id": self.run.run_id, "task_id": task_id})
        return self._route(f"dags/{self.run.dag_id}/task?{query}")

    def summary(self) -> dict[str, Any]:
        """Return what was spent, of all DAGs."""
        return self._route("summary")

    def _route(self, path: str) -> dict[str, Any]:
        response = self._airflow.client.page(f"/seeany/api/{path}")
        assert response.status_code == 200, response.text
        payload: dict[str, Any] = response.json()
        return payload

    def all_xcoms(self, task_id: str, map_index: int | None = None) -> dict[str, Any]:
        """Return all XComs of a task instance."""
        task = self.task(task_id, map_index)
        return deepcopy(self._xcoms(task_id, map_index=task.map_index))

    def links(self, task_id: str, map_index: int | None = None) -> dict[str, str | None]:
        """Return the buttons on the task instance's page."""
        task = self.task(task_id, map_index)
        return self._links(task_id, map_index=task.map_index)

    def log(self, task_id: str, map_index: int | None = None) -> str:
        """Return the log of the last try, as the UI shows it."""
        task = self.task(task_id, map_index)
        return self._log(task_id, map_index=task.map_index, try_number=max(task.try_number, 1))


COPYING = ("seeany_keep_images", "seeany_keep_batch")
DAGS = (
    *(f"outcomes_{mode}" for mode in MODES),
    "xcoms_off",
    "ids_from_upstream",
    "batches",
    "copies_in_s3",
    "budget_spent",
    "budget_in_flight",
    "worker_free",
    "imports",
    "secrets",
    "seeany_one_video",
    "seeany_many_videos",
    "seeany_handle_failure",
    "seeany_make_video",
    "seeany_within_budget",
    *COPYING,
)


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder to which downloads copy files."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="session")
def run_dag(airflow: LocalAirflow, copies: Path) -> Callable[[str], FinishedRun]:
    """Return what the run of a DAG has left. Every DAG runs once; all start together, as they mostly wait."""
    airflow.wait_for_dags([*DAGS, "seeany_publish_videos"])
    path = {"path": copies.as_uri()}
    runs = {dag_id: airflow.trigger_dag(dag_id, conf=path if dag_id in COPYING else None) for dag_id in DAGS}

    @cache
    def finished(dag_id: str) -> FinishedRun:
        return FinishedRun(airflow, airflow.wait_for_run(runs[dag_id], timeout=300))

    return finished
