"""The table of ways to wait and outcomes, shared by the DAG that runs it and the tests that read its results."""

from __future__ import annotations

from typing import NamedTuple

SENSOR_MODES = ("poke", "reschedule", "deferred", "mapped", "worker_free")
OPERATOR_MODES = ("operator", "operator_blocking", "operator_worker_free")
MODES = (*SENSOR_MODES, *OPERATOR_MODES)
PROCESSES = ("poke", "deferred", "operator", "operator_worker_free")
"""A mode in which a worker waits, two in which it defers to a triggerer, and one that starts no worker."""

# For each outcome in a dialect an id that the simulator understands. The label makes each cell's task one of its own.
SEEANY_IDS = {
    ("v1", "completed"): "video-3s-{label}",
    ("developer", "completed"): "images-3s-2x-{label}",
    ("developer", "partial"): "partial-3s-4x-{label}",
    ("developer", "partial_refused"): "partial-3s-4x-{label}",
    **{
        (dialect, outcome): seeany_task_id
        for dialect in ("v1", "developer")
        for outcome, seeany_task_id in (
            ("failed", "fails-3s-{label}"),
            ("timeout", "never-{label}"),
            ("not_found", "unknown-{label}"),
            ("unauthorized", "video-0s-{label}"),
        )
    },
}


class Cell(NamedTuple):
    """A task of a DAG: a way to wait, and how that ends."""

    dialect: str
    mode: str
    outcome: str
    soft_fail: bool = False

    def __str__(self) -> str:
        return f"{self.mode}-{self.task_id}"

    @property
    def dag_id(self) -> str:
        """The DAG of its mode."""
        return f"outcomes_{self.mode}"

    @property
    def task_id(self) -> str:
        """Its Airflow task id."""
        return f"{self.dialect}_{self.outcome}{'_soft' if self.soft_fail else ''}"

    @property
    def seeany_task_id(self) -> str:
        """The task that it waits for."""
        return SEEANY_IDS[self.dialect, self.outcome].format(label=self)

    @property
    def conn_id(self) -> str:
        """Its connection."""
        return CONNECTIONS[self.dialect, self.outcome == "unauthorized"]


CONNECTIONS = {
    ("v1", False): "seeany_default",
    ("v1", True): "seeany_bad_key",
    ("developer", False): "seeany_developer",
    ("developer", True): "seeany_developer_bad_key",
}
"""The connections by their dialect, and whether their key is refused."""

# Which dialect it is makes no difference above the API layer: what is tried in one is not tried again in each mode of
# the other. A mapped sensor is deferred, too.
_MODES_OF = {
    ("v1", "completed"): MODES,
    ("v1", "failed"): tuple(mode for mode in MODES if mode != "mapped"),
    ("v1", "timeout"): ("poke", "reschedule", "deferred", "worker_free"),
    ("v1", "not_found"): ("poke", "deferred", "worker_free"),
    ("v1", "unauthorized"): ("poke", "deferred", "worker_free"),
    ("developer", "completed"): MODES,
    ("developer", "partial"): tuple(mode for mode in MODES if mode != "mapped"),
    ("developer", "partial_refused"): PROCESSES,
    ("developer", "failed"): PROCESSES,
    ("developer", "timeout"): PROCESSES,
    ("developer", "not_found"): PROCESSES,
    ("developer", "unauthorized"): PROCESSES,
}
_SOFT = (
    ("poke", "failed"),
    ("reschedule", "timeout"),
    *(("worker_free", outcome) for outcome in ("failed", "timeout")),
    *(("deferred", outcome) for outcome in ("failed", "timeout", "not_found", "unauthorized")),
)
"""The modes and outcomes of the cells that set `soft_fail`."""

CELLS = (
    *(Cell(dialect, mode, outcome) for (dialect, outcome), modes in _MODES_OF.items() for mode in modes),
    *(Cell("v1", mode, outcome, soft_fail=True) for mode, outcome in _SOFT),
)
