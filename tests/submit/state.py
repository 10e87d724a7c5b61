"""A task state store, and a service that creates tasks, that fail or lose their worker where a test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.submit.store import STATE_KEY, Submission


class Killed(BaseException):
    """The worker is killed: nothing after this happens."""


class State:
    """The store of one task instance, as Airflow gives it to a worker. What it does when is said by its parameters."""

    def __init__(self, *, dies_before: str = "", dies_after: str = "", fails_at: str = "") -> None:
        if not AIRFLOW_V_3_3_PLUS:
            pytest.skip("before 3.3 Airflow keeps no state of a task")
        self.values: dict[str, Any] = {}
        self.retentions: set[Any] = set()
        self._dies_before = dies_before
        self._dies_after = dies_after
        self.fails_at = fails_at
        self._sets = 0

    @property
    def submission(self) -> Submission:
        """What is kept."""
        return msgspec.convert(self.values[STATE_KEY], Submission)

    def edit(self, **changes: Any) -> None:
        """Change fields of what is kept."""
        self.values[STATE_KEY] |= changes

    def get(self, key: str) -> Any:
        """Return a value, or ``None``."""
        if self.fails_at == "get":
            raise RuntimeError("get")
        return self.values.get(key)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Keep a value."""
        self._sets += 1
        name = "set" if self._sets == 1 else "second set"
        if self.fails_at in ("set", name):
            raise RuntimeError(name)
        if self._dies_before == name:
            self._dies_before = ""
            self._sets = 0
            raise Killed
        self.values[key] = value
        self.retentions.add(retention)
        if self._dies_after == name:
            self._dies_after = ""
            raise Killed

    def delete(self, key: str) -> None:
        """Keep a value no longer."""
        self.values.pop(key, None)


class Service:
    """Creates tasks, and counts them."""

    def __init__(self, *, wait_time: float | None = None, dies: str = "") -> None:
        self.created = 0
        self._wait_time = wait_time
        self._dies = dies

    def create(self) -> dict[str, Any]:
        """Create a task, as the live service would respond."""
        if self._dies == "before":
            self._dies = ""
            raise Killed
        self.created += 1
        if self._dies == "after":
            self._dies = ""
            raise Killed
        data: dict[str, Any] = {"task_uuid": f"wtask_{self.created}"}
        return {"code": 0, "data": data if self._wait_time is None else {**data, "wait_time": self._wait_time}}

    def fail(self, error: Exception) -> NoReturn:
        """Create nothing."""
        raise error


def context(state: State | None, *, max_tries: int = 0, try_number: int = 1) -> Any:
    """Return as much of a context as a submission uses."""
    ti = SimpleNamespace(max_tries=max_tries, try_number=try_number)
    return {"ti": ti} if state is None else {"ti": ti, "task_state_store": state}
