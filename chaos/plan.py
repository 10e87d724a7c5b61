"""What is waited for while things fail, and what each wait has to end with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

from airflow_provider_seeany.simulator.scenario import Scenario, What

BATCH = "batch"
BATCH_SIZE = 60
DAG_IDS = ("chaos_with_workers", "chaos_worker_free")
NOTES_VARIABLE = "CHAOS_NOTES"
"""Names the file into which each downstream task writes a line whenever it runs."""

Kind = Literal["sensor", "operator", "batch"]
Outcome = Literal["completed", "failed", "timed out"]

# The tasks of one way to wait, by what they do. The rest of them are videos.
_MIX = ("images", "silent", "queued", "fails", "images", "never", "fails")
_WAITS_OF_A_KIND = {("sensor", False): 12, ("operator", False): 12, ("sensor", True): 13, ("operator", True): 12}
# The SeeAny tasks end one by one from here to there, in seconds after the start, in every mode alike.
_FIRST_END, _LAST_END = 20, 160
_GOLDEN = 0.618034
# Time enough for any wait to see its task's end; those that must time out are given less.
_PATIENCE = 600


@dataclass(frozen=True)
class PlannedWait:
    """One Airflow task that waits."""

    task_id: str
    dag_id: str
    kind: Kind
    worker_free: bool
    seeany_task_ids: tuple[str, ...]
    timeout: int

    @property
    def downstream(self) -> str:
        """The id of the Airflow task that runs after this one."""
        return f"after_{self.task_id}"

    @property
    def outcome(self) -> Outcome:
        """How it has to end. A batch has failures in it and allows them."""
        if self.kind == BATCH:
            return "completed"
        match Scenario.of(self.seeany_task_ids[0]).what:
            case What.FAILS:
                return "failed"
            case What.NEVER:
                return "timed out"
            case _:
                return "completed"

    @property
    def ends_after(self) -> float:
        """Seconds from the start to the end of what it waits for, or from its own start to its time limit."""
        if self.outcome == "timed out":
            return self.timeout
        return max(Scenario.of(seeany_task_id).seconds for seeany_task_id in self.seeany_task_ids)


def _single_waits() -> Iterator[PlannedWait]:
    numbers = count()
    for (kind, worker_free), waits in _WAITS_OF_A_KIND.items():
        mode = f"{kind}_{'free' if worker_free else 'classic'}"
        for place in range(waits):
            what = _MIX[place] if place < len(_MIX) else "video"
            # Far from its neighbours', so that neither mode nor outcome says when a task ends.
            ends = _FIRST_END + (next(numbers) * _GOLDEN % 1) * (_LAST_END - _FIRST_END)
            yield PlannedWait(
                task_id=f"{mode}_{place:02}_{what}",
                dag_id=DAG_IDS[worker_free],
                kind="sensor" if kind == "sensor" else "operator",
                worker_free=worker_free,
                seeany_task_ids=(f"{what}-{ends:.1f}s-{mode}-{place}",),
                timeout=round(ends) if what == "never" else _PATIENCE,
            )


def _batch() -> PlannedWait:
    step = (_LAST_END - _FIRST_END) / BATCH_SIZE
    ids = (
        f"{'fails' if place % 20 == 7 else 'video'}-{_FIRST_END + place * step:.1f}s-batch-{place}"
        for place in range(BATCH_SIZE)
    )
    return PlannedWait(BATCH, DAG_IDS[False], "batch", False, tuple(ids), _PATIENCE)


WAITS = (*_single_waits(), _batch())
"""All waits of one course."""
