"""A single wait that polls every 10 s, and the errors that it receives."""

from __future__ import annotations

from typing import Any

from airflow_provider_seeany.api.errors import (
    ApiError,
    TransientError,
)
from airflow_provider_seeany.api.intervals import PollPolicy
from airflow_provider_seeany.api.wait import Wait
from tests.recorded_log import RecordedLog

START = 1_000_000.0


def wait(log: RecordedLog, *, deadline: float | None = None, task_id: str = "x", **more: Any) -> Wait:
    """Return a wait that polls every 10 s."""
    return Wait(task_id, **{"polling": PollPolicy(poll_interval=10), "deadline": deadline, "log": log, **more})


def api_error(kind: type[ApiError] = TransientError, text: str = "SeeAny returned HTTP 502", **fields: Any) -> ApiError:
    """Return the error of a request."""
    return kind(text, **fields)
