"""Reads how long a task should take: what its creation answered, as a template may have rendered it."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_seeany.api.intervals import MAX_ESTIMATE
from airflow_provider_seeany.api.quantities import seconds
from airflow_provider_seeany.api.text import truncate
from airflow_provider_seeany.api.wait_log import Log


def expected_seconds(value: object, log: Log) -> float | None:
    """
    Return the expected duration; ``None`` if there is none.

    A value that cannot be one is logged, not refused: the task is paid, and the wait can do without.
    """
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    duration = value.total_seconds() if isinstance(value, timedelta) else seconds(value)
    if duration is not None and 0 <= duration <= MAX_ESTIMATE:
        return float(duration)
    shown = truncate(value if isinstance(value, str) else repr(value))
    log.warning("expected_duration is not a number of seconds, so the wait does without it: %s", shown)
    return None
