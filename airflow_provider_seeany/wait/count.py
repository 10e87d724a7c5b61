"""Counts a wait that ends in a worker: once, when Airflow will not try it again."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany import metrics

if TYPE_CHECKING:
    from airflow_provider_seeany.xcoms.record import Record


def count_end(operator: Any, ti: Any, record: Record, error: AirflowException | None = None) -> None:
    """
    Send the metrics of a wait that has ended. An error in this does not fail the task.

    :param operator: a :class:`~airflow_provider_seeany.wait.base.BaseSeeAnyOperator`.
    :param error: the exception by which the task ends, if it does not succeed.
    """
    if not metrics.is_on() or operator.is_killed:
        return
    try:
        if _is_final(error) or ti.try_number > ti.max_tries:
            reason = error.__cause__ if isinstance(error, AirflowSkipException) else error
            metrics.wait_ended(record, mode=operator.wait_mode, seconds=_seconds(operator, ti), error=reason)
    except Exception:
        operator.log.warning("The metrics of this wait could not be sent", exc_info=True)


def count_killed(operator: Any) -> None:
    """
    Count a wait in a worker that a user or ``execution_timeout`` ends, once: Airflow may say so several times.

    Airflow calls ``on_kill`` for both, and for the second one while it handles the exception.
    """
    if operator.is_killed or operator.finished is not None:
        return
    operator.is_killed = True
    ti = operator.waiting_ti
    if isinstance(sys.exc_info()[1], AirflowTaskTimeout) and ti is not None and ti.try_number <= ti.max_tries:
        return
    metrics.wait_killed(conn_id=operator.seeany_conn_id, mode=operator.wait_mode)


def _is_final(error: AirflowException | None) -> bool:
    """Return whether Airflow never tries a task again that ends so."""
    return error is None or isinstance(error, AirflowFailException | AirflowSensorTimeout | AirflowSkipException)


def _seconds(operator: Any, ti: Any) -> float | None:
    """Return how long the wait took. Before Airflow 3.3 a worker is not told when a wait that it resumes began."""
    began: float | None = operator.began
    if began is None and operator.is_resumed and not AIRFLOW_V_3_3_PLUS:
        return None
    return time.time() - (ti.start_date.timestamp() if began is None else began)
