"""An XCom as Airflow's database holds it: sent through Airflow's supervisor, past a custom XCom backend."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey


def decode_json(value: object) -> object:
    """
    Decode a value that is stored as JSON text; any other value stays as it is.

    Airflow 3.3 encodes the XComs of the event that ends a task twice, and some XCom backends return text.
    """
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return value
    return value


def supervisor() -> Any:
    """Return what sends messages to the supervisor of this worker or triggerer; ``None`` in other processes."""
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None)


class RawXCom:
    """
    One XCom of a task instance. A trigger uses the asynchronous methods.

    The provider keeps its own data in XComs that the api-server reads in the database; a custom XCom backend might
    store their values elsewhere.
    """

    def __init__(self, key: str, task_instance: TaskInstanceKey) -> None:
        self.key = key
        self.task_instance = task_instance

    def get(self) -> Any:
        """Return the value; ``None`` if there is no such XCom."""
        return getattr(supervisor().send(self._message("GetXCom")), "value", None)

    def set(self, value: Any) -> None:
        """Push a value."""
        supervisor().send(self._message("SetXCom", value=value))

    def delete(self) -> None:
        """Delete the XCom, if there is one."""
        supervisor().send(self._message("DeleteXCom"))

    async def aget(self) -> Any:
        """Return the value; ``None`` if there is no such XCom."""
        return getattr(await supervisor().asend(self._message("GetXCom")), "value", None)

    async def aset(self, value: Any) -> None:
        """Push a value."""
        await supervisor().asend(self._message("SetXCom", value=value))

    async def adelete(self) -> None:
        """Delete the XCom, if there is one."""
        await supervisor().asend(self._message("DeleteXCom"))

    def _message(self, kind: Literal["GetXCom", "SetXCom", "DeleteXCom"], **value: Any) -> Any:
        from airflow.sdk.execution_time import comms

        return getattr(comms, kind)(key=self.key, **self.task_instance.columns(), **value)
