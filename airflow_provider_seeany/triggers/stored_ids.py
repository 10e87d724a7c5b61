"""
The ids of a large batch, stored in an XCom instead of its trigger's arguments.

MySQL and MariaDB store at most 64 KB of a trigger's arguments, encrypted, and reject more, when the SeeAny tasks are
paid already. So the worker pushes many ids to an XCom of the task instance, from which each trigger of this try reads
them. The worker in which the task ends deletes it, or the trigger if a user ends the task.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.hooks.reauth import RetryBudget
from airflow_provider_seeany.xcoms.raw import RawXCom, supervisor
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

IDS_KEY = "_seeany_ids"

MAX_ARGUMENT_BYTES = 32 * 1024
"""Maximum size, as JSON, of ids in a trigger's arguments: 44 KB when encrypted, and there are other arguments."""

RETRY_INTERVAL = 5.0  # seconds between two attempts to read them


class _Ids(msgspec.Struct, frozen=True):
    """The value of the XCom."""

    task_instance_id: str
    ids: list[str]


class StoredIds(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ids of one try of a batch are, as a trigger's argument; those of another try are ignored."""

    task_instance_id: str
    task_instance: TaskInstanceKey

    @classmethod
    def of(cls, task_instance: Any) -> StoredIds:
        """Return where the ids of a task instance belong."""
        return cls(task_instance_id=str(task_instance.id), task_instance=TaskInstanceKey.of(task_instance))

    def store(self, ids: Sequence[str]) -> None:
        """Push the ids, in a worker."""
        self._xcom.set(msgspec.to_builtins(_Ids(self.task_instance_id, list(ids))))

    def delete(self) -> None:
        """Delete the ids, in a worker, if there are any."""
        self._xcom.delete()

    async def adelete(self) -> None:
        """Delete the ids of this try, in the triggerer."""
        if await self._own() is not None:
            await self._xcom.adelete()

    async def read(self, log: Log) -> list[str]:
        """Read the ids, in the triggerer; where Airflow's database is unavailable for minutes, too."""
        budget = RetryBudget()
        while True:
            try:
                stored = await self._own()
                break
            except Exception as error:
                budget.record_failure(error)
                if budget.in_a_row == 1:
                    log.warning("The ids of this batch are read later: %s", sanitize(repr(error)))
            await asyncio.sleep(min(RETRY_INTERVAL, budget.left))
        if stored is None:
            raise BadSettings(
                f"The ids of this batch are missing: the XCom {IDS_KEY!r} of the task instance was deleted while the "
                "batch was waiting. Clear the task to start again; the SeeAny tasks are not affected"
            )
        return stored.ids

    async def _own(self) -> _Ids | None:
        try:
            stored = msgspec.convert(await self._xcom.aget(), _Ids)
        except msgspec.ValidationError:
            return None
        return stored if stored.task_instance_id == self.task_instance_id else None

    @property
    def _xcom(self) -> RawXCom:
        return RawXCom(IDS_KEY, self.task_instance)


def must_be_stored(ids: Sequence[str]) -> bool:
    """Return, in a worker, whether ids are too many for an argument."""
    # Not in `airflow dags test`, which runs the trigger in the worker's process, where it could not read them.
    return len(json.dumps(list(ids))) > MAX_ARGUMENT_BYTES and hasattr(supervisor(), "asend")
