"""Searches everything that a running Airflow shows or keeps for pieces of text."""

from __future__ import annotations

import base64
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import airflow.api_fastapi.core_api.openapi as openapi
import yaml
from cryptography.fernet import Fernet

from local_airflow import LocalAirflow

Finding = str
"""Where something was found, for the test's report."""


class Needle:
    """
    A text to search for: as it is, a part of it, or in base64.

    :param text: the text.
    """

    def __init__(self, text: str) -> None:
        half = len(text) // 2
        plain = [text[:half], text[half:]] if half > 8 else [text]
        # Text in base64 differs at each of three offsets; the ends depend on what stands next to it.
        encoded = [base64.b64encode(b"x" * offset + text.encode())[4:-4].decode() for offset in range(3)]
        self._forms = [form.encode() for form in (*plain, *encoded) if len(form) > 5]

    def is_in(self, data: bytes) -> bool:
        """Return whether some bytes show it."""
        return any(form in data for form in self._forms)


def in_files(folder: Path, needle: Needle) -> Iterator[Finding]:
    """Search every file, the database's own included."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and needle.is_in(path.read_bytes()):
            yield f"file {path.relative_to(folder)}"


def in_database(file: Path, fernet_key: str, needle: Needle) -> Iterator[Finding]:
    """Search every column of every table, also what is packed or encrypted, the connections' secrets apart."""
    fernet = Fernet(fernet_key)
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = database.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    if any(needle.is_in(form) for form in _forms(table, value, fernet)):
                        yield f"table {table}, column {column}"


def _forms(table: str, value: object, fernet: Fernet) -> Iterator[bytes]:
    data = value if isinstance(value, bytes) else str(value).encode()
    yield data
    if data.startswith(b"gAAAA") and table != "connection":
        yield fernet.decrypt(data)
    if data.startswith(b"x\x9c"):
        yield zlib.decompress(data)


def in_processes(pids: Iterable[int], needle: Needle) -> Iterator[Finding]:
    """Search the arguments of processes."""
    for pid in pids:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if needle.is_in(arguments):
            yield f"arguments of process {pid}"


def in_pages(
    airflow: LocalAirflow, run_ids: Mapping[str, str], needles: Iterable[Needle]
) -> tuple[list[list[Finding]], int]:
    """
    Search the api-server's response to every GET that the REST API and the UI know, for runs of some DAGs.

    :param run_ids: the runs, by their DAG.
    :return: where each needle was found, and how many responses were read.
    """
    found: list[tuple[Needle, list[Finding]]] = [(needle, []) for needle in needles]
    read = 0
    for address in dict.fromkeys(_addresses(airflow, run_ids)):
        response = airflow.client.page(address)
        read += response.ok
        headers = "".join(map(str, response.headers.items())).encode()
        for needle, pages in found:
            if needle.is_in(response.content) or needle.is_in(headers):
                pages.append(f"page {address}")
    return [pages for _, pages in found], read


def _addresses(airflow: LocalAirflow, run_ids: Mapping[str, str]) -> Iterator[str]:
    yield from ("/", "/api/v2/version", "/openapi.json")
    task_ids = {dag_id: _task_ids(airflow, dag_id, run_id) for dag_id, run_id in run_ids.items()}
    connections = [body["connection_id"] for body in airflow.client.request("GET", "/connections")["connections"]]
    for path, operations in _paths():
        # A log-out would end the search.
        if "get" not in operations or "/stream" in path or "/auth/" in path:
            continue
        names = [part.split("}")[0] for part in path.split("{")[1:]]
        if "connection_id" in names:
            yield from (path.replace("{connection_id}", conn_id) for conn_id in connections)
        elif "dag_id" in names:
            for dag_id, run_id in run_ids.items():
                yield from _about_a_run(path, names, dag_id, run_id, task_ids[dag_id])
        elif not names:
            yield path


def _task_ids(airflow: LocalAirflow, dag_id: str, run_id: str) -> list[str]:
    tasks = airflow.client.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
    return [body["task_id"] for body in tasks]


def _about_a_run(path: str, names: list[str], dag_id: str, run_id: str, task_ids: list[str]) -> Iterator[str]:
    keys = ["return_value", "video_url", "cost", "_link_WatchVideoLink"] if "xcom_key" in names else [""]
    for task_id, key in product(task_ids if "task_id" in names else [""], keys):
        values = {
            "dag_id": dag_id,
            "dag_run_id": run_id,
            "run_id": run_id,
            "task_id": task_id,
            "xcom_key": key,
            "map_index": "-1",
            "try_number": "1",
            "task_try_number": "1",
            "dag_version": "1",
            "version_number": "1",
        }
        if set(names) <= set(values):
            yield path.format(**values)


def _paths() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every path of Airflow's two interfaces, of which that of its own UI is not in /openapi.json."""
    folder = Path(openapi.__path__[0])
    for file in sorted(folder.glob("*.yaml")):
        yield from yaml.safe_load(file.read_text())["paths"].items()


def decrypted(file: Path, fernet_key: str, query: str) -> list[str]:
    """Return what is in one column, decrypted where Airflow has encrypted it."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        values = [str(value) for (value,) in database.execute(query)]
    fernet = Fernet(fernet_key)
    return [fernet.decrypt(value.encode()).decode() if value.startswith("gAAAA") else value for value in values]
