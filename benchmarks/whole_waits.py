"""
Measures whole waits on a real Airflow: ``python -m benchmarks.whole_waits`` prints a table.

Each way of waiting gets as many DAG runs at once as there are waits: a sensor, and a task after it. The remote tasks
end one by one, from some time after the start on. Everybody asks every 2 s, over TLS, and the server gives SeeAny's
sensors an exact estimate. Counted are the worker processes that the sensors needed, by their logs; the CPU time of all
processes of Airflow with what they do at rest subtracted, and also that of the same number of runs without a sensor;
and the time from the end of a remote task to the first line of the task after the sensor. The ways take turns.
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
"""Seconds from the start to the end of the first remote task: by then all waits are deferred."""
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
    What one way of waiting took in one round.

    :param workers: worker processes that the sensors needed, for each wait.
    :param cpu: seconds of CPU for each wait.
    :param latencies: seconds from the end of each remote task to the code of the task after the sensor.
    """

    workers: float
    cpu: float
    latencies: Sequence[float]


def _cpu_seconds(airflow: LocalAirflow) -> float:
    """Return the CPU time of all processes of Airflow, those included that have ended."""
    total = 0.0
    for pid in airflow.pids():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _cpu_per_second_at_rest(airflow: LocalAirflow) -> float:
    before = _cpu_seconds(airflow)
    time.sleep(REST)
    return (_cpu_seconds(airflow) - before) / REST


def _play(airflow: LocalAirflow, dag_id: str, *, waits: int, at_rest: float) -> Round:
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
    cpu = _cpu_seconds(airflow) - before - at_rest * (time.monotonic() - began)
    # A worker tells in the task's log that it reads the DAG file.
    workers = 0 if dag_id == NOTHING else sum(airflow.log(run, "wait").count("Filling up the DagBag") for run in runs)
    latencies = [float(airflow.xcoms(run, "after")["return_value"]) for run in runs]
    return Round(workers / waits, cpu / waits, latencies)


def _measured(airflow: LocalAirflow, ways: Sequence[str], *, waits: int, rounds: int) -> Mapping[str, list[Round]]:
    for way in (NOTHING, *ways):  # what is done once for all of them is done here
        _play(airflow, way, waits=2, at_rest=0.0)
    at_rest = _cpu_per_second_at_rest(airflow)
    played: dict[str, list[Round]] = {way: [] for way in (NOTHING, *ways)}
    for number in range(rounds):
        for way, seen in played.items():
            seen.append(_play(airflow, way, waits=waits, at_rest=at_rest))
            late = median(seen[-1].latencies)
            say = f"round {number + 1}: {way} {seen[-1].workers:.1f} workers {seen[-1].cpu:.2f} s, {late:.1f} s late"
            print(say, file=sys.stderr, flush=True)
    return played


def _lines(played: Mapping[str, Sequence[Round]], *, waits: int, rounds: int) -> Iterator[str]:
    base = [each.cpu for each in played[NOTHING]]
    own = {way: [each.cpu - less for each, less in zip(seen, base, strict=True)] for way, seen in played.items()}
    yield f"{waits} waits a round, {rounds} rounds; the median, and the least and the most.\n"
    yield "| | workers per wait | CPU s per wait | times the classic one | done → next code, median | p95 |"
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
    yield f"\nThe run and the task after the sensor take {Spread.of(base).shown(' s')} of CPU more, in each way."


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
        # The sensors' connections go to this machine; nothing else is asked that a certificate is needed for.
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
