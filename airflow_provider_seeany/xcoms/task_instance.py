"""The key of a task instance, under which its XComs are."""

from __future__ import annotations

from typing import Any

import msgspec


class TaskInstanceKey(msgspec.Struct, frozen=True, array_like=True):
    """What names a task instance, whichever try it is."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, task_instance: Any) -> TaskInstanceKey:
        """Return the key of one of Airflow's task instances, or of a database row with its columns."""
        map_index = -1 if task_instance.map_index is None else task_instance.map_index
        return cls(task_instance.dag_id, task_instance.run_id, task_instance.task_id, map_index)

    def columns(self) -> dict[str, Any]:
        """Return the key as the columns of Airflow's tables and the fields of its messages."""
        return msgspec.structs.asdict(self)


def is_storable(text: str) -> bool:
    """Return whether a database can hold a text, and compare its columns with it."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


KEY_COLUMNS = TaskInstanceKey.__struct_fields__
