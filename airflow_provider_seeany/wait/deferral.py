"""What every wait that leaves a worker has to mind: when the trigger may look first, and what it reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from airflow_provider_seeany.api.intervals import JITTER, with_jitter
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.exceptions import SeeAnyError

End = TypeVar("End")

FIRST_POLL_DELAY = (5.0, 10.0)
"""
Least and most seconds between the deferral and the trigger's first look.

A trigger that fires within about four seconds can lose its task to a scheduler that has not yet noted the
deferral (apache/airflow#72716).
"""

SILENCE = "the triggerer did not report in time; is one running?"
"""What is known of a deferral that Airflow ended itself."""


def first_poll_at(interval: float, deadline: float, *, asked_for: float = 0.0) -> float:
    """
    Return when a trigger should look first, in Unix seconds: about an interval from now, within the safe limits.

    :param interval: seconds between two questions.
    :param deadline: when the wait ends, in Unix seconds.
    :param asked_for: seconds that the service wants to be left alone.
    """
    now = time.time()
    soonest, latest = FIRST_POLL_DELAY
    # So far inside the limits that the spread cannot leave them.
    pause = with_jitter(min(max(interval, soonest / (1 - JITTER / 2)), latest / (1 + JITTER / 2)))
    return now + max(min(pause, deadline - now), soonest, asked_for)


def decode_event(decode: Callable[[Mapping[str, Any]], End], event: Mapping[str, Any], *, about: str) -> End:
    """
    Return the outcome that an event tells.

    :raises SeeAnyError: if it tells something else.
    """
    try:
        return decode(event)
    except ValueError as error:
        raise SeeAnyError(
            f"The trigger of {about} reported something unknown ({sanitize(str(error))}). "
            "Do the triggerer and the workers run the same version of airflow-provider-seeany?"
        ) from None
