"""When to ask again."""

from __future__ import annotations

import msgspec

from airflow_provider_seeany.api.request import BadSettings
from airflow_provider_seeany.api.trouble import Kind, Trouble

LONGEST_BACKOFF = 60.0
"""Most seconds between two questions while the service is in trouble."""

LONGEST_RETRY_AFTER = 3600.0
"""Most seconds that a ``Retry-After`` is obeyed for: an absurd one must not put a wait to sleep for good."""


class Polling(msgspec.Struct, kw_only=True):
    """
    Says how long to sleep before the next question of one wait. Has no clock: it is told what was answered.

    :param poll_interval: seconds between two questions while the task is running.
    """

    poll_interval: float

    def __post_init__(self) -> None:
        if not self.poll_interval > 0:
            raise BadSettings(f"the interval must be a number of seconds above 0, not {self.poll_interval!r}")

    def after_answer(self) -> float:
        """Return the seconds to sleep after an answer that said the task is still running."""
        return self.poll_interval

    def after_trouble(self, trouble: Trouble, *, in_a_row: int) -> float:
        """
        Return the seconds to sleep after a question that brought no answer: longer each time, up to a minute.

        :param in_a_row: how many questions in a row have brought none, this one included.
        """
        pause = min(self.poll_interval * 1.5 ** min(in_a_row - 1, 20), max(LONGEST_BACKOFF, self.poll_interval))
        if trouble.kind is Kind.THROTTLED and trouble.retry_after is not None:
            pause = max(pause, min(trouble.retry_after, LONGEST_RETRY_AFTER))
        return pause
