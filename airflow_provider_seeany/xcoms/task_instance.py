"""The key of a task instance, under which its XComs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def place_of(task_instance: Any) -> dict[str, Any]:
    """Return what names the XComs of a task instance."""
    return {
        "dag_id": task_instance.dag_id,
        "task_id": task_instance.task_id,
        "run_id": task_instance.run_id,
        "map_index": -1 if task_instance.map_index is None else task_instance.map_index,
    }
