"""The table of ways to wait and outcomes, shared by the DAG that runs it and the tests that read its results."""

from __future__ import annotations

MODES = (
    "poke",
    "reschedule",
    "deferred",
    "mapped",
    "worker_free",
    "operator",
    "operator_blocking",
    "operator_worker_free",
)

# For each outcome an id that the simulator understands. The label makes each cell's task one of its own.
SEEANY_IDS = {
    "completed": "video-3s-{label}",
    "failed": "fails-3s-{label}",
    "timeout": "never-{label}",
    "not_found": "unknown-{label}",
    "unauthorized": "video-0s-{label}",
}
OUTCOMES = tuple(SEEANY_IDS)

CONNECTIONS = {"unauthorized": "seeany_bad_key"}


def cell(outcome: str, *, soft_fail: bool = False) -> str:
    """Return the Airflow task id of one cell."""
    return f"{outcome}_soft" if soft_fail else outcome
