"""What was last seen of a running task."""

from __future__ import annotations

import msgspec

from airflow_provider_seeany.api.intervals import MAX_ESTIMATE
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

MAX_RESULT_URL = 4096
"""Longest result URL, in characters, that a time-out names; signed ones are long."""


STALLED_AFTER = 600.0
"""Fewest seconds without a change of status and progress that are worth a line in the log."""


STALLED_FACTOR = 3
"""So many times as long as the service's estimate they have to last, too."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What was last seen of a running task.

    :param status: its status word.
    :param progress: per cent done.
    :param estimated_remaining: the service's estimate in seconds.
    :param at: when that was, in Unix seconds; ``None`` in waits that an older version of the provider began.
    :param result_url: the first result URL in the answer, which a running task should not have yet.
    :param had_result: whether there was one at all; ``result_url`` lacks what is too long.
    :param looks_ended: whether the status is an unknown word that reads as if the task had ended.
    :param unclear: the fields of the answer that could not be understood.
    """

    status: str
    progress: int | float | None = None
    estimated_remaining: int | float | None = None
    at: float | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False
    unclear: list[str] = []

    @classmethod
    def of(cls, task: SeeAnyTask, at: float) -> Snapshot:
        """Return what this answer shows."""
        url = _result_url(task)
        return cls(
            status=shown_status(task.status),
            progress=task.progress,
            estimated_remaining=task.estimated_remaining,
            at=at,
            # It is stored with the trigger, and one that is cut off would lead nowhere.
            result_url=url if url is not None and len(url) <= MAX_RESULT_URL else None,
            had_result=url is not None,
            looks_ended=task.looks_ended,
            unclear=list(task.unclear),
        )

    def stalls_at(self, now: float) -> float:
        """Return when it is worth a line in the log that nothing else was seen since now."""
        estimate = min(self.estimated_remaining or 0, MAX_ESTIMATE)
        return now + max(STALLED_AFTER, STALLED_FACTOR * estimate)

    def __str__(self) -> str:
        text = self.status
        if self.progress is not None:
            text += f" {_shown(self.progress, 3)} %"
        if self.estimated_remaining is not None:
            text += f", about {_shown(self.estimated_remaining, 4)} s left"
        return text


def _shown(number: float, digits: int) -> str:
    """Write a number for a person: ``65``, ``42``, ``1e+30``; whole numbers can be too large to be floats."""
    try:
        return f"{number:.{digits}g}"
    except OverflowError:
        return "very many"


_USUAL_WHILE_RUNNING = frozenset({"id", "object", "status", "progress", "estimated_remaining"})


def _result_url(task: SeeAnyTask) -> str | None:
    return None if task.payload.keys() <= _USUAL_WHILE_RUNNING else task.early_result_url


def shown_status(status: str) -> str:
    """Return a status word for a person."""
    return sanitize(status, limit=60)
