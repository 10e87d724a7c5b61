"""What HttpEventTrigger asks whether an answer ends its wait: it loads this module anew for every answer."""

from __future__ import annotations

from typing import Any


async def is_completed(response: Any) -> bool:
    """Tell whether an answer of the API says that the task is completed."""
    return bool(response.json()["status"] == "completed")
