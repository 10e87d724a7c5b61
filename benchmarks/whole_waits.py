"""
Measures whole waits on a real Airflow: ``python -m benchmarks.whole_waits`` prints a table.

Each mode gets one DAG run per wait, all at once: a sensor and a downstream task. The remote tasks end one by one. All
sensors poll every 2 s over TLS, and the server gives SeeAny's an exact estimate. Measured are the worker processes of
the sensors, by their logs; the CPU time of all Airflow processes, minus that of an idle Airflow and of the same runs
without a sensor; and the time from the end of a remote task to the first line of the downstream task. The modes take
turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import psutil

from benchmarks.spread import Spread
from benchmarks.stub import Stub, running_stub, task_id
from local_airflow import DagRun, LocalAirflow

WAITS = 10
ROUNDS = 5
FIRST_END = 14.0
"""Seconds until the first remote task ends: by then all waits are deferred."""
APART = 1.0
REST = 20.0

NOTHING = "nothing"
WAYS = {
    "classic": "SeeAnyTaskSensor",
    "worker_free": "SeeAnyTaskSensor, worker_free=True",
    "dbt_cloud": "DbtCloudJobRunSensor, deferrable=True",
}


@dataclass(frozen=True, slots=True)
class Round:
    """
    One mode in one round.

    :param workers: worker processes of the sensors, per wait.
    :param cpu: seconds of CPU per wait.
    :param latencies: seconds from the end of each remote task to the code of the downstream task.
    """

    workers: float
    cpu: float
    latencies: Sequence[float]


def _cpu_seconds(airflow: LocalAirflow) -> float:
    """Return the CPU time of all processes of Airflow, also of those that have ended."""
    total = 0.0
    for pid in airflow.pids():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _idle_cpu_per_second(airflow: LocalAirflow) -> float:
    before = _cpu_seconds(airflow)
    time.sleep(REST)
    return (_cpu_seconds(airflow) - before) / REST


def _run(airflow: LocalAirflow, dag_id: str, *, waits: int, idle_cpu: float) -> Round:
    before, began = _cpu_seconds(airflow), time.monotonic()
    first = time.time() + (FIRST_END if dag_id != NOTHING else 0.0)
    runs: list[DagRun] = []
    for number in range(waits):
        name = task_id(number, ends_ms=round(1000 * (first + APART * number)))
        runs.append(airflow.trigger_dag(dag_id, conf={"id": str(name)}))
    for run in runs:
        state = airflow.wait_for_run(run, timeout=300, poll_seconds=2).state
        if state != "success":
            raise RuntimeError(f"{run.dag_id} {run.run_id} ended as {state}: {airflow.log(run, 'wait')[-2000:]}")
    cpu = _cpu_seconds(airflow) - before - idle_cpu * (time.monotonic() - began)
    # A worker logs in the task's log that it reads the DAG file.
    workers = 0 if dag_id == NOTHING else sum(airflow.log(run, "wait").count("Filling up the DagBag") for run in runs)
    latencies = [float(airflow.xcoms(run, "after")["return_value"]) for run in runs]
    return Round(workers / waits, cpu / waits, latencies)


def _measured(airflow: LocalAirflow, ways: Sequence[str], *, waits: int, rounds: int) -> Mapping[str, list[Round]]:
    for way in (NOTHING, *ways):  # warms up
        _run(airflow, way, waits=2, idle_cpu=0.0)
    idle_cpu = _idle_cpu_per_second(airflow)
    played: dict[str, list[Round]] = {way: [] for way in (NOTHING, *ways)}
    for number in range(rounds):
        for way, seen in played.items():
            seen.append(_run(airflow, way, waits=waits, idle_cpu=idle_cpu))
            late = median(seen[-1].latencies)
            say = f"round {number + 1}: {way} {seen[-1].workers:.1f} workers {seen[-1].cpu:.2f} s, {late:.1f} s late"
            print(say, file=sys.stderr, flush=True)
    return played


def _lines(played: Mapping[str, Sequence[Round]], *, waits: int, rounds: int) -> Iterator[str]:
    base = [each.cpu for each in played[NOTHING]]
    own = {way: [each.cpu - less for each, less in zip(seen, base, strict=True)] for way, seen in played.items()}
    yield f"{waits} waits a round, {rounds} rounds, Airflow's database is SQLite; median (minimum–maximum).\n"
    yield "| | workers per wait | CPU s per wait | times classic | done → next code, median | p95 |"
    yield "|---|---|---|---|---|---|"
    for way, name in WAYS.items():
        if way not in played:
            continue
        rounds_of_it = played[way]
        cells = [
            Spread.of([each.workers for each in rounds_of_it]).shown(digits=1),
            Spread.of(own[way]).shown(),
            Spread.of_ratios(own[way], own["classic"]).shown("×"),
            Spread.of([median(each.latencies) for each in rounds_of_it]).shown(" s", digits=1),
            Spread.of([quantiles(each.latencies, n=20)[-1] for each in rounds_of_it]).shown(" s", digits=1),
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield f"\nThe run and the downstream task take another {Spread.of(base).shown(' s')} of CPU, in each mode."


def _connect(airflow: LocalAirflow, stub: Stub) -> None:
    airflow.create_connection("seeany_default", conn_type="seeany", host=stub.https, password="sk-benchmark")
    host = urlsplit(stub.https).netloc
    airflow.create_connection("dbt_cloud_default", conn_type="dbt_cloud", host=host, login="1", password="sk-benchmark")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure whole waits on a real Airflow.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--waits", type=int, default=WAITS)
    options = parser.parse_args()
    ways = [way for way in WAYS if way != "dbt_cloud" or find_spec("airflow.providers.dbt")]
    repository = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as home, running_stub() as stub:
        # The sensors connect only to this machine; no other certificate is needed.
        environment = {"PYTHONPATH": str(repository), **stub.trust()}
        dags = repository / "benchmarks" / "dags"

        def say(text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        with LocalAirflow(Path(home), dags, env=environment, wait_for_dags=(NOTHING, *ways), say=say) as airflow:
            _connect(airflow, stub)
            played = _measured(airflow, ways, waits=options.waits, rounds=options.rounds)
    print(*_lines(played, waits=options.waits, rounds=options.rounds), sep="\n")


if __name__ == "__main__":
    main()
