"""
The mark that a wait leaves in Airflow's database, by which a ring finds it.

It is an XCom of the waiting task instance, whose *key* is made of the connection and the SeeAny id: XComs are indexed
by key, and by nothing else that fits. It is also the right to end the wait: who deletes it may do so. The trigger
deletes it before it fires, a ring in the transaction that resumes the task instance, so never both end a wait. While
the task instance may not be resumed yet, a ring leaves a note in the mark, which the trigger reads.

It is never there once the wait has ended, except where nobody of this provider was asked: a person marked the task
instance, Airflow ended the deferral because no triggerer runs, or `airflow dags test` ran the wait. Without a worker
nobody clears it away before the next try, which may wait for another SeeAny task; so the mark names its try, and counts
for no other.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import msgspec

from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.xcoms.task_instance import place_of

KEY_PREFIX = "_seeany_wait_"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the mark says, as plain JSON.

    :param seeany_conn_id: the connection that the wait asks through.
    :param seeany_task_id: the task waited for.
    :param task_instance_id: Airflow's id of the task instance, which is a new one for each try.
    :param rung: whether SeeAny has rung while the task instance could not be resumed yet.
    """

    seeany_conn_id: str
    seeany_task_id: str
    task_instance_id: str
    received: bool = False

    @property
    def key(self) -> str:
        """The key of the XCom; a hash, because an id may be longer than a key."""
        return registration_key(self.seeany_conn_id, self.seeany_task_id)


def registration_key(seeany_conn_id: str, seeany_task_id: str) -> str:
    """Return the key of the marks of all waits for this task through this connection."""
    waited_for = f"{seeany_conn_id}\0{seeany_task_id}".encode()
    return KEY_PREFIX + hashlib.sha256(waited_for).hexdigest()[:40]


def log_expected(log: Log, *, poll_interval: float | None) -> None:
    """Say in a wait's log that it is not going to ask much."""
    log.info("Waiting for SeeAny's callback; asking anyway every %g s", poll_interval)


class TaskInstance(Protocol):
    """The part of a task instance that is needed here."""

    id: Any
    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


class CallbackRegistration:
    """
    The mark as a worker or the triggerer handles it.

    It goes through Airflow's supervisor, past a custom XCom backend: the api-server has to read it in the database.

    :param task_instance: the task instance that waits.
    :param seeany_conn_id: the connection that it asks through.
    :param seeany_task_id: the task waited for.
    """

    def __init__(self, task_instance: TaskInstance, *, seeany_conn_id: str, seeany_task_id: str) -> None:
        self._mark = Registration(
            seeany_conn_id=seeany_conn_id, seeany_task_id=seeany_task_id, task_instance_id=str(task_instance.id)
        )
        self._where: dict[str, Any] = {
            "key": self._mark.key,
            **place_of(task_instance),
        }

    def register(self) -> None:
        """Leave the mark, in a worker. From here on a ring is heard."""
        _supervisor().send(self._hanging())

    def unregister(self) -> None:
        """Delete the mark, in a worker."""
        _supervisor().send(self._taking_down())

    async def aregister(self) -> None:
        """Leave the mark, in the triggerer."""
        await _supervisor().asend(self._hanging())

    async def aunregister(self) -> None:
        """Delete the mark, in the triggerer; that of another try, which may have the same key, stays."""
        mark = await self._read()
        if mark is not None and mark.task_instance_id == self._mark.task_instance_id:
            await _supervisor().asend(self._taking_down())

    async def was_received(self) -> bool:
        """
        Tell whether there is a reason to ask at once, in the triggerer.

        That is a ring, or the want of the mark: a trigger that was about to fire deleted it, and its triggerer died.
        """
        mark = await self._read()
        return mark is None or mark.received

    async def is_registered(self) -> bool:
        """Tell whether the mark is there, in the triggerer. If not, a ring has ended the wait."""
        return await self._read() is not None

    async def _read(self) -> Registration | None:
        from airflow.sdk.execution_time.comms import GetXCom

        reply = await _supervisor().asend(GetXCom(**self._where))
        value = getattr(reply, "value", None)
        return msgspec.convert(value, Registration) if value else None

    def _hanging(self) -> Any:
        from airflow.sdk.execution_time.comms import SetXCom

        return SetXCom(value=msgspec.to_builtins(self._mark), **self._where)

    def _taking_down(self) -> Any:
        from airflow.sdk.execution_time.comms import DeleteXCom

        return DeleteXCom(**self._where)


def _supervisor() -> Any:
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return SUPERVISOR_COMMS
