"""
The callbacks of a batch: two XComs of the waiting task instance, by which they find it, and reach its trigger.

A callback cannot resume a batch, which goes on when one of its tasks has ended: its trigger only has to poll that one.
But nothing can be sent to a trigger that runs; all it can do is to read XComs. So there are two::

    _seeany_batch_<connection>   hashes of all ids; a worker pushes it, the api-server searches it in the database
    _seeany_called_back          which of them were called back about; the api-server writes it, the trigger reads it

Each callback has a number, the next one; the trigger knows up to which number it has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_seeany.xcoms.raw import RawXCom
from airflow_provider_seeany.xcoms.record_key import hash_part
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

BATCH_PREFIX = "_seeany_batch_"
CALLED_BACK_KEY = "_seeany_called_back"

MAX_KEPT = 1000
"""Maximum number of tasks in the XCom that the trigger reads every few seconds: the last ones."""


def batch_key(seeany_conn_id: str) -> str:
    """Return the key shared by all batches that wait through a connection."""
    return BATCH_PREFIX + hashlib.sha256(seeany_conn_id.encode(errors="surrogatepass")).hexdigest()[:40]


class CalledBack(msgspec.Struct, frozen=True):
    """
    Which tasks of a batch SeeAny has called back about: the value of the XCom, as plain JSON.

    :param task_instance_id: Airflow's id of the task instance, which is a new one for each try.
    :param number: the number of the last callback.
    :param tasks: the numbers of the last callbacks about tasks, by the tasks' hashes.
    """

    task_instance_id: str
    number: int = 0
    tasks: dict[str, int] = {}

    def and_about(self, seeany_task_id: str) -> CalledBack:
        """Return it with another callback."""
        number = self.number + 1
        tasks = {**self.tasks, hash_part(seeany_task_id): number}
        if len(tasks) > MAX_KEPT:
            del tasks[min(tasks, key=tasks.__getitem__)]
        return CalledBack(self.task_instance_id, number, tasks)

    def since(self, number: int) -> list[str] | None:
        """Return the hashes of the tasks called back about after that number; ``None`` if some were not kept."""
        if self.number - number > MAX_KEPT:
            return None
        return [task for task, its_number in self.tasks.items() if its_number > number]


class BatchCallbacks:
    """Both XComs of one try of a batch. A trigger uses the asynchronous methods."""

    def __init__(self, task_instance: Any, *, seeany_conn_id: str) -> None:
        key = TaskInstanceKey.of(task_instance)
        self._try = str(task_instance.id)
        self._batch, self._called_back = RawXCom(batch_key(seeany_conn_id), key), RawXCom(CALLED_BACK_KEY, key)

    def register(self, seeany_task_ids: Sequence[str]) -> None:
        """Register, in a worker. From here on a callback about one of these tasks is noted."""
        self._called_back.set(msgspec.to_builtins(CalledBack(self._try)))
        self._batch.set({"tasks": [hash_part(each) for each in seeany_task_ids]})

    def delete(self) -> None:
        """Delete both, in a worker."""
        for xcom in (self._batch, self._called_back):
            xcom.delete()

    async def adelete(self) -> None:
        """Delete both if they are of this try, in the triggerer."""
        if await self.read() is not None:
            for xcom in (self._batch, self._called_back):
                await xcom.adelete()

    async def read(self) -> CalledBack | None:
        """Return what was noted so far; ``None`` if nothing of this try is registered."""
        try:
            called_back = msgspec.convert(await self._called_back.aget(), CalledBack)
        except msgspec.ValidationError:
            return None
        return called_back if called_back.task_instance_id == self._try else None
