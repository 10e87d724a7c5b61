"""What the test on MariaDB runs, shared by its DAGs and the test."""

from __future__ import annotations

from tests.system.table import CELLS as ALL_CELLS

CELLS = tuple(cell for cell in ALL_CELLS if (cell.dialect, cell.outcome) == ("v1", "completed"))
"""Of the table: every way to wait, once."""

CALLS_BACK = "calls_back"
"""The connection to a simulator that calls back."""

LARGEST = 10_000
MANY = 2_000
"""Also too many ids for the arguments of a trigger."""

BATCHES = {
    "succeeds": "video-0s",
    "fails": "fails-0s",
    "times_out": "never",
    "moved": "video-90s",
    "marked_failed": "never",
    "cleared": "never",
}
"""The batches, by what happens to them, and what their last SeeAny task does."""


def batch_ids(task_id: str) -> list[str]:
    """Return the ids of a batch."""
    others = (LARGEST if task_id == "succeeds" else MANY) - 1
    return [*(f"video-0s-{task_id}-{number:05}" for number in range(others)), f"{BATCHES[task_id]}-{task_id}-last"]
