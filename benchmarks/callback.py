"""
Measures waits with SeeAny's callback on a real Airflow: ``python -m benchmarks.callback`` prints a table.

For comparison, in the same run: polling at 10 s, and lost callbacks, where the interval of ``callback_poll_interval``
(15 s here, 120 s by default) ends the waits. A latency is the time from the SeeAny task's end, when it calls back, to
the first line of the downstream task's code. The tasks of one mode end one after the other, so that none delays
another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles

import requests

from demo.simulator import running_simulator
from local_airflow import DagRun, LocalAirflow
from local_airflow.settings import free_port

WAITS = 10
FIRST_END = 30.0
BETWEEN_ENDS = 4.0
LOST_INTERVAL = 15.0
REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Way:
    """One mode of waiting."""

    title: str
    connection: str
    worker_free: bool
    expect_callback: bool


WAYS = {
    "callback": Way("callback", "calls_back", worker_free=False, expect_callback=True),
    "callback_worker_free": Way("callback, worker-free", "calls_back", worker_free=True, expect_callback=True),
    "polling": Way("polling at 10 s", "silent", worker_free=False, expect_callback=False),
    "polling_worker_free": Way("polling at 10 s, worker-free", "silent", worker_free=True, expect_callback=False),
    "lost": Way("callback lost", "silent", worker_free=False, expect_callback=True),
    "lost_worker_free": Way("callback lost, worker-free", "silent", worker_free=True, expect_callback=True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """The requests and latencies of one mode."""

    way: Way
    requests: list[int]
    latencies: list[float]
    """Seconds from the end of each SeeAny task to its downstream task's code."""
    to_success: list[float]
    """Seconds from the end of each SeeAny task to its wait's success."""

    def __str__(self) -> str:
        code, success = quantiles(self.latencies, n=20), quantiles(self.to_success, n=20)
        return (
            f"| {self.way.title} | {fmean(self.requests):.1f} | {success[9]:.2f} | {success[18]:.2f} "
            f"| {code[9]:.2f} | {code[18]:.2f} |"
        )


HEADER = (
    "| mode | requests per task | end → success p50 (s) | p95 | end → downstream code p50 (s) | p95 |\n"
    "|---|---|---|---|---|---|"
)


def seeany_task_id(way: str, number: int) -> str:
    """Return the id of a simulated task that ends at the time for its number."""
    return f"video-{FIRST_END + BETWEEN_ENDS * number:g}s-{way}-{number}"


@contextlib.contextmanager
def airflow_with_callbacks(
    home: Path,
    dags: Path,
    *,
    base_url_path: str = "",
    database_template: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[LocalAirflow, str, str]]:
    """Start an Airflow, a simulator that calls back and one that does not; yield the Airflow and both URLs.

    The connections are `calls_back` and `silent`.
    """
    secret, port = secrets.token_hex(32), free_port()
    environment = {
        "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
        # As with several replicas: two callbacks may reach different processes.
        "AIRFLOW__API__WORKERS": "2",
        "PYTHONPATH": str(REPOSITORY),
        **(env or {}),
    }
    url = callback_url(secret, f"http://127.0.0.1:{port}{base_url_path}", "calls_back")
    with (
        running_simulator(home.with_name(f"{home.name}-calls-back.log"), callback_url=url) as calling,
        running_simulator(home.with_name(f"{home.name}-silent.log")) as silent,
        LocalAirflow(
            home,
            dags,
            env=environment,
            port=port,
            base_url_path=base_url_path,
            database_template=database_template,
            say=lambda text: None,
        ) as airflow,
    ):
        for name, simulator in (("calls_back", calling), ("silent", silent)):
            airflow.create_connection(name, conn_type="seeany", host=simulator, password="sk-benchmark")
        yield airflow, calling, silent


def callback_url(secret: str, base_url: str, seeany_conn_id: str) -> str:
    """Return the URL that SeeAny calls back for a connection."""
    from airflow_provider_seeany.callback.token import TokenClaims, sign_token

    return f"{base_url}/seeany/callback/{sign_token(TokenClaims(seeany_conn_id), secret=secret)}"


def row(airflow: LocalAirflow, run: DagRun, way: str, simulator: str) -> Row:
    """Return the requests and latencies of a run."""
    request_counts = requests.get(f"{simulator}/simulator/requests", timeout=30).json()
    began = requests.get(f"{simulator}/simulator/starts", timeout=30).json()
    instances = {each.task_id: each for each in airflow.task_instances(run)}
    counts, latencies, to_success = [], [], []
    for number in range(WAITS):
        task_id = seeany_task_id(way, number)
        ended = began[task_id] + FIRST_END + BETWEEN_ENDS * number
        counts.append(request_counts[task_id])
        latencies.append(airflow.xcoms(run, f"began_{number}")["return_value"] - ended)
        success = instances[f"wait_{number}"].end
        assert success is not None
        to_success.append(success.timestamp() - ended)
    return Row(WAYS[way], counts, latencies, to_success)


def measured(home: Path, ways: tuple[str, ...] = tuple(WAYS)) -> list[Row]:
    """Run each mode, one after the other on one Airflow."""
    with airflow_with_callbacks(home, REPOSITORY / "benchmarks" / "dags") as (airflow, calling, silent):
        airflow.wait_for_dags(ways)
        rows = []
        for way in ways:
            run = airflow.wait_for_run(airflow.trigger_dag(way), timeout=300)
            assert run.state == "success", run
            rows.append(row(airflow, run, way, calling if WAYS[way].connection == "calls_back" else silent))
            print(rows[-1], file=sys.stderr, flush=True)
        return rows


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder) / "airflow")
    print(f"{WAITS} waits each, {os.cpu_count()} cores\n\n{HEADER}", *rows, sep="\n")


if __name__ == "__main__":
    main()
