"""One course of chaos: the same waits and faults on a fresh Airflow, and what came of each wait."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.api import FaultyApi, Spell, Weather
from chaos.plan import DAG_IDS, NOTES_VARIABLE, WAITS
from chaos.verdict import Left, Service
from local_airflow import DagRun, LocalAirflow, TaskInstance, WaitTimeoutError

REPOSITORY = Path(__file__).parents[1]
KEY = "sk-chaos"
SPELLS = (
    Spell(Weather.GARBAGE, 15, 75),
    Spell(Weather.DOWN, 80, 140),
    Spell(Weather.SLOW, 140, 165),
)
LONGEST_LOOKOUT = 30.0
"""Most seconds to wait for a trigger that is between its XComs and its success."""
LONGEST = 330.0
"""Seconds after which a wait that has not ended counts as lost."""


@dataclass(frozen=True)
class Blow:
    """
    Something done to a process of Airflow.

    :param at: seconds after the start.
    :param what: what is done, for a person.
    :param strike: does it, and returns how many waits were under way in what it hit.
    :param may_miss: whether it also counts if it hit none, because that takes luck.
    """

    at: float
    what: str
    strike: Callable[[LocalAirflow], int]
    may_miss: bool = False


@dataclass(frozen=True)
class Struck:
    """A blow that has fallen, ``seconds`` after the start, on so many waits."""

    blow: Blow
    seconds: float
    waits: int


@dataclass(frozen=True)
class Findings:
    """What a course left."""

    name: str
    service: Service
    left: dict[str, Left]
    requests: int
    faults: Counter[str]
    struck: tuple[Struck, ...]
    seconds: float


def _kill(name: str, *, and_restart: bool) -> Callable[[LocalAirflow], int]:
    def strike(airflow: LocalAirflow) -> int:
        hit = [task for task in _deferred(airflow) if task.triggerer_id == airflow.job_id(name)]
        airflow.process(name).kill()
        if and_restart:
            airflow.restart(name)
        return len(hit)

    return strike


def _kill_between_xcoms_and_success(airflow: LocalAirflow) -> int:
    """Kill the triggerer when a trigger has pushed its result, and Airflow does not yet know that the task is done."""
    deadline = time.monotonic() + LONGEST_LOOKOUT
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


_AT_THE_END = Blow(
    165,
    "the triggerer is killed (-9) between XComs and success, and restarted",
    _kill_between_xcoms_and_success,
    may_miss=True,
)
BLOWS = (
    Blow(45, "the triggerer is killed (-9) and restarted", _kill("triggerer", and_restart=True)),
    Blow(100, "the scheduler is restarted", _restart_scheduler),
    _AT_THE_END,
)
BLOWS_TO_TWO_TRIGGERERS = (
    Blow(45, "one of two triggerers is killed (-9) for good", _kill("triggerer-2", and_restart=False)),
    Blow(100, "the scheduler is restarted", _restart_scheduler),
    _AT_THE_END,
)


def run_course(
    name: str, *, home: Path, seed: int, blows: Sequence[Blow], database_url: str | None = None, triggerers: int = 1
) -> Findings:
    """Run the waits through the faults and tell what they left."""
    began = time.monotonic()
    ids = [seeany_task_id for wait in WAITS for seeany_task_id in wait.seeany_task_ids]
    notes = home / "notes"
    airflow = LocalAirflow(
        home,
        REPOSITORY / "chaos" / "dags",
        env={
            "PYTHONPATH": str(REPOSITORY),
            NOTES_VARIABLE: str(notes),
            # So that no triggerer takes all waits at once.
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": "50" if triggerers == 1 else "4",
        },
        database_url=database_url,
        replicas={"triggerer": triggerers},
        wait_for_dags=DAG_IDS,
    )
    with FaultyApi(SPELLS, seeany_task_ids=ids, seed=seed).running() as api, airflow:
        airflow.create_connection("seeany_default", conn_type="seeany", host=api.url, password=KEY)
        api.begin()
        assert api.began is not None
        runs = [airflow.trigger_dag(dag_id) for dag_id in DAG_IDS]
        struck = []
        for blow in blows:
            time.sleep(max(api.began + blow.at - time.time(), 0))
            waits = blow.strike(airflow)
            struck.append(Struck(blow, time.time() - api.began, waits))
        _wait_for(airflow, runs, until=api.began + LONGEST)
        left = dict(_what_was_left(airflow, runs, _notes(notes)))
        return Findings(
            name=name,
            service=Service(api.url, api.began),
            left=left,
            requests=api.requests.total(),
            faults=api.faults,
            struck=tuple(struck),
            seconds=time.monotonic() - began,
        )


def _wait_for(airflow: LocalAirflow, runs: Sequence[DagRun], *, until: float) -> None:
    for run in runs:
        try:
            airflow.wait_for_run(run, timeout=max(until - time.time(), 1), poll_seconds=1)
        except WaitTimeoutError as late:
            print(late)  # the verdict names the waits that are lost


def _deferred(airflow: LocalAirflow) -> list[TaskInstance]:
    return airflow.client.task_instances_in("deferred")


def _deferred_with_result(airflow: LocalAirflow) -> set[str]:
    """Return the worker-free waits that have pushed their result and still wait for Airflow to note their end."""
    waiting = {task.task_id for task in _deferred(airflow)}
    path = f"/dags/{DAG_IDS[True]}/dagRuns/~/taskInstances/~/xcomEntries"
    entries = airflow.client.request("GET", path, params={"xcom_key": "return_value", "limit": 100})["xcom_entries"]
    return waiting & {entry["task_id"] for entry in entries}


def _what_was_left(
    airflow: LocalAirflow, runs: Sequence[DagRun], notes: dict[str, list[Any]]
) -> Iterator[tuple[str, Left]]:
    for run in runs:
        tasks = {task.task_id: task for task in airflow.task_instances(run)}
        for wait in WAITS:
            if wait.dag_id == run.dag_id:
                task = tasks[wait.task_id]
                yield (
                    wait.task_id,
                    Left(
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
    """Read what the downstream tasks wrote: the answer each run was handed, by the wait."""
    answers = defaultdict(list)
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            note = json.loads(line)
            answers[note["wait"]].append(note["answer"])
    return answers
