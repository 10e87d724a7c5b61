"""One chaos experiment: all waits and faults on a fresh Airflow, and the end of each wait."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.api import FaultyApi, Mode, Phase
from chaos.plan import DAG_IDS, NOTES_VARIABLE, WAITS
from chaos.verdict import Observed, Service
from local_airflow import DagRun, LocalAirflow, TaskInstance, WaitTimeoutError

REPOSITORY = Path(__file__).parents[1]
KEY = "sk-chaos"
PHASES = (
    Phase(Mode.GARBAGE, 15, 75),
    Phase(Mode.DOWN, 80, 140),
    Phase(Mode.SLOW, 140, 165),
)
RESTART_AT = 125.0
"""
When the scheduler is restarted: no wait ends then. A task instance that the scheduler has queued, but not yet given to
its executor, takes another try with the next scheduler, as any of Airflow's does.
"""
MAX_WATCH_SECONDS = 30.0
"""Maximum seconds to wait for a trigger that is between its XComs and its success."""
MAX_SECONDS = 330.0
"""Seconds after which a wait that has not ended counts as lost."""


@dataclass(frozen=True)
class Disruption:
    """
    Something done to a process of Airflow.

    :param at: seconds after the start.
    :param what: a description for the report.
    :param apply: does it, and returns the number of waits that were running in the process.
    :param may_miss: whether it also counts without such a wait, because that depends on timing.
    """

    at: float
    what: str
    apply: Callable[[LocalAirflow], int]
    may_miss: bool = False


@dataclass(frozen=True)
class Applied:
    """A disruption that was applied, ``seconds`` after the start, to ``waits`` waits."""

    disruption: Disruption
    seconds: float
    waits: int


@dataclass(frozen=True)
class Findings:
    """The results of an experiment."""

    name: str
    service: Service
    observed: dict[str, Observed]
    requests: int
    faults: Counter[str]
    applied: tuple[Applied, ...]
    seconds: float


def _kill(name: str, *, and_restart: bool) -> Callable[[LocalAirflow], int]:
    def apply(airflow: LocalAirflow) -> int:
        hit = [task for task in _deferred(airflow) if task.triggerer_id == airflow.job_id(name)]
        airflow.process(name).kill()
        if and_restart:
            airflow.restart(name)
        return len(hit)

    return apply


def _kill_between_xcoms_and_success(airflow: LocalAirflow) -> int:
    """Kill the triggerer after a trigger has pushed its result, before Airflow knows that the task is done."""
    deadline = time.monotonic() + MAX_WATCH_SECONDS
    while not (hit := _deferred_with_result(airflow)) and time.monotonic() < deadline:
        pass
    airflow.process("triggerer").kill()
    hit = _deferred_with_result(airflow)
    airflow.restart("triggerer")
    return len(hit)


def _restart_scheduler(airflow: LocalAirflow) -> int:
    hit = _deferred(airflow)
    airflow.restart("scheduler")
    return len(hit)


_KILL_AT_THE_END = Disruption(
    165,
    "the triggerer is killed (-9) between XComs and success, and restarted",
    _kill_between_xcoms_and_success,
    may_miss=True,
)
DISRUPTIONS = (
    Disruption(45, "the triggerer is killed (-9) and restarted", _kill("triggerer", and_restart=True)),
    Disruption(RESTART_AT, "the scheduler is restarted", _restart_scheduler),
    _KILL_AT_THE_END,
)
DISRUPTIONS_OF_TWO_TRIGGERERS = (
    Disruption(45, "one of two triggerers is killed (-9) for good", _kill("triggerer-2", and_restart=False)),
    Disruption(RESTART_AT, "the scheduler is restarted", _restart_scheduler),
    _KILL_AT_THE_END,
)


def run_experiment(
    name: str,
    *,
    home: Path,
    seed: int,
    disruptions: Sequence[Disruption],
    database_url: str | None = None,
    triggerers: int = 1,
) -> Findings:
    """Run the waits through the faults and return what they left in Airflow."""
    began = time.monotonic()
    ids = [seeany_task_id for wait in WAITS for seeany_task_id in wait.seeany_task_ids]
    notes = home / "notes"
    airflow = LocalAirflow(
        home,
        REPOSITORY / "chaos" / "dags",
        env={
            "PYTHONPATH": str(REPOSITORY),
            NOTES_VARIABLE: str(notes),
            # So that neither triggerer takes all waits at once.
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": "50" if triggerers == 1 else "4",
        },
        database_url=database_url,
        replicas={"triggerer": triggerers},
        wait_for_dags=DAG_IDS,
    )
    with FaultyApi(PHASES, seeany_task_ids=ids, seed=seed).running() as api, airflow:
        airflow.create_connection("seeany_default", conn_type="seeany", host=api.url, password=KEY)
        api.begin()
        assert api.began is not None
        runs = [airflow.trigger_dag(dag_id) for dag_id in DAG_IDS]
        applied = []
        for disruption in disruptions:
            time.sleep(max(api.began + disruption.at - time.time(), 0))
            waits = disruption.apply(airflow)
            applied.append(Applied(disruption, time.time() - api.began, waits))
        _wait_for(airflow, runs, until=api.began + MAX_SECONDS)
        observed = dict(_observe(airflow, runs, _notes(notes)))
        return Findings(
            name=name,
            service=Service(api.url, api.began),
            observed=observed,
            requests=api.requests.total(),
            faults=api.faults,
            applied=tuple(applied),
            seconds=time.monotonic() - began,
        )


def _wait_for(airflow: LocalAirflow, runs: Sequence[DagRun], *, until: float) -> None:
    for run in runs:
        try:
            airflow.wait_for_run(run, timeout=max(until - time.time(), 1), poll_seconds=1)
        except WaitTimeoutError as late:
            print(late)  # the verdict names the lost waits


def _deferred(airflow: LocalAirflow) -> list[TaskInstance]:
    return airflow.client.task_instances_in("deferred")


def _deferred_with_result(airflow: LocalAirflow) -> set[str]:
    """Return the worker-free waits that have pushed their result and are still deferred."""
    waiting = {task.task_id for task in _deferred(airflow)}
    path = f"/dags/{DAG_IDS[True]}/dagRuns/~/taskInstances/~/xcomEntries"
    entries = airflow.client.request("GET", path, params={"xcom_key": "return_value", "limit": 100})["xcom_entries"]
    return waiting & {entry["task_id"] for entry in entries}


def _observe(
    airflow: LocalAirflow, runs: Sequence[DagRun], notes: dict[str, list[Any]]
) -> Iterator[tuple[str, Observed]]:
    for run in runs:
        tasks = {task.task_id: task for task in airflow.task_instances(run)}
        for wait in WAITS:
            if wait.dag_id == run.dag_id:
                task = tasks[wait.task_id]
                yield (
                    wait.task_id,
                    Observed(
                        state=task.state,
                        tries=task.try_number,
                        start=task.start,
                        end=task.end,
                        xcoms=airflow.xcoms(run, wait.task_id),
                        log="" if task.state == "success" else airflow.log(run, wait.task_id),
                        reached_downstream=tuple(notes[wait.task_id]),
                    ),
                )


def _notes(file: Path) -> dict[str, list[Any]]:
    """Read the notes of the downstream tasks: the payload that each run received, by wait."""
    payloads = defaultdict(list)
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            note = json.loads(line)
            payloads[note["wait"]].append(note["payload"])
    return payloads
