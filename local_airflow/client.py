"""A client of Airflow's REST API, for an auth manager that gives everybody an administrator's token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import requests

from local_airflow.log_text import as_text
from local_airflow.values import DagRun, ImportFailure, Job, TaskInstance

_PAGE = 100
_SECONDS_PER_REQUEST = 30
_TRIES_WHILE_LOCKED = 10
# Airflow 3.3 says what it is; 3.1 and 3.2 have no more than this for any error that they do not expect.
_LOCKED = ("Database error", "Internal Server Error")


class ApiError(RuntimeError):
    """The REST API returned an error."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path} returned {status}: {text[:2000]}")
        self.status = status


class DagImportError(RuntimeError):
    """A DAG file could not be imported; the message holds the stack trace."""


class WaitTimeoutError(TimeoutError):
    """A condition was not met in time."""


class AirflowClient:
    """The REST API of one Airflow: trigger, wait, read."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        # No proxy and no .netrc: the server is on this machine.
        self._session.trust_env = False

    def close(self) -> None:
        """Close the connections: the api-server would wait for them when it stops."""
        self._session.close()

    def request(self, method: str, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Send one request to `/api/v2` + `path`; return the JSON of the response, None for an empty one."""
        response = self._send(method, path, json=json, params=params)
        return response.json() if response.content else None

    def page(self, address: str) -> requests.Response:
        """Return the response to a GET of any path of the api-server."""
        if "Authorization" not in self._session.headers:
            self._log_in()
        # On a new connection: the server may be closing an idle one.
        alone = {"Connection": "close"}
        return self._session.get(f"{self.url}{address}", headers=alone, timeout=_SECONDS_PER_REQUEST)

    def health(self) -> dict[str, str | None]:
        """Return the status of each component; no token needed."""
        response = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=_SECONDS_PER_REQUEST)
        response.raise_for_status()
        return {name: (part or {}).get("status") for name, part in response.json().items()}

    def warm_up(self) -> None:
        """Make the first task start as fast as the later ones.

        The api-server builds all versions of the API for workers at its first request: 5 s on a small machine.
        """
        self._session.get(f"{self.url}/execution/health", timeout=120).raise_for_status()

    def jobs(self, job_type: str | None = None) -> list[Job]:
        """Return the starts of scheduler, dag-processor and triggerer, newest first."""
        params = {"order_by": "-id", **({"job_type": job_type} if job_type else {})}
        return [Job.from_json(body) for body in self._pages("/jobs", "jobs", params)]

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
        body = {
            "connection_id": conn_id,
            "conn_type": conn_type,
            "host": host,
            "login": login,
            "password": password,
            "schema": schema,
            "port": port,
            "extra": extra if extra is None or isinstance(extra, str) else json.dumps(dict(extra)),
        }
        try:
            self.request("POST", "/connections", json=body)
        except ApiError as error:
            if error.status != 409 or not replace:
                raise
            self.request("PATCH", f"/connections/{quote(conn_id, safe='')}", json=body)

    def dag_ids(self) -> set[str]:
        """Return the ids of the DAGs that the dag-processor has stored."""
        return {body["dag_id"] for body in self._pages("/dags", "dags", {"exclude_stale": "true"})}

    def import_errors(self) -> list[ImportFailure]:
        """Return the DAG files that could not be imported."""
        return [
            ImportFailure(filename=body["filename"], stack_trace=body["stack_trace"])
            for body in self._pages("/importErrors", "import_errors")
        ]

    def wait_for_dags(self, dag_ids: Collection[str], *, timeout: float = 180) -> None:
        """Wait until all these DAGs are stored; raise at once if any DAG file cannot be imported."""

        missing = set(dag_ids)

        def stored() -> bool:
            if failures := self.import_errors():
                texts = [f"{failure.filename}:\n{failure.stack_trace}" for failure in failures]
                raise DagImportError("these DAG files cannot be imported:\n\n" + "\n\n".join(texts))
            missing.difference_update(self.dag_ids())
            return not missing

        wait_until(stored, timeout=timeout, describe=lambda: f"DAGs not parsed: {sorted(missing)}")

    def trigger_dag(self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> DagRun:
        """Start a run of a DAG now."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return DagRun.from_json(self.request("POST", f"/dags/{_part(dag_id)}/dagRuns", json=body))

    def dag_run(self, run: DagRun) -> DagRun:
        """Return the run as it is now."""
        return DagRun.from_json(self.request("GET", _run_path(run)))

    def wait_for_run(
        self,
        run: DagRun,
        *,
        timeout: float = 120,
        poll_seconds: float = 0.5,
        on_poll: Callable[[DagRun], object] | None = None,
    ) -> DagRun:
        """Wait until the run has ended; `on_poll` gets it at each poll."""
        latest = run

        def ended() -> bool:
            nonlocal latest
            latest = self.dag_run(run)
            if on_poll is not None:
                on_poll(latest)
            return latest.is_finished

        wait_until(
            ended,
            timeout=timeout,
            poll_seconds=poll_seconds,
            describe=lambda: f"{run.dag_id} {run.run_id} is still {latest.state}; {self._states_text(run)}",
        )
        return latest

    def wait_for_task(
        self,
        run: DagRun,
        task_id: str,
        states: Collection[str],
        *,
        map_index: int = -1,
        timeout: float = 120,
        poll_seconds: float = 0.5,
    ) -> TaskInstance:
        """Wait until one task instance is in one of the states, for example `{"deferred"}`."""
        found: list[TaskInstance] = []

        def reached() -> bool:
            found[:] = [
                instance
                for instance in self.task_instances(run)
                if (instance.task_id, instance.map_index) == (task_id, map_index) and instance.state in states
            ]
            return bool(found)

        wait_until(
            reached,
            timeout=timeout,
            poll_seconds=poll_seconds,
            describe=lambda: f"{task_id}[{map_index}] is not {sorted(states)}; {self._states_text(run)}",
        )
        return found[0]

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Return all task instances of a run, the mapped ones one by one."""
        bodies = self._pages(f"{_run_path(run)}/taskInstances", "task_instances")
        return sorted(
            (TaskInstance.from_json(body) for body in bodies), key=lambda each: (each.task_id, each.map_index)
        )

    def task_instances_in(self, state: str) -> list[TaskInstance]:
        """Return the task instances of all DAGs and runs that are in a state."""
        bodies = self._pages("/dags/~/dagRuns/~/taskInstances", "task_instances", {"state": state})
        return [TaskInstance.from_json(body) for body in bodies]

    def xcoms(self, run: DagRun, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task instance, by key, in JSON types."""
        path = f"{_task_path(run, task_id)}/xcomEntries"
        found = {}
        # The listing has no values: one more request for each key.
        for body in self._pages(path, "xcom_entries", {"map_index": map_index}):
            try:
                found[body["key"]] = self._xcom(path, body["key"], map_index)
            except ApiError as error:
                # Deleted since it was listed, as a task instance that is waiting does.
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
        return found

    def log(self, run: DagRun, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try as text, the triggerer's part included."""
        response = self._send(
            "GET",
            f"{_task_path(run, task_id)}/logs/{try_number}",
            params={"map_index": map_index, "full_content": "true"},
            # One JSON object a line: without the size limits and warnings of the default format.
            accept="application/x-ndjson",
        )
        return as_text(json.loads(line) for line in response.text.split("\n") if line)

    def extra_links(self, run: DagRun, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """Return the buttons of a task instance's page: name and address."""
        body = self.request("GET", f"{_task_path(run, task_id)}/links", params={"map_index": map_index})
        return dict(body["extra_links"])

    def _xcom(self, path: str, key: str, map_index: int) -> Any:
        # Neither `deserialize` nor `stringify`: the value as stored, in its JSON types.
        return self.request("GET", f"{path}/{_part(key)}", params={"map_index": map_index})["value"]

    def _states_text(self, run: DagRun) -> str:
        instances = self.task_instances(run)
        return ", ".join(f"{each.name}: {each.state} (try {each.try_number})" for each in instances)

    def _pages(self, path: str, field: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            body = self.request("GET", path, params={**(params or {}), "limit": _PAGE, "offset": offset})
            yield from body[field]
            offset += len(body[field])
            if not body[field] or offset >= body["total_entries"]:
                return

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        accept: str = "application/json",
    ) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        for _ in range(_TRIES_WHILE_LOCKED):
            response = self._session.request(
                method,
                f"{self.url}/api/v2{path}",
                json=json,
                params=params,
                headers={"Accept": accept},
                timeout=_SECONDS_PER_REQUEST,
            )
            # A SQLite file that was locked for too long; nothing was changed. See `settings.py`.
            if not (response.status_code == 500 and any(text in response.text for text in _LOCKED)):
                break
        if not response.ok:
            raise ApiError(method, path, response.status_code, response.text)
        return response

    def _log_in(self) -> None:
        # `simple_auth_manager_all_admins` gives a token to every client.
        response = self._session.get(f"{self.url}/auth/token", timeout=_SECONDS_PER_REQUEST)
        if not response.ok:
            raise ApiError("GET", "/auth/token", response.status_code, response.text)
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float,
    describe: Callable[[], str],
    poll_seconds: float = 0.2,
) -> None:
    """Wait until the condition holds; `describe` says what is missing after the timeout."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"after {timeout:g} s: {describe()}")
        time.sleep(poll_seconds)


def _part(text: str) -> str:
    return quote(text, safe="")


def _run_path(run: DagRun) -> str:
    return f"/dags/{_part(run.dag_id)}/dagRuns/{_part(run.run_id)}"


def _task_path(run: DagRun, task_id: str) -> str:
    return f"{_run_path(run)}/taskInstances/{_part(task_id)}"
