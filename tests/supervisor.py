"""Airflow's supervisor, to which workers and triggers send messages, with the XCom table in a dict."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.comms import XComResult
from airflow.triggers.base import TriggerEvent


class Supervisor:
    """Handles messages about one task instance."""

    def __init__(self, xcoms: dict[str, Any] | None = None) -> None:
        self.xcoms: dict[str, Any] = {} if xcoms is None else xcoms
        self.state: str | None = "deferred"
        """The state of the task instance."""
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

    def handle(self, event: TriggerEvent) -> None:
        """Store the XComs of an event that ends the task, encoded twice as Airflow 3.3 does."""
        self.xcoms |= {key: json.dumps(value) for key, value in (getattr(event, "xcoms", None) or {}).items()}
