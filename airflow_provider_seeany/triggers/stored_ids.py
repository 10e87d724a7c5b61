"""
The ids of a large batch, kept beside its trigger.

MySQL and MariaDB keep no more than 64 KB of a trigger's arguments, encrypted, and say "Value rejected by database" of
more, when the SeeAny tasks are paid already. So the worker writes many ids to an XCom of the task instance, from which
the trigger reads them, also one that is made anew elsewhere; the worker that the task ends in deletes it, or the
trigger if a person ends the task. Like all that is not the user's, it goes past a custom XCom backend. It names its
try: what an earlier one left counts for no other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_seeany.api.settings import BadSettings
from airflow_provider_seeany.xcoms.task_instance import place_of

IDS_KEY = "_seeany_ids"

MAX_ARGUMENT_BYTES = 32 * 1024
"""Maximum size, as JSON, of ids that are a trigger's argument: 44 KB when encrypted, and there are other arguments."""


class _Ids(msgspec.Struct, frozen=True):
    """
    What the XCom holds.

    :param task_instance_id: Airflow's id of the task instance, which is a new one for each try.
    :param ids: the SeeAny tasks.
    """

    task_instance_id: str
    ids: list[str]


class StoredIds(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the ids of a batch are, as a trigger's argument: where `airflow dags test` makes one, it has no task instance.

    :param task_instance_id: Airflow's id of the task instance in this try.
    :param dag_id: its DAG.
    :param run_id: its run.
    :param task_id: its task.
    :param map_index: which of the mapped ones it is.
    """

    task_instance_id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int

    @classmethod
    def of(cls, task_instance: Any) -> StoredIds:
        """Return where the ids of a task instance belong."""
        return cls(task_instance_id=str(task_instance.id), **place_of(task_instance))

    def store(self, ids: Sequence[str]) -> None:
        """Write them, in a worker."""
        from airflow.sdk.execution_time.comms import SetXCom

        value = msgspec.to_builtins(_Ids(self.task_instance_id, list(ids)))
        _supervisor().send(SetXCom(value=value, **self._where))

    def delete(self) -> None:
        """Delete them, in a worker, if there are any."""
        from airflow.sdk.execution_time.comms import DeleteXCom

        _supervisor().send(DeleteXCom(**self._where))

    async def adelete(self) -> None:
        """Delete them, in the triggerer; those of another try stay."""
        from airflow.sdk.execution_time.comms import DeleteXCom

        stored = await self._stored()
        if stored is not None and stored.task_instance_id == self.task_instance_id:
            await _supervisor().asend(DeleteXCom(**self._where))

    async def read(self) -> list[str]:
        """
        Read them, in the triggerer.

        :raises BadSettings: if they are not there, or are those of another try.
        """
        stored = await self._stored()
        if stored is None or stored.task_instance_id != self.task_instance_id:
            raise BadSettings(
                f"The ids of this batch are not in the XCom {IDS_KEY!r} of the task instance any more: somebody "
                "deleted it while the batch was waiting. Clear the task to start again; what SeeAny does goes on"
            )
        return stored.ids

    async def _stored(self) -> _Ids | None:
        from airflow.sdk.execution_time.comms import GetXCom

        reply = await _supervisor().asend(GetXCom(**self._where))
        try:
            return msgspec.convert(getattr(reply, "value", None), _Ids)
        except msgspec.ValidationError:
            return None

    @property
    def _where(self) -> dict[str, Any]:
        return {
            "key": IDS_KEY,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }


def are_to_be_stored(ids: Sequence[str]) -> bool:
    """
    Tell, in a worker, whether ids are too many for an argument.

    Where `airflow dags test` runs the trigger in the worker's place, it could not read them, and nothing is stored.
    """
    return len(json.dumps(list(ids))) > MAX_ARGUMENT_BYTES and hasattr(_supervisor(), "asend")


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None)
