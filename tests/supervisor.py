"""Airflow's supervisor, to which workers and triggers send messages, with the XCom table in a dict."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.comms import XComResult

from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.xcoms.record import Claim
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.result import result_keys


class Supervisor:
    """Handles messages about one task instance."""

    def __init__(self, xcoms: dict[str, Any] | None = None) -> None:
        self.xcoms: dict[str, Any] = {} if xcoms is None else xcoms
        self.state: str | None = "deferred"
        """The state of the task instance."""
        self.try_id: str | None = None
        """The id of its current try, if that matters."""
        self.writes: list[str] = []
        """The keys that were set or deleted, in order."""

    def send(self, message: Any) -> Any:
        """Handle a worker's message."""
        if message.type == "GetTaskStates":
            (run_id,), (task_id,) = message.run_ids, message.task_ids
            return SimpleNamespace(task_states={run_id: {task_id: self.state}})
        if message.type == "GetXCom":
            return XComResult(key=message.key, value=self.xcoms.get(message.key))
        if message.type == "SetXCom":
            self.writes.append(message.key)
            self.xcoms[message.key] = json.loads(json.dumps(message.value))
        elif message.type == "DeleteXCom":
            self.writes.append(message.key)
            self.xcoms.pop(message.key, None)
        return None

    async def asend(self, message: Any) -> Any:
        """Handle a trigger's message."""
        return self.send(message)

    async def succeed(self, success: Success) -> bool:
        """End the task instance as its thread does, if it is deferred in this try."""
        if self.state != "deferred" or self.try_id not in (None, str(success.task_instance_id)):
            return False
        record = Claim.read(self.xcoms.get(PROGRESS_KEY)).record
        for key in result_keys(record):
            self.xcoms.pop(key, None)
        self.xcoms |= json.loads(json.dumps(success.xcoms))
        self.writes += success.xcoms
        self.state = "success"
        return True
