"""What the test with CeleryExecutor runs, shared by its DAGs and the test."""

from __future__ import annotations

from tests.system.table import CELLS as ALL_CELLS
from tests.system.table import MODES

CELLS = tuple(
    cell
    for cell in ALL_CELLS
    if (cell.dialect, cell.mode) == ("v1", "deferred")
    or (cell.dialect, cell.outcome) == ("v1", "completed")
    or (cell.mode in ("poke", "operator") and cell.outcome == "failed")
)
"""Of the table: every way to wait once, and every outcome of the default one."""
OUTCOME_DAGS = tuple(f"outcomes_{mode}" for mode in MODES)

QUEUE = "videos"
"""The queue of one Celery worker, and of one triggerer."""
HELD = "held"
"""The connection to a server whose tasks end when the test says so."""
CALLS_BACK = "calls_back"
"""The connection to a simulator that calls back."""

HANGS = "Hangs until its worker is killed"

DEFERRED = ("sensor", "worker_free", "operator", "batch", "routed")
"""The waits that are deferred while a triggerer and Redis are killed."""


def held_id(task_id: str) -> str:
    """Return the id of the SeeAny task that a held wait waits for."""
    return f"video-{task_id}"
