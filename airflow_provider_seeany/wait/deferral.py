"""What every wait that leaves a worker needs: when its trigger may poll, what may end it, the outcome in its event."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from airflow_provider_seeany.api.intervals import JITTER, with_jitter
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.callback.registration import log_expected
from airflow_provider_seeany.callback.url import why_no_callback
from airflow_provider_seeany.exceptions import SeeAnyError

End = TypeVar("End")

FIRST_POLL_DELAY = (5.0, 10.0)
"""
Minimum and maximum seconds between the deferral and the trigger's first poll.

A trigger that fires within about four seconds can lose its task to a scheduler that has not yet noted the
deferral (apache/airflow#72716).
"""

NO_REPORT = "the triggerer did not report in time; is one running?"
"""What is known of a deferral that Airflow ended itself."""


def first_poll_at(interval: float, deadline: float, *, min_delay: float = 0.0) -> float:
    """Return when a trigger should poll first, in Unix seconds: about an interval from now, within the safe limits."""
    now = time.time()
    soonest, latest = FIRST_POLL_DELAY
    # So far inside the limits that the jitter cannot leave them.
    pause = with_jitter(min(max(interval, soonest / (1 - JITTER / 2)), latest / (1 + JITTER / 2)))
    return now + max(min(pause, deadline - now), soonest, min_delay)


def log_callback_expected(log: Log, *, poll_interval: float, is_batch: bool = False) -> None:
    """Log that a callback is expected from now on, and why it may not come."""
    log_expected(log, poll_interval=poll_interval, is_batch=is_batch)
    if (reason := why_no_callback()) is not None:
        log.warning("SeeAny cannot call back, as far as this worker can tell: %s", reason)


def decode_event(decode: Callable[[Mapping[str, Any]], End], event: Mapping[str, Any], *, about: str) -> End:
    """Return the outcome in a trigger's event, or raise ``SeeAnyError`` if there is none."""
    try:
        return decode(event)
    except ValueError as error:
        raise SeeAnyError(
            f"The trigger of {about} reported something unknown ({sanitize(str(error))}). "
            "Do the triggerer and the workers run the same version of airflow-provider-seeany?"
        ) from None
