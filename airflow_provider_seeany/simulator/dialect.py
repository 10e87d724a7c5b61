"""What each of the two dialects of the API has to say; the modules `v1` and `developer` are these."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol

from .scenario import Scenario, State

Body = Mapping[str, object]

BUSY = "系统繁忙,请稍后再试"


class Refusal(Enum):
    """Why a request is refused."""

    USER_AGENT = auto()
    """It has no `User-Agent`."""
    KEY = auto()
    KEY_IN_ENVELOPE = auto()
    """As `KEY`, but with HTTP 200 where the dialect has an envelope that can say so."""
    UNKNOWN_TASK = auto()
    BUSY = auto()


class Dialect(Protocol):
    """How a dialect writes a task and an error."""

    def task(self, scenario: Scenario, state: State, *, started_at: float, files_url: str) -> Body:
        """Return the state of a task that started at `started_at` (Unix seconds), with files below `files_url`."""

    def response(self, task: Body) -> Body:
        """Return the body of a response about this task."""

    def callback(self, task: Body) -> Body:
        """Return the body of a callback about this task."""

    def refusal(self, refusal: Refusal, detail: str) -> tuple[int, Body]:
        """Return HTTP status and body of a refused request."""

    def error(self, http_status: int, reason: str) -> Body:
        """Return the body of any other HTTP error."""
