"""Runs a real Airflow on this machine: the context manager that starts, watches and stops its components."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import requests

from local_airflow.client import AirflowClient, wait_until
from local_airflow.database import locked, make_database
from local_airflow.guardian import MARK
from local_airflow.processes import GRACE_SECONDS, Component, Guardian
from local_airflow.settings import Keys, Settings, free_port
from local_airflow.values import DagRun, Job, TaskInstance

PROCESSES = ("api-server", "scheduler", "dag-processor", "triggerer")
"""What is started if nothing else is asked for."""

# Without the log servers of scheduler and triggerer, which listen on all interfaces whatever is configured: the
# api-server reads the same files from disk.
_ARGUMENTS: Mapping[str, Sequence[str]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "celery-worker": ("celery", "worker", "--skip-serve-logs"),
}
_NAMES_IN_HEALTH = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
_JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}


class LocalAirflow:
    """A private Airflow on 127.0.0.1; use it in a `with` statement.

    The home is created if needed. A second start in the same home continues with its database.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        processes: Collection[str] = PROCESSES,
        replicas: Mapping[str, int] | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
        base_url_path: str = "",
        database_url: str | None = None,
        database_template: Path | None = None,
        parallelism: int = 8,
        port: int | None = None,
        wait_for_dags: Collection[str] = (),
        start_timeout: float = 180,
        say: Callable[[str], object] = print,
    ) -> None:
        """Nothing is started or written before `with`.

        `env` adds to or overrides the environment of the components, `AIRFLOW__…` variables included.
        `replicas`: with `{"triggerer": 3}` there are also `triggerer-2` and `triggerer-3`. They need a database with
        row locks: PostgreSQL, see `local_airflow.postgres`. Each api-server has its own port, see `urls`; the first one
        serves UI and workers.
        `processes` may also name `celery-worker`, for which `env` sets executor and broker.
        `arguments` adds to the command of a component: `{"triggerer-2": ("--queues", "videos")}`.
        `base_url_path` (as `/prefix`) puts UI and API under a path, as behind a reverse proxy.
        `database_url` replaces the SQLite file in the home.
        `database_template` names a file (the Airflow version is added to it) that keeps an empty migrated SQLite
        database: the first start writes it, parallel and later ones copy it, which saves them the migration.
        `wait_for_dags` names DAGs that must be parsed before the start counts as done.
        """
        if unknown := {*processes, *(replicas or {})} - set(_ARGUMENTS):
            raise ValueError(f"unknown processes {sorted(unknown)}, there are {list(_ARGUMENTS)}")
        several = {name: count for name, count in (replicas or {}).items() if count > 1}
        if several and (database_url is None or not {"api-server", *several} <= set(processes)):
            raise ValueError("several of a process need a database_url, and the api-server to tell them apart")
        if base_url_path and (not base_url_path.startswith("/") or base_url_path.endswith("/")):
            raise ValueError("base_url_path begins with a slash and does not end with one")
        self.home = Path(home).absolute()
        self.dags_folder = Path(dags_folder).absolute()
        self.timings: dict[str, float] = {}
        self._env = dict(env or {})
        self._processes = tuple(name for name in _ARGUMENTS if name in set(processes))
        self._replicas = several
        self._extra_arguments = dict(arguments or {})
        self._base_url_path = base_url_path
        self._database_url = database_url
        self._database_template = database_template
        self._parallelism = parallelism
        self._port = port
        self._wait_for_dags = frozenset(wait_for_dags)
        self._start_timeout = start_timeout
        self._say = say
        self._settings: Settings | None = None
        self._client: AirflowClient | None = None
        self._urls: list[str] = []
        self._components: dict[str, Component] = {}
        self._jobs: dict[str, int] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start everything and wait until it is healthy."""
        with contextlib.ExitStack() as stack:
            # Entered first, so that it is left last: it also covers a signal during the stop.
            stack.enter_context(_sigterm_raises())
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything that was started; an exception gets the end of each component's log as a note."""
        if isinstance(exception, Exception):
            for component in self._components.values():
                exception.add_note(f"the end of the log of {component.name}:\n{component.log_tail(20)}")
        self._stack.close()

    @property
    def url(self) -> str:
        """The address of UI and REST API, without a trailing slash."""
        return self._ready_settings.url

    @property
    def urls(self) -> list[str]:
        """The addresses of all api-servers, that of `url` first."""
        return list(self._urls)

    @property
    def client(self) -> AirflowClient:
        """The REST client, for requests without a method here: `client.request("GET", "/pools")`."""
        if self._client is None:
            raise RuntimeError("this Airflow has not been started")
        return self._client

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the components, for an `airflow` command on the same home."""
        return self._ready_settings.environment({}, self._env)

    def process(self, name: str) -> Component:
        """Return a component by its name, to kill or restart it."""
        return self._components[name]

    def processes(self) -> dict[str, Component]:
        """Return all components by name."""
        return dict(self._components)

    def pids(self) -> set[int]:
        """Return the ids of all living processes of this Airflow."""
        return {pid for component in self._components.values() for pid in component.pids()}

    def log_files(self) -> dict[str, Path]:
        """Return the log file of each component."""
        return {name: component.log_file for name, component in self._components.items()}

    def check(self) -> None:
        """Raise with the end of its log if a component has died."""
        for component in self._components.values():
            component.check()

    def wait_until_healthy(self, *, timeout: float = 60) -> None:
        """Wait until the health page shows every started component as healthy."""
        expected = {_NAMES_IN_HEALTH[name] for name in self._processes if name in _NAMES_IN_HEALTH}
        expected.add("metadatabase")
        health: dict[str, str | None] = {}

        def healthy() -> bool:
            self.check()
            health.clear()
            # The connection is refused until the api-server listens.
            with contextlib.suppress(requests.RequestException):
                health.update(self.client.health())
            return all(health.get(name) == "healthy" for name in expected)

        wait_until(healthy, timeout=timeout, describe=lambda: f"not all components are healthy: {health}")

    def restart(self, name: str, *, timeout: float = 60) -> None:
        """Stop and start a component (also a killed one), and wait until the new one is registered."""
        component = self._components[name]
        component.stop()
        if _kind(name) not in _JOB_TYPES:
            component.start()
        else:
            # The health page cannot distinguish the new one from the old one, whose heartbeat is still fresh.
            self._start_and_register(component, timeout=timeout)
        self.wait_until_healthy(timeout=timeout)

    def job_id(self, name: str) -> int:
        """Return the job id of the latest start of a scheduler, dag-processor or triggerer."""
        return self._jobs[name]

    def create_connection(
        self,
        conn_id: str,
        *,
        conn_type: str,
        host: str | None = None,
        login: str | None = None,
        password: str | None = None,
        schema: str | None = None,
        port: int | None = None,
        extra: Mapping[str, Any] | str | None = None,
        replace: bool = False,
    ) -> None:
        """Store a connection in Airflow's database; `replace` overwrites one that exists."""
        self.client.create_connection(
            conn_id,
            conn_type=conn_type,
            host=host,
            login=login,
            password=password,
            schema=schema,
            port=port,
            extra=extra,
            replace=replace,
        )

    def wait_for_dags(self, dag_ids: Collection[str], *, timeout: float = 180) -> None:
        """Wait until all these DAGs are stored; raise at once if any DAG file cannot be imported."""
        self.client.wait_for_dags(dag_ids, timeout=timeout)

    def trigger_dag(self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> DagRun:
        """Start a run of a DAG now."""
        return self.client.trigger_dag(dag_id, conf=conf, run_id=run_id)

    def wait_for_run(
        self,
        run: DagRun,
        *,
        timeout: float = 120,
        poll_seconds: float = 0.5,
        on_poll: Callable[[DagRun], object] | None = None,
    ) -> DagRun:
        """Wait until the run has ended; raise if a component dies meanwhile."""

        def poll(latest: DagRun) -> None:
            self.check()
            if on_poll is not None:
                on_poll(latest)

        return self.client.wait_for_run(run, timeout=timeout, poll_seconds=poll_seconds, on_poll=poll)

    def wait_for_task(
        self, run: DagRun, task_id: str, states: Collection[str], *, map_index: int = -1, timeout: float = 120
    ) -> TaskInstance:
        """Wait until one task instance is in one of the states, for example `{"deferred"}`."""
        return self.client.wait_for_task(run, task_id, states, map_index=map_index, timeout=timeout)

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Return all task instances of a run, the mapped ones one by one."""
        return self.client.task_instances(run)

    def xcoms(self, run: DagRun, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task instance, by key, in JSON types."""
        return self.client.xcoms(run, task_id, map_index=map_index)

    def log(self, run: DagRun, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try as text, the triggerer's part included."""
        return self.client.log(run, task_id, map_index=map_index, try_number=try_number)

    def extra_links(self, run: DagRun, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """Return the buttons of a task instance's page: name and address."""
        return self.client.extra_links(run, task_id, map_index=map_index)

    def jobs(self, job_type: str | None = None) -> list[Job]:
        """Return the starts of scheduler, dag-processor and triggerer, newest first."""
        return self.client.jobs(job_type)

    @property
    def _ready_settings(self) -> Settings:
        if self._settings is None:
            raise RuntimeError("this Airflow has not been started")
        return self._settings

    def _start(self, stack: contextlib.ExitStack) -> None:
        begin = time.monotonic()
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(locked(self.home / "lock", wait=False))
        except BlockingIOError:
            raise RuntimeError(f"another Airflow runs in {self.home}") from None
        self._settings = settings = Settings(
            home=self.home,
            dags_folder=self.dags_folder,
            port=self._port or free_port(),
            keys=Keys.of_home(self.home),
            base_url_path=self._base_url_path,
            database_url=self._database_url,
            parallelism=self._parallelism,
        )
        make_database(settings, env=self._env, template=self._database_template, timeout=self._start_timeout)
        self.timings["migrate"] = time.monotonic() - begin

        guardian = Guardian()
        stack.callback(guardian.dismiss)
        self._client = AirflowClient(settings.url)
        self._components = self._make_components(settings, guardian)
        stack.callback(self._stop)
        # One after the other, as Airflow's jobs do not say which process is which.
        later = [component for name, component in self._components.items() if name not in _ARGUMENTS]
        for component in self._components.values():
            if component not in later:
                component.start()
        if "api-server" in self._components:
            self._wait_for_api(self.client)
            self.wait_until_healthy(timeout=self._start_timeout)
            self._jobs = {name: self._newest_job(name) for name in self._processes if name in _JOB_TYPES}
            for component in later:
                if _kind(component.name) not in _JOB_TYPES:
                    component.start()
                else:
                    self._start_and_register(component, timeout=self._start_timeout)
            for url in self._urls[1:]:
                with contextlib.closing(AirflowClient(url)) as replica:
                    self._wait_for_api(replica)
            self.timings["healthy"] = time.monotonic() - begin
            if self._wait_for_dags:
                self.wait_for_dags(self._wait_for_dags, timeout=self._start_timeout)
        self.timings["start"] = time.monotonic() - begin
        self._say(
            f"Airflow runs at {self.url} after {self.timings['start']:.1f} s (database {self.timings['migrate']:.1f} s)"
        )

    def _start_and_register(self, component: Component, *, timeout: float) -> None:
        newest = self._newest_job(component.name)
        component.start()

        def registered() -> bool:
            component.check()
            self._jobs[component.name] = self._newest_job(component.name)
            return self._jobs[component.name] > newest

        wait_until(registered, timeout=timeout, describe=lambda: f"{component.name} did not register")

    def _newest_job(self, name: str) -> int:
        return max((job.id for job in self.jobs(_JOB_TYPES[_kind(name)])), default=0)

    def _wait_for_api(self, client: AirflowClient) -> None:
        def responds() -> bool:
            self.check()
            try:
                client.warm_up()
            except requests.ConnectionError:
                return False
            return True

        wait_until(responds, timeout=self._start_timeout, describe=lambda: "the api-server does not respond")

    def _make_components(self, settings: Settings, guardian: Guardian) -> dict[str, Component]:
        replicas = [f"{name}-{number}" for name, count in self._replicas.items() for number in range(2, count + 1)]
        own_ports = {name: free_port() for name in replicas if _kind(name) == "api-server"}
        self._urls = [settings.url, *(dataclasses.replace(settings, port=port).url for port in own_ports.values())]
        token = secrets.token_hex(16)
        return {
            name: Component(
                name,
                (
                    *_ARGUMENTS[_kind(name)],
                    *(("--port", str(own_ports[name])) if name in own_ports else ()),
                    *self._extra_arguments.get(name, ()),
                ),
                environment=settings.environment(
                    {MARK: f"{token}-{name}"},
                    {**(settings.of_api_server() if _kind(name) == "api-server" else {}), **self._env},
                ),
                log_file=self.home / "logs" / f"{name}.log",
                guardian=guardian,
            )
            for name in (*self._processes, *replicas)
        }

    def _stop(self) -> None:
        begin = time.monotonic()
        self.client.close()
        try:
            # All get the signal at once and share one grace time.
            for component in self._components.values():
                component.ask_to_stop()
            for component in self._components.values():
                component.stop(max(0.1, GRACE_SECONDS - (time.monotonic() - begin)))
        except BaseException:
            # A second Ctrl-C: no more grace time, but nothing may stay.
            for component in self._components.values():
                component.kill()
            raise
        self.timings["stop"] = time.monotonic() - begin
        self._say(f"Airflow stopped after {self.timings['stop']:.1f} s")


def _kind(name: str) -> str:
    """Return the process of a component, without the number of a replica."""
    return name if name in _ARGUMENTS else name.rpartition("-")[0]


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack like Ctrl-C; by default it ends Python without leaving any `with`.

    As KeyboardInterrupt, because a test runner treats SystemExit as the failure of one test and continues.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
