"""A private Airflow home, servers, and connections to them."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import tests.fuzz  # its settings are those of all tests of made-up input
import tests.rare_gc.sitecustomize  # noqa: F401

# Airflow reads its settings and makes its home when it is first imported, which a test's module does.
_HOME = tempfile.mkdtemp(prefix="airflow-provider-seeany-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _HOME
# What a test starts collects garbage rarely, as this process does, and finds this repository.
_TESTS = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(_TESTS / "rare_gc"), str(_TESTS.parent)])

import pytest  # noqa: E402
from airflow.sdk.execution_time import task_runner  # noqa: E402

from airflow_provider_seeany.api import invalid_responses, retries  # noqa: E402
from airflow_provider_seeany.api.asynchronous import shared_client  # noqa: E402
from airflow_provider_seeany.api.blocking import BlockingClient  # noqa: E402
from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT, DIALECTS  # noqa: E402
from airflow_provider_seeany.api.dialects.base import Dialect  # noqa: E402
from airflow_provider_seeany.api.errors import ApiError  # noqa: E402
from airflow_provider_seeany.api.request import ApiSettings, base_url  # noqa: E402
from airflow_provider_seeany.api.secret import Secret  # noqa: E402
from airflow_provider_seeany.api.task import SeeAnyTask  # noqa: E402
from airflow_provider_seeany.simulator.server import create_app, serve  # noqa: E402
from airflow_provider_seeany.triggers import supervisor_api  # noqa: E402
from local_airflow.postgres import running_postgres  # noqa: E402
from tests.hostile import HostileServer, in_background  # noqa: E402
from tests.supervisor import Supervisor  # noqa: E402

KEY = "sk-marked-0123456789abcdefghijklmnopqrstuvwxyzABCDE"
"""A key that must never show. As long as real ones are."""

Poll = Callable[..., SeeAnyTask | ApiError]


LARGEST_ROOMS = tuple(_TESTS / room for room in ("api", "triggers", "web"))
ORDER = ("airflow", "largest rooms", "callback")
"""The groups of tests that begin, in this order. All other groups follow, then what is in none and fills the gaps."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Begin with the group that takes longest: with two workers, all the others together take about as long.

    The second worker begins with the fast tests of the largest rooms, as one group. They take about a minute, in which
    the first one starts all its DAGs. If a second Airflow started then, the scheduler could be so late that it loses
    deferred task instances (apache/airflow#72716).
    """

    def place(item: pytest.Item) -> int:
        mark = item.get_closest_marker("xdist_group")
        if mark is None:
            return len(ORDER) + 1
        return ORDER.index(mark.args[0]) if mark.args[0] in ORDER else len(ORDER)

    for item in items:
        if any(item.path.is_relative_to(room) for room in LARGEST_ROOMS) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("largest rooms"))
    items.sort(key=place)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies, certificates, connections and passwords from the environment."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")) or name.startswith("AIRFLOW_CONN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture(autouse=True)
def _retries_without_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as often as ever, but after shorter pauses."""
    monkeypatch.setattr(retries, "MAX_PAUSE", 0.01)


@pytest.fixture
def _invalid_responses_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """End a wait after as many invalid responses in a row as ever, however fast they come."""
    monkeypatch.setattr(invalid_responses, "MIN_INVALID_SECONDS", 0.0)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """The supervisor to which a worker or a trigger sends its messages."""
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr(supervisor_api, "channel", lambda: supervisor)
    return supervisor


@pytest.fixture
def hostile() -> Iterator[HostileServer]:
    """A server of the test's own, on this machine, whose responses the test scripts."""
    server = HostileServer()
    with in_background(server.serve):
        yield server


@pytest.fixture
def other_host() -> Iterator[HostileServer]:
    """A second server, which no request should reach. Called ``localhost``, so that its name is another too."""
    server = HostileServer()
    with in_background(server.serve):
        server.url = server.url.replace("127.0.0.1", "localhost")
        yield server


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """The URL of a simulator. Tasks start at their first poll, so each test takes ids of its own."""
    url: list[str] = []

    async def start() -> Coroutine[Any, Any, None]:
        stack = AsyncExitStack()
        url.append(await stack.enter_async_context(serve(create_app())))
        return stack.aclose()

    with in_background(start):
        yield url[0]


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first Airflow of all the session's processes leaves an empty database for the others."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "empty-database"


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server of this module's own."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make an Airflow connection, as JSON in an environment variable; in the dialect of the test, if it has one."""
    api = {"api": request.getfixturevalue("dialect").name} if "dialect" in request.fixturenames else {}

    def make(
        conn_id: str = "seeany_default", *, extra: Mapping[str, object] | str | None = None, **fields: object
    ) -> None:
        more = extra if isinstance(extra, str) else {**api, **(extra or {})}
        connection = {"conn_type": "seeany", "password": KEY, "extra": more, **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return make


@pytest.fixture
def _connected(hostile: HostileServer, connect: Callable[..., None]) -> None:
    """Make the default connection, to the hostile server."""
    connect(host=hostile.url, extra={"request_timeout": 5})


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect of the API."""
    each: Dialect = request.param
    return each


def settings_for(
    server: HostileServer, dialect: Dialect = DEFAULT_DIALECT, *, request_timeout: float = 10, **more: Any
) -> ApiSettings:
    """Return the settings of a client for a server."""
    url = base_url(server.url, dialect=dialect)
    return ApiSettings(base_url=url, api_key=Secret(KEY), dialect=dialect, request_timeout=request_timeout, **more)


def poll_blocking(settings: ApiSettings, task_id: str = "x") -> SeeAnyTask | ApiError:
    """Poll once as a worker does."""
    client = BlockingClient(settings)
    try:
        return client.get_task(task_id)
    except ApiError as error:
        return error
    finally:
        client.close()


def poll_async(settings: ApiSettings, task_id: str = "x") -> SeeAnyTask | ApiError:
    """Poll once as a trigger does."""

    async def poll() -> SeeAnyTask | ApiError:
        async with shared_client(settings) as client:
            try:
                return await client.get_task(task_id)
            except ApiError as error:
                return error

    return asyncio.run(poll())


@pytest.fixture(params=[poll_blocking, poll_async], ids=["blocking", "asynchronous"])
def poll(request: pytest.FixtureRequest) -> Poll:
    """Each of the two transports."""
    way: Poll = request.param
    return way


async def eventually(server: HostileServer, condition: Callable[[], bool]) -> None:
    """Wait in a coroutine until a condition on a server holds."""
    await asyncio.to_thread(server.until, condition)
