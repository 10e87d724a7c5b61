"""The last known state of a running task."""

from __future__ import annotations

import msgspec

from airflow_provider_seeany.api.intervals import MAX_ESTIMATE
from airflow_provider_seeany.api.result_urls import find_video_url, urls_in
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

MAX_RESULT_URL = 4096  # maximum characters of a result URL that a timeout names; signed ones are long

STALLED_AFTER = 600.0
STALLED_FACTOR = 3
"""
An unchanged status and progress is logged after so many seconds, and so many times the service's estimate.
"""

_USUAL_WHILE_RUNNING = frozenset({"id", "object", "status", "progress", "estimated_remaining"})


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The last known state of a running task.

    :param at: the time of the response, in Unix seconds.
    :param result_url: the first result URL in the response, which a running task should not have yet.
    :param had_result: whether there was one at all; ``result_url`` lacks what is too long.
    :param looks_ended: whether the status is an unknown word that reads as if the task had ended.
    """

    status: str
    progress: int | float | None = None
    estimated_remaining: int | float | None = None
    at: float | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False
    unparsed: list[str] = []

    @classmethod
    def of(cls, task: SeeAnyTask, at: float) -> Snapshot:
        """Return the snapshot of a running task."""
        url = None
        if not task.payload.keys() <= _USUAL_WHILE_RUNNING:
            url = find_video_url(task.payload) if task.is_video else next(iter(urls_in(task.payload)), None)
        return cls(
            status=sanitized_status(task),
            progress=task.progress,
            estimated_remaining=task.estimated_remaining,
            at=at,
            # It is stored with the trigger, and a truncated one would be useless.
            result_url=url if url is not None and len(url) <= MAX_RESULT_URL else None,
            had_result=url is not None,
            looks_ended=task.looks_ended,
            unparsed=list(task.unparsed),
        )

    def stalls_at(self, now: float) -> float:
        """Return when to log that nothing has changed since now."""
        estimate = min(self.estimated_remaining or 0, MAX_ESTIMATE)
        return now + max(STALLED_AFTER, STALLED_FACTOR * estimate)

    def __str__(self) -> str:
        text = self.status
        if self.progress is not None:
            text += f" {_rounded(self.progress, 3)} %"
        if self.estimated_remaining is not None:
            text += f", about {_rounded(self.estimated_remaining, 4)} s left"
        return text


def sanitized_status(task: SeeAnyTask) -> str:
    """Return a task's status word for a person."""
    return sanitize(task.status, limit=60)


def _rounded(number: float, digits: int) -> str:
    """Write a number as ``65``, ``42`` or ``1e+30``; an integer can be too large for a float."""
    try:
        return f"{number:.{digits}g}"
    except OverflowError:
        return "very many"
