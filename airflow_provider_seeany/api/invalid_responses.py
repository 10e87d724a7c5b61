"""Decides when an invalid response is believed: proxies produce one now and then, but not several in a row."""

from __future__ import annotations

from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

MIN_INVALID_RESPONSES = 5  # minimum of invalid responses in a row that are believed

MIN_INVALID_SECONDS = 60.0
"""Minimum of seconds between the first and the last of them: a proxy takes a while to restart."""


class InvalidResponseCounter:
    """Counts invalid responses in a row."""

    __slots__ = ("_in_a_row", "_since")

    def __init__(self) -> None:
        self._in_a_row = 0
        self._since = 0.0

    def receive(self, reply: SeeAnyTask | ApiError, now: float) -> bool:
        """Count a reply; return whether it is an invalid response that has to be believed."""
        if not isinstance(reply, InvalidResponseError):
            self._in_a_row = 0
            return False
        if not self._in_a_row:
            self._since = now
        self._in_a_row += 1
        return self._in_a_row >= MIN_INVALID_RESPONSES and now >= self._since + MIN_INVALID_SECONDS


def validated(task: SeeAnyTask) -> SeeAnyTask:
    """Return the task; raise ``InvalidResponseError`` if it is completed, but the rest of its payload contradicts."""
    if (contradiction := task.contradiction) is None:
        return task
    raise InvalidResponseError(
        f"SeeAny reports the {'video' if task.is_video else 'task'} as completed, but {contradiction}; "
        f"the response reads: {sanitize(repr(dict(task.payload)), limit=400)}"
    )
