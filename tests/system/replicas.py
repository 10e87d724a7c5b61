"""The waits that the test with several of each of Airflow's processes makes: which there are, and what ends them."""

from __future__ import annotations

from typing import Any

CONNECTION = "studio"
RESUMED = [f"{mode}_{number}" for mode in ("classic", "worker_free") for number in range(5)]
"""The waits that only a callback can end in time, as the triggerer polls again only after the test is over."""
SIBLINGS = ["sibling_classic", "sibling_worker_free"]
"""The same, but both wait for one SeeAny task."""
RACING = [f"racing_{mode}_{number}" for mode in ("classic", "worker_free") for number in range(3)]
"""The waits that the triggerer's own poll may end just as well as a callback."""
ALL = [*RESUMED, *SIBLINGS, *RACING]


def seeany_task_id(task_id: str) -> str:
    """Return the id of the SeeAny task that an Airflow task waits for."""
    return f"video-{'siblings' if task_id in SIBLINGS else task_id}"


def options(task_id: str) -> dict[str, Any]:
    """Return how an Airflow task waits."""
    return {
        "seeany_task_id": seeany_task_id(task_id),
        "seeany_conn_id": CONNECTION,
        "expect_callback": True,
        "worker_free": is_worker_free(task_id),
        "callback_poll_interval": 1 if task_id in RACING else 600,
    }


def is_worker_free(task_id: str) -> bool:
    """Return whether a wait starts and ends without a worker."""
    return "worker_free" in task_id
