"""
The callback registration: an XCom of the waiting task instance, by which a callback finds the wait.

Its *key* is made of the connection and the SeeAny id, because Airflow indexes XComs by key. Whoever deletes it may end
the wait: the trigger deletes it before it fires, a callback in the transaction that resumes the task instance, so the
wait ends once. While the task instance cannot be resumed yet, a callback sets ``received``, which the trigger reads.

It stays if a user marked the task instance, Airflow ended the deferral because no triggerer runs, or `airflow dags
test` ran the wait; without a worker until the next try, which may wait for another SeeAny task. So it names its try,
and is valid for that one only.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.xcoms.raw import RawXCom
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

KEY_PREFIX = "_seeany_wait_"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """
    The value of the XCom, as plain JSON.

    :param task_instance_id: Airflow's id of the task instance, which is a new one for each try.
    :param received: whether SeeAny called back while the task instance could not be resumed yet.
    """

    seeany_conn_id: str
    seeany_task_id: str
    task_instance_id: str
    received: bool = False

    @property
    def key(self) -> str:
        """The key of the XCom."""
        return registration_key(self.seeany_conn_id, self.seeany_task_id)


def registration_key(seeany_conn_id: str, seeany_task_id: str) -> str:
    """Return the key shared by all waits for a task through a connection; a hash, as an id can be longer than a key."""
    wait = f"{seeany_conn_id}\0{seeany_task_id}".encode()
    return KEY_PREFIX + hashlib.sha256(wait).hexdigest()[:40]


def log_expected(log: Log, *, poll_interval: float | None, is_batch: bool = False) -> None:
    """Log that the wait polls rarely because it expects a callback, or a batch one about each of its tasks."""
    if is_batch:
        log.info(
            "Waiting for SeeAny's callbacks; polling a few tasks every %g s in case some do not come", poll_interval
        )
    else:
        log.info("Waiting for SeeAny's callback; polling every %g s in case it does not come", poll_interval)


class CallbackRegistration:
    """The callback registration of one try of a task instance. A trigger uses the asynchronous methods."""

    def __init__(self, task_instance: Any, *, seeany_conn_id: str, seeany_task_id: str) -> None:
        self._registration = Registration(
            seeany_conn_id=seeany_conn_id, seeany_task_id=seeany_task_id, task_instance_id=str(task_instance.id)
        )
        self._xcom = RawXCom(self._registration.key, TaskInstanceKey.of(task_instance))

    def register(self) -> None:
        """Register. From here on a callback finds the wait."""
        self._xcom.set(msgspec.to_builtins(self._registration))

    def unregister(self) -> None:
        """Delete the registration."""
        self._xcom.delete()

    async def aregister(self) -> None:
        """Register. From here on a callback finds the wait."""
        await self._xcom.aset(msgspec.to_builtins(self._registration))

    async def aunregister(self) -> None:
        """Delete the registration of this try; another try can have registered under the same key."""
        registration = await self._read()
        if registration is not None and registration.task_instance_id == self._registration.task_instance_id:
            await self._xcom.adelete()

    async def was_received(self) -> bool:
        """Return whether to poll at once: SeeAny has called back, or a trigger that was about to fire unregistered."""
        registration = await self._read()
        return registration is None or registration.received

    async def is_registered(self) -> bool:
        """Return whether the registration is there. If not, a callback has ended the wait."""
        return await self._read() is not None

    async def _read(self) -> Registration | None:
        value = await self._xcom.aget()
        return msgspec.convert(value, Registration) if value else None
