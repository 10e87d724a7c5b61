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
IN_EVERY_MODE = ("completed", "failed", "timeout")
EVERY_OUTCOME = ("poke", "deferred", "worker_free", "operator", "operator_worker_free")
"""Modes that refusals are tried in: the others wait as one of these does."""

CONNECTIONS = {"unauthorized": "seeany_bad_key"}

# A mapped sensor is deferred, too.
SOFT_FAIL = (
    *((mode, outcome) for mode in ("poke", "reschedule", "worker_free") for outcome in ("failed", "timeout")),
    *(("deferred", outcome) for outcome in OUTCOMES if outcome != "completed"),
)
"""The modes and outcomes of the cells that set `soft_fail`."""

CELLS = (
    *((mode, outcome, False) for mode in MODES for outcome in IN_EVERY_MODE),
    *((mode, outcome, False) for mode in EVERY_OUTCOME for outcome in OUTCOMES if outcome not in IN_EVERY_MODE),
    *((mode, outcome, True) for mode, outcome in SOFT_FAIL),
)
"""The mode and outcome of each cell, and whether it sets `soft_fail`."""


def cell(outcome: str, *, soft_fail: bool = False) -> str:
    """Return the Airflow task id of one cell."""
    return f"{outcome}_soft" if soft_fail else outcome
