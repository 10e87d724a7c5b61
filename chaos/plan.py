"""The waits of an experiment, and how each has to end."""

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
"""The variable with the file to which each downstream task appends a line when it runs."""

Kind = Literal["sensor", "operator", "batch"]
Outcome = Literal["completed", "failed", "timed out"]

# The scenarios of the first waits of each mode. The rest are videos.
_SCENARIOS = ("images", "silent", "queued", "fails", "images", "never", "fails")
_WAITS_OF_A_KIND = {("sensor", False): 12, ("operator", False): 12, ("sensor", True): 13, ("operator", True): 12}
# The SeeAny tasks end one by one in this range, in seconds after the start, in every mode.
_FIRST_END, _LAST_END = 20, 160
_GOLDEN_RATIO = 0.618034
# Enough for any wait to reach its task's end; those that must time out get less.
_TIMEOUT = 600


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
        """How it has to end. The batch contains failures and allows them."""
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
        """Seconds from the start to the end of its SeeAny tasks, or from its own start to its timeout."""
        if self.outcome == "timed out":
            return self.timeout
        return max(Scenario.of(seeany_task_id).seconds for seeany_task_id in self.seeany_task_ids)


def _single_waits() -> Iterator[PlannedWait]:
    numbers = count()
    for (kind, worker_free), waits in _WAITS_OF_A_KIND.items():
        mode = f"{kind}_{'free' if worker_free else 'classic'}"
        for index in range(waits):
            what = _SCENARIOS[index] if index < len(_SCENARIOS) else "video"
            # Far from its neighbours', so that the end depends on neither mode nor outcome.
            ends = _FIRST_END + (next(numbers) * _GOLDEN_RATIO % 1) * (_LAST_END - _FIRST_END)
            yield PlannedWait(
                task_id=f"{mode}_{index:02}_{what}",
                dag_id=DAG_IDS[worker_free],
                kind="sensor" if kind == "sensor" else "operator",
                worker_free=worker_free,
                seeany_task_ids=(f"{what}-{ends:.1f}s-{mode}-{index}",),
                timeout=round(ends) if what == "never" else _TIMEOUT,
            )


def _batch() -> PlannedWait:
    step = (_LAST_END - _FIRST_END) / BATCH_SIZE
    ids = (
        f"{'fails' if index % 20 == 7 else 'video'}-{_FIRST_END + index * step:.1f}s-batch-{index}"
        for index in range(BATCH_SIZE)
    )
    return PlannedWait(BATCH, DAG_IDS[False], "batch", False, tuple(ids), _TIMEOUT)


WAITS = (*_single_waits(), _batch())
"""All waits of one experiment."""
