"""The waits of the test with a suspended triggerer, and what they wait for."""

from __future__ import annotations

from typing import Any

WAITS: dict[str, dict[str, Any]] = {
    **{f"ended_{number}": {"worker_free": True} for number in range(6)},
    **{f"running_{number}": {"worker_free": True} for number in range(2)},
    "ended_links_only": {"worker_free": True, "do_xcom_push": False},
    "ended_callback": {"worker_free": True, "expect_callback": True, "callback_poll_interval": 1},
    "ended_classic": {},
    "running_classic": {},
}
"""How each waits; its name is the state of its first SeeAny task when the triggerer is resumed."""
BATCH = "batch"
ALL = [*WAITS, BATCH]


def batch_ids(try_number: int) -> list[str]:
    """Return the ids that the batch waits for."""
    return [seeany_task_id(f"{what}_{BATCH}", try_number) for what in ("ended", "running")]


def seeany_task_id(task_id: str, try_number: int) -> str:
    """Return the id of the SeeAny task that a try of an Airflow task waits for."""
    return f"{task_id}-{'first' if try_number == 1 else 'second'}"
