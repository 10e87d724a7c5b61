"""A trigger that polls often, and its outcome."""

from __future__ import annotations

import json
import time
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_seeany.api.outcome import (
    Outcome,
    decode_outcome,
)
from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger
from tests.conftest import KEY
from tests.waits import task_trigger

WELL_UNDER_WAY = 3600.0
"""The time limit of a wait that began so long before its deadline that its task must be visible by now."""


def trigger(task_id: str = "x", **more: Any) -> SeeAnyTaskTrigger:
    """Return a trigger that polls often."""
    return task_trigger(task_id, **{"poll_interval": 0.01, "deadline": time.time() + 20, **more})


async def outcome_of(waiting: BaseTrigger) -> Outcome:
    """Run a trigger to its end, see that it fires exactly one event that can travel, and return its outcome."""
    events = [event async for event in waiting.run()]
    assert len(events) == 1
    travelled = json.loads(json.dumps(events[0].payload))
    assert KEY not in json.dumps(travelled)
    return decode_outcome(travelled)
