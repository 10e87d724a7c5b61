"""Decides for HttpEventTrigger whether a response ends its wait. The trigger loads this module for every response."""

from __future__ import annotations

from typing import Any


async def is_completed(response: Any) -> bool:
    """Return whether the response has a completed task."""
    return bool(response.json()["status"] == "completed")
