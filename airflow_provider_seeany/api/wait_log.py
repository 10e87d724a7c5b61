"""The lines that a wait writes to its log."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.snapshot import Snapshot, shown_status
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import format_count, sanitize


class ThrottledLog:
    """
    The log of the waits inside a batch: what each of thousands would tell is left out, and of the warnings one of each
    kind is passed on now and then.

    :param log: the log of the batch.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._first: dict[str, tuple[object, ...]] = {}
        self._held_back: Counter[str] = Counter()
        self._quiet_until = float("-inf")

    def info(self, msg: str, /, *args: object) -> None:
        """Leave it out."""

    def warning(self, msg: str, /, *args: object) -> None:
        """Keep the first one of each kind, count the others."""
        if msg not in self._first:
            self._first[msg] = args
        else:
            self._held_back[msg] += 1

    def flush(self, now: float) -> None:
        """Pass on what was kept, if it is time."""
        if not self._first or now < self._quiet_until:
            return
        for msg, args in self._first.items():
            held_back = self._held_back[msg]
            more = f" ({format_count(held_back)} more warnings like this one)" if held_back else ""
            self._log.warning(f"{msg}%s", *args, more)
        self._first.clear()
        self._held_back.clear()
        self._quiet_until = now + LOG_INTERVAL


LOG_INTERVAL = 30.0
"""Fewest seconds between two lines of one kind in the log of a batch."""


class Log(Protocol):
    """The part of a logger that a wait uses."""

    def info(self, msg: str, /, *args: object) -> Any:
        """Log a line for people who follow the wait."""

    def warning(self, msg: str, /, *args: object) -> Any:
        """Log a line for people who should look."""


def log_completed(task: SeeAnyTask, name: str, log: Log) -> None:
    """
    Say in the log what a task brought.

    :param task: the completed task.
    :param name: its id, for a person.
    :param log: the log of the wait.
    """
    result = task.video_url or ", ".join(task.result_urls) or "no result URL"
    if task.video_url and not is_web_url(task.video_url):
        log.warning("The video_url of SeeAny task %s is no http(s) URL, so only return_value has it", name)
    cost = f"{task.usage.cost} {task.usage.cost_unit or ''}".strip() if task.usage.cost is not None else "?"
    log.info("SeeAny task %s completed: %s, cost %s", name, sanitize(result), sanitize(cost))


def log_abandoned(about: str, log: Log) -> None:
    """
    Say in the log that nobody waits any more for what goes on, as somebody ended the wait.

    :param about: what was waited for, for a person.
    """
    log.warning(
        "The wait for %s was ended. What SeeAny does is left alone, as its API knows no cancelling: "
        "it may still finish and cost money",
        about,
    )


class Oddities:
    """
    Warns once of each status word that is not known, and once of each field that cannot be understood.

    :param seen: what an earlier part of the wait saw, and warned of.
    """

    def __init__(self, seen: Snapshot | None = None) -> None:
        self._words = {seen.status} if seen else set()
        self._fields = set(seen.unclear) if seen else set()

    def notice(self, task: SeeAnyTask, log: Log) -> None:
        """Warn of what is odd about an answer, and was not before."""
        if new := [name for name in task.unclear if name not in self._fields]:
            self._fields.update(new)
            log.warning(
                "The answer about SeeAny task %s holds something in %s that cannot be understood, so it is left out",
                sanitize(task.id),
                ", ".join(new),
            )
        if not task.has_known_status and (word := shown_status(task.status)) not in self._words:
            self._words.add(word)
            log.warning(
                "SeeAny task %s has the status %s, which the API's documentation does not know; "
                "it counts as still running",
                sanitize(task.id),
                word,
            )
