"""What ``benchmarks.scale`` counts: CPU by process, the database's statistics, and the triggerer's memory."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, create_engine, text

from local_airflow import LocalAirflow

WORKERS, POSTGRES = "workers", "PostgreSQL"
_ROWS = ("tup_inserted", "tup_updated", "tup_deleted")


class Database:
    """
    Airflow's database, read past Airflow.

    :param queries: how many transactions were this connection's own.
    """

    def __init__(self, connection: Connection) -> None:
        self.queries = 0
        self._connection = connection
        self.server = psutil.Process(self.row("SELECT pg_backend_pid()")[0]).parent()

    @classmethod
    @contextmanager
    def connected(cls, url: str) -> Iterator[Database]:
        """Connect while the context lasts."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield cls(connection)

    def rows(self, query: str, **values: object) -> list[Any]:
        """Return the rows of one query."""
        self.queries += 1
        return list(self._connection.execute(text(query), values))

    def row(self, query: str, **values: object) -> Any:
        """Return the only row."""
        return self.rows(query, **values)[0]

    def counters(self) -> dict[str, float]:
        """Return the database's transactions, without those of this connection, and rows written."""
        columns = ", ".join(("xact_commit", *_ROWS))
        row = self.row(f"SELECT {columns} FROM pg_stat_database WHERE datname = current_database()")
        return {"commits": row[0] - self.queries, **dict(zip(_ROWS, row[1:], strict=True))}

    def rows_by_table(self) -> Counter[str]:
        """Return how many rows were written to each table."""
        query = "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables"
        return Counter(dict(map(tuple, self.rows(query))))


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_ended_children(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def cpu_seconds(airflow: LocalAirflow, database: Database) -> dict[str, float]:
    """Return the CPU time of each component of Airflow, of its workers, and of PostgreSQL, with what has ended."""
    used: dict[str, float] = {WORKERS: 0.0, POSTGRES: _with_ended_children(database.server)}
    for process in database.server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            used[POSTGRES] += _with_ended_children(process)
    for name, component in airflow.processes().items():
        used[name] = 0.0
        for pid in component.pids():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if name != "scheduler":
                    used[name] += _with_ended_children(process)
                elif pid == component.pid:
                    used[name] += _own(process)
                    used[WORKERS] += _with_ended_children(process) - _own(process)
                else:
                    used[WORKERS] += _with_ended_children(process)
    return used


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one time: CPU seconds by process, and what the database counts."""

    at: float
    values: Mapping[str, float]

    @classmethod
    def now(cls, airflow: LocalAirflow, database: Database) -> Reading:
        """Read them."""
        return cls(time.monotonic(), {**cpu_seconds(airflow, database), **database.counters()})

    def since(self, before: Reading) -> dict[str, float]:
        """Return how much was added."""
        return {name: value - before.values[name] for name, value in self.values.items()}


def per_second(later: Reading, before: Reading) -> dict[str, float]:
    """Return how much was added in a second."""
    return {name: value / (later.at - before.at) for name, value in later.since(before).items()}


class PeakMemory:
    """The largest memory that the processes of a component held together: PSS, which counts shared pages once."""

    def __init__(self) -> None:
        self.mib = 0.0

    @contextmanager
    def watched(self, airflow: LocalAirflow, component: str, *, seconds: float = 1.0) -> Iterator[None]:
        """Look again and again while the context lasts."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(seconds):
                pids = airflow.process(component).pids()
                self.mib = max(self.mib, sum(_pss_kib(pid) for pid in pids) / 1024)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


class TaskLogs:
    """The log files of task instances, in a home of Airflow."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "logs"

    def workers(self, dag_ids: list[str]) -> int:
        """Return how many processes ran these tasks: each logs that it reads the DAG file."""
        return sum(text.count("Filling up the DagBag") for dag_id in dag_ids for text in self._texts(dag_id))

    def last_error(self, dag_id: str, task_id: str) -> str:
        """Return the last error in the logs of a task, in one line."""
        said = ""
        for line in "".join(self._texts(dag_id, f"task_id={task_id}")).splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("level") in ("error", "critical"):
                    details = [f"{each['exc_type']}: {each['exc_value']}" for each in entry.get("error_detail") or ()]
                    said = "; ".join((str(entry["event"]), *details))
        return " ".join(said.split())[:200] or "no error in its log"

    def _texts(self, dag_id: str, task: str = "task_id=*") -> Iterator[str]:
        for file in sorted(self._folder.glob(f"dag_id={dag_id}/*/{task}/**/*.log*")):
            yield file.read_text(encoding="utf-8", errors="replace")
