"""
Measures what the first wait of a fresh triggerer costs the others in it: ``python -m benchmarks.first_wait``.

A real Airflow on SQLite gets one wait while other processes burn CPU: none, then ``--busy`` of them (two per core by
default). Two figures are printed, each without and with what the provider does about it:

- longest loop: the longest time between two loops of the triggerer's supervisor. In that time no trigger is started,
  ended or served, and no heartbeat is sent; a triggerer that sends none for 30 s loses its triggers.
- first response: from the start of the first wait's trigger to its next log line.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from json import loads
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from local_airflow import LocalAirflow

HERE = Path(__file__).parent
_PREPARED = {"without": "0", "with": "1"}


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Burn CPU in this number of processes."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def simulator() -> Iterator[str]:
    """Run a simulator of SeeAny; give its address."""
    command = [sys.executable, "-m", "airflow_provider_seeany.simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def measure(prepared: str, burners: int, folder: Path) -> tuple[float, float]:
    """Return the seconds of the longest loop, and until the first wait got a response."""
    loop_times = folder / "loop_times"
    env = {
        "PYTHONPATH": str(HERE.parent),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE / "loop_time_plugins"),
        "LOOP_TIMES": str(loop_times),
        "PREPARES_FIRST_WAIT": prepared,
    }
    with (
        simulator() as url,
        LocalAirflow(
            folder / "home",
            HERE / "first_wait_dags",
            env=env,
            database_template=folder.parent / "empty",
            wait_for_dags={"first_wait"},
            say=lambda text: None,
        ) as airflow,
    ):
        airflow.create_connection("seeany_default", conn_type="seeany", host=url, password="sk-demo")
        run = airflow.trigger_dag("first_wait")
        airflow.wait_for_task(run, "wait", {"deferred"})
        began = len(loop_times.read_text().split())
        with busy(burners):
            airflow.wait_for_run(run, timeout=600)
        sleep(1)
        moments = [float(moment) for moment in loop_times.read_text().split()][began - 1 :]
        lines = [
            loads(line)
            for file in (folder / "home" / "logs").rglob("task_id=wait/*.trigger.*.log")
            for line in file.read_text().splitlines()
        ]
    logged = [datetime.fromisoformat(line["timestamp"]) for line in lines]
    return max(after - before for before, after in pairwise(moments)), (logged[1] - logged[0]).total_seconds()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_wait", description=__doc__)
    parser.add_argument(
        "--busy", type=int, default=2 * (os.cpu_count() or 1), metavar="N", help="processes that burn CPU"
    )
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, Airflow {version('apache-airflow-core')}")
    with TemporaryDirectory() as folder:
        for burners in (0, arguments.busy):
            for name, prepared in _PREPARED.items():
                home = Path(folder) / f"{name}-{burners}"
                home.mkdir()
                longest_loop, response = measure(prepared, burners, home)
                results = f"longest loop {longest_loop:5.1f} s, first response {response:5.1f} s"
                print(f"{burners} burners, {name:7}: {results}")


if __name__ == "__main__":
    main()
