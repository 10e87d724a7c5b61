"""The lines that a wait writes to its log."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.snapshot import Snapshot, sanitized_status
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize

LOG_INTERVAL = 30.0  # minimum seconds between two lines of one kind in the log of a batch


class Log(Protocol):
    """The part of a logger that a wait uses."""

    def info(self, msg: str, /, *args: object) -> Any:
        """Log progress."""

    def warning(self, msg: str, /, *args: object) -> Any:
        """Log what needs attention."""


class ThrottledLog:
    """The log of the single waits in a batch: drops progress, and logs one warning of each kind per interval."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pending: dict[str, tuple[object, ...]] = {}
        self._held_back: Counter[str] = Counter()
        self._quiet_until = float("-inf")

    def info(self, msg: str, /, *args: object) -> None:
        """Drop it."""

    def warning(self, msg: str, /, *args: object) -> None:
        """Keep the first one of each kind, count the others."""
        if msg not in self._pending:
            self._pending[msg] = args
        else:
            self._held_back[msg] += 1

    def flush(self, now: float) -> None:
        """Log the pending warnings if the interval has passed."""
        if not self._pending or now < self._quiet_until:
            return
        for msg, args in self._pending.items():
            held_back = self._held_back[msg]
            more = f" ({format_count(held_back)} more warnings like this one)" if held_back else ""
            self._log.warning(f"{msg}%s", *args, more)
        self._pending.clear()
        self._held_back.clear()
        self._quiet_until = now + LOG_INTERVAL


def log_completed(task: SeeAnyTask, name: str, log: Log) -> None:
    """Log the result of a completed task, also of a partial one; its name is its sanitized id."""
    result = task.video_url or ", ".join(task.result_urls) or "no result URL"
    if task.video_url and not is_web_url(task.video_url):
        log.warning("The video_url of SeeAny task %s is not an http(s) URL, so only return_value has it", name)
    costs = Costs()
    costs.add(task)
    cost = f", cost {costs}" if str(costs) else ""
    if task.is_partial:
        log.warning("SeeAny task %s has a partial result (%s): %s%s", name, task.failure_reason, sanitize(result), cost)
    else:
        log.info("SeeAny task %s completed: %s%s", name, sanitize(result), cost)


def log_abandoned(about: str, log: Log) -> None:
    """Log that a wait was ended while the SeeAny task continues."""
    log.warning(
        "The wait for %s was ended. The work at SeeAny continues, as its API cannot cancel it: "
        "it may still finish and cost money",
        about,
    )


class AnomalyLog:
    """
    Warns once of each unknown status word, and once of each field that cannot be parsed.

    :param last_snapshot: the last snapshot of an earlier part of the wait, whose anomalies were logged then.
    """

    def __init__(self, last_snapshot: Snapshot | None = None) -> None:
        # Tuples: nearly always they are empty, and a triggerer holds thousands of them.
        self._statuses: tuple[str, ...] = (last_snapshot.status,) if last_snapshot else ()
        self._fields = tuple(last_snapshot.unparsed) if last_snapshot else ()

    def log_new(self, task: SeeAnyTask, log: Log) -> None:
        """Log the anomalies of a response that were not logged before."""
        if new := [name for name in task.unparsed if name not in self._fields]:
            self._fields += tuple(new)
            log.warning(
                "The response for SeeAny task %s has values that cannot be parsed, which are left out: %s",
                sanitize(task.id),
                ", ".join(new),
            )
        if not task.has_known_status and (status := sanitized_status(task)) not in self._statuses:
            self._statuses += (status,)
            log.warning(
                "SeeAny task %s has the undocumented status %s, which counts as running", sanitize(task.id), status
            )
