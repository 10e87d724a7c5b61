"""
Measures what importing a sensor costs: ``python -m benchmarks.import_cost`` prints a table.

Every DAG file pays for its imports at every parse, in a fresh process that has ``airflow.sdk`` already. So each
measurement starts a fresh interpreter, imports ``airflow.sdk`` and then the module with the sensor, and reports CPU
time and memory of the latter, in turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from benchmarks.spread import Spread

ROUNDS = 7
MODULES = {
    "SeeAnyTaskSensor": "airflow_provider_seeany.sensors.task",
    "SeeAnyTaskBatchSensor": "airflow_provider_seeany.sensors.batch",
    "DbtCloudJobRunSensor": "airflow.providers.dbt.cloud.sensors.dbt",
    "HttpSensor": "airflow.providers.http.sensors.http",
    "DatabricksSqlSensor": "airflow.providers.databricks.sensors.databricks_sql",
    "FivetranSensor": "fivetran_provider_async.sensors",
}

_PROBE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import airflow.sdk
from benchmarks.process import resident_mib
from airflow.sdk import DAG, BaseSensorOperator, task, Param
memory, cpu = resident_mib(), time.process_time()
__import__(sys.argv[1])
print(1000 * (time.process_time() - cpu), resident_mib() - memory)
"""


def imported(module: str) -> tuple[float, float]:
    """Return the milliseconds of CPU and the MiB that importing a module takes in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", _PROBE, module], stdout=subprocess.PIPE, text=True, check=True)
    milliseconds, mib = done.stdout.split()[-2:]
    return float(milliseconds), float(mib)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _measured(rounds: int) -> Mapping[str, Sequence[tuple[float, float]]]:
    figures: dict[str, list[tuple[float, float]]] = {
        name: [] for name, module in MODULES.items() if _is_installed(module)
    }
    for number in range(rounds + 1):
        for name, seen in figures.items():
            figure = imported(MODULES[name])
            if number:  # the first round compiles the modules
                seen.append(figure)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure what importing a sensor costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    figures = _measured(rounds)
    (ours, *_) = figures
    milliseconds = {name: [each[0] for each in seen] for name, seen in figures.items()}
    print(f"{rounds} rounds; median (minimum–maximum).\n")
    print("| | ms of CPU | times ours | MiB |")
    print("|---|---|---|---|")
    for name, seen in figures.items():
        ratio = Spread.of_ratios(milliseconds[name], milliseconds[ours]).shown("×", digits=1)
        mib = Spread.of([each[1] for each in seen]).shown(digits=1)
        print(f"| {name} | {Spread.of(milliseconds[name]).shown(digits=0)} | {ratio} | {mib} |")


if __name__ == "__main__":
    main()
