"""What is kept of a submission in Airflow's task state store, which retries and clears of a task instance share."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id
from airflow_provider_seeany.exceptions import SeeAnySubmissionUnknown

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

STATE_KEY = "seeany_submission"
"""The key in the store. In its place a person may set a task's id, which the next try takes."""


_DAY = 24 * 3600


class Submission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    That a task is about to be created, or that it was.

    :param began_at: when the request was about to be made, in Unix seconds.
    :param max_tries: Airflow's number of tries at that time, which a clear raises and a retry does not.
    :param seeany_task_id: ``None`` for an intent: it is not known whether the task was created.
    :param wait_time: the service's estimate, in seconds.
    :param is_unfinished: whether it is waited for, and its end is not known yet.
    :param was_free: whether it failed and cost nothing.
    :param earlier: what it replaced after a clear, within a day: ids, and when they began.
    """

    began_at: float
    max_tries: int
    try_number: int
    seeany_task_id: str | None = None
    wait_time: float | None = None
    is_unfinished: bool = False
    was_free: bool = False
    earlier: dict[str, float] = {}

    def replaced(self) -> dict[str, float]:
        """Return what ``earlier`` is of the one that replaces this one."""
        if self.seeany_task_id is None or self.was_free:
            return self.earlier
        known = {**self.earlier, self.seeany_task_id: self.began_at}
        return {each: began for each, began in known.items() if began > time.time() - _DAY}

    @property
    def moment(self) -> str:
        """When it began, for a person."""
        return f"{datetime.fromtimestamp(self.began_at, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"


class SubmissionStore:
    """The state of one task instance. Without Airflow's store (before 3.3) it keeps nothing."""

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        self._task_instance: Any = context["ti"]

    @property
    def keeps(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def intent(self) -> Submission:
        """Return the intent of this try."""
        ti = self._task_instance
        return Submission(began_at=time.time(), max_tries=ti.max_tries, try_number=ti.try_number)

    def load(self) -> Submission | None:
        """
        Return what is kept.

        :raises SeeAnySubmissionUnknown: if it cannot be read: then a task may have been created.
        """
        value = self._store.get(STATE_KEY) if self.keeps else None
        if value is None:
            return None
        try:
            if isinstance(value, str | int):
                return msgspec.structs.replace(self.intent(), seeany_task_id=checked_task_id(value))
            return msgspec.convert(value, Submission)
        except (msgspec.ValidationError, BadTaskId) as error:
            raise SeeAnySubmissionUnknown(
                f"The state {STATE_KEY} of this task instance cannot be read, so a SeeAny task may have been created: "
                f"{error}. Set it to the id of the task, or delete it if there is none, under Storage > Task State "
                "Store in Airflow's UI, then clear this task."
            ) from None

    def save(self, submission: Submission) -> None:
        """Keep this for good."""
        if self.keeps:
            from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # since 3.3

            self._store.set(STATE_KEY, msgspec.to_builtins(submission), retention=NEVER_EXPIRE)

    def restore(self, submission: Submission | None) -> None:
        """Keep what was kept before an intent, or nothing."""
        if submission is not None:
            self.save(submission)
        elif self.keeps:
            self._store.delete(STATE_KEY)
