"""One course of chaos: the same waits and faults on a fresh Airflow, and what came of each wait."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.api import FaultyApi, Spell, Weather
from chaos.plan import DAG_IDS, NOTES_VARIABLE, WAITS
from chaos.verdict import Left, Service
from local_airflow import DagRun, LocalAirflow, WaitTimeoutError

REPOSITORY = Path(__file__).parents[1]
KEY = "sk-chaos"
SPELLS = (
    Spell(Weather.GARBAGE, 15, 75),
    Spell(Weather.DOWN, 80, 140),
    Spell(Weather.SLOW, 140, 165),
)
LONGEST = 330.0
"""Seconds after which a wait that has not ended counts as lost."""


@dataclass(frozen=True)
class Blow:
    """Something done to a process of Airflow, at so many seconds after the start."""

    at: float
    what: str
    strike: Callable[[LocalAirflow], object]

    def __str__(self) -> str:
        """Say when what is done."""
        return f"{self.at:4.0f} s       {self.what}"


def _kill_and_restart(name: str) -> Callable[[LocalAirflow], object]:
    def strike(airflow: LocalAirflow) -> None:
        airflow.process(name).kill()
        airflow.restart(name)

    return strike


_SCHEDULER = Blow(100, "the scheduler is restarted", lambda airflow: airflow.restart("scheduler"))
BLOWS = (
    Blow(45, "the triggerer is killed (-9) and restarted", _kill_and_restart("triggerer")),
    _SCHEDULER,
    Blow(150, "the triggerer is killed (-9) and restarted", _kill_and_restart("triggerer")),
)
BLOWS_TO_TWO_TRIGGERERS = (
    Blow(45, "triggerer 2 is killed (-9) for good", lambda airflow: airflow.process("triggerer-2").kill()),
    _SCHEDULER,
    Blow(150, "triggerer 1 is killed (-9) and restarted", _kill_and_restart("triggerer")),
)


@dataclass
class Findings:
    """What a course left."""

    name: str
    blows: Sequence[Blow]
    service: Service
    left: dict[str, Left]
    requests: int
    faults: Counter[str]
    moved: int = 0
    """How many waits the triggerer held that was killed for good."""
    seconds: float = 0.0
    struck: list[str] = field(default_factory=list)
    """When each blow really fell, and how long it took."""


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
        triggerers=triggerers,
        wait_for_dags=DAG_IDS,
    )
    with FaultyApi(SPELLS, seeany_task_ids=ids, seed=seed).running() as api, airflow:
        airflow.create_connection("seeany_default", conn_type="seeany", host=api.url, password=KEY)
        api.begin()
        assert api.began is not None
        runs = [airflow.trigger_dag(dag_id) for dag_id in DAG_IDS]
        struck, moved = [], 0
        for blow in blows:
            time.sleep(max(api.began + blow.at - time.time(), 0))
            if "for good" in blow.what:
                moved = _held_by(airflow, runs, airflow.job_id("triggerer-2"))
            falls = time.time()
            blow.strike(airflow)
            struck.append(f"{falls - api.began:.0f} s: {blow.what} ({time.time() - falls:.1f} s)")
        _wait_for(airflow, runs, until=api.began + LONGEST)
        left = dict(_what_was_left(airflow, runs, _notes(notes)))
        return Findings(
            name=name,
            blows=blows,
            service=Service(api.url, api.began),
            left=left,
            requests=api.requests.total(),
            faults=api.faults,
            moved=moved,
            seconds=time.monotonic() - began,
            struck=struck,
        )


def _wait_for(airflow: LocalAirflow, runs: Sequence[DagRun], *, until: float) -> None:
    for run in runs:
        try:
            airflow.wait_for_run(run, timeout=max(until - time.time(), 1), poll_seconds=1)
        except WaitTimeoutError as late:
            print(late)  # the verdict names the waits that are lost


def _held_by(airflow: LocalAirflow, runs: Sequence[DagRun], job_id: int) -> int:
    return sum(task.triggerer_id == job_id for run in runs for task in airflow.task_instances(run))


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
