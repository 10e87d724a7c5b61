"""
Creates a SeeAny task, or finds out that an earlier try has.

Between the request and the moment its response is stored, a worker may die. So an intent is stored first: a later try
that finds one without an id cannot tell whether the task was created, and stops rather than pay twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airflow_provider_seeany.api.created import CreatedTask, read_created
from airflow_provider_seeany.api.error_body import BodyError, find_error, http_status
from airflow_provider_seeany.api.not_carried_out import is_rejected
from airflow_provider_seeany.api.task_id import BadTaskId
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.exceptions import SeeAnyNotCreated, SeeAnySubmissionUnknown
from airflow_provider_seeany.submit.refusal import is_refusal
from airflow_provider_seeany.submit.store import STATE_KEY, Submission, SubmissionStore

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_seeany.api.wait_log import Log

OnClear = Literal["create", "reuse"]
OnUnknown = Literal["fail", "create"]

NO_STORE = (
    "Airflow keeps nothing between the tries of this task, as it does from 3.3 on: a retry after the task was created, "
    "or after the worker was lost, creates another SeeAny task, which costs money again"
)


def decide(
    found: Submission | None, *, max_tries: int, on_clear: OnClear, on_unknown: OnUnknown
) -> Literal["create", "reuse", "stop"]:
    """Decide what a try does about what it found; ``max_tries`` is Airflow's number now."""
    if found is None:
        return "create"
    if found.seeany_task_id is None:
        return "create" if on_unknown == "create" else "stop"
    is_cleared = found.max_tries != max_tries
    return "create" if is_cleared and on_clear == "create" and not found.is_unfinished else "reuse"


class Submitter:
    """
    Creates the SeeAny task of one task instance.

    :param wait: whether the task instance waits for the end of the task, until :meth:`mark_ended`.
    :param check: raises if no task may be created now. Not called if none is. It gets what :attr:`created` would be if
        none were.
    """

    created: Mapping[str, float] = {}
    """
    The task that :meth:`submit` returned, and what that replaced after a clear, within a day and unless it was free:
    their ids, and when they were created, in Unix seconds.
    """

    def __init__(
        self,
        context: Context,
        *,
        on_clear: OnClear,
        on_unknown: OnUnknown,
        log: Log,
        wait: bool = False,
        check: Callable[[Mapping[str, float]], None] = lambda _: None,
    ) -> None:
        self._store = SubmissionStore(context)
        self._max_tries: int = context["ti"].max_tries
        self._on_clear = on_clear
        self._on_unknown = on_unknown
        self._log = log
        self._wait = wait
        self._check = check

    def submit(self, create: Callable[[], Any]) -> CreatedTask:
        """
        Return the task that an earlier try has created, or create it.

        :param create: makes the request; returns the id or the response.
        :raises SeeAnySubmissionUnknown: if nobody can tell whether a task was created, now or earlier.
        """
        if not self._store.keeps:
            self._log.warning(NO_STORE)
        found, step = self._found()
        if step == "create":
            self._check(found.replaced() if found is not None else {})
            # That may take long, and this try may have been given up: the next one may have begun to create meanwhile.
            # Later than this, Airflow lets a try that was given up write no intent.
            found, step = self._found()
        if found is not None and step == "stop":
            raise self._unknown(found, f"Try {found.try_number} was about to create a SeeAny task at {found.moment}, ")
        if found is not None and step == "reuse":
            return self._reused(found)
        if found is not None:
            earlier = sanitize(found.seeany_task_id) if found.seeany_task_id else "one that may have been"
            self._log.warning("Creating another SeeAny task, besides %s created at %s", earlier, found.moment)
        return self._created(create, found)

    def _found(self) -> tuple[Submission | None, Literal["create", "reuse", "stop"]]:
        found = self._store.load()
        step = decide(found, max_tries=self._max_tries, on_clear=self._on_clear, on_unknown=self._on_unknown)
        return found, step

    def _reused(self, found: Submission) -> CreatedTask:
        assert found.seeany_task_id is not None
        self._log.info(
            "Nothing is created: SeeAny task %s was created at %s", sanitize(found.seeany_task_id), found.moment
        )
        # Also what a person has set, so that the next clear is known as one.
        self._keep(msgspec.structs.replace(found, max_tries=self._max_tries, is_unfinished=self._wait))
        left = None if found.wait_time is None else found.began_at + found.wait_time - time.time()
        self.created = {**found.earlier, found.seeany_task_id: found.began_at}
        return CreatedTask(found.seeany_task_id, left if left is not None and left > 0 else None)

    def _created(self, create: Callable[[], Any], found: Submission | None) -> CreatedTask:
        earlier = found.replaced() if found is not None else {}
        intent = msgspec.structs.replace(self._store.intent(), earlier=earlier)
        self._store.save(intent)
        try:
            returned = create()
        except Exception as error:
            if is_refusal(error):
                self._store.restore(found)
                raise
            if self._on_unknown == "create":
                raise
            reason = f"The request to create a SeeAny task at {intent.moment} ended with {type(error).__name__}, "
            raise self._unknown(intent, reason) from error
        try:
            created = read_created(returned)
        except BadTaskId as error:
            if (rejection := _rejection(returned)) is not None:
                self._store.restore(found)
                raise rejection from None
            # Also with on_unknown="create": a callable that returns no id never does, and would pay at each try.
            reason = f"The request to create a SeeAny task at {intent.moment} succeeded and returned {error}, "
            raise self._unknown(intent, reason) from None
        # At once, as the log may be the only place that keeps it.
        self._log.info("Created SeeAny task %s", sanitize(created.seeany_task_id))
        self.created = {**earlier, created.seeany_task_id: intent.began_at}
        # From the beginning: who loses its worker, or is ended by a person, can note nothing any more.
        self._keep(msgspec.structs.replace(intent, **msgspec.structs.asdict(created), is_unfinished=self._wait))
        return created

    def _keep(self, submission: Submission) -> None:
        try:
            self._store.save(submission)
        except Exception as error:
            # The task exists and its id is known here: failing now would lose what was paid for.
            self._log.warning(
                "The id of SeeAny task %s could not be stored, so another try would stop: %s: %s",
                sanitize(str(submission.seeany_task_id)),
                type(error).__name__,
                error,
            )

    def mark_ended(self, *, was_free: bool = False) -> None:
        """Note that the end of the SeeAny task is known, so that a clear does not continue the wait for it."""
        try:
            found = self._store.load()
            if found is not None and found.is_unfinished:
                self._store.save(msgspec.structs.replace(found, is_unfinished=False, was_free=was_free))
        except Exception as error:
            self._log.warning("A clear would wait for the same SeeAny task: %s: %s", type(error).__name__, error)

    def stored_id(self) -> str | None:
        """Return the id that is kept."""
        found = self._store.load()
        return found.seeany_task_id if found else None

    def _unknown(self, intent: Submission, reason: str) -> SeeAnySubmissionUnknown:
        hand_over = (
            f"If there is one, set {STATE_KEY} of this task instance to its id, else delete {STATE_KEY}, both in Task "
            "State Store in Airflow's UI; then clear this task"
            if self._store.keeps
            else "If there is one, wait for it with SeeAnyTaskSensor, else clear this task"
        )
        return SeeAnySubmissionUnknown(
            f"{reason}so it may exist and cost money, but its id is not known. Nothing more is created. Look on the "
            f"platform for a task created at {intent.moment}; the log of try {intent.try_number} may have its id. "
            f"{hand_over}. on_unknown='create' would create another one instead."
        )


def _rejection(returned: object) -> SeeAnyNotCreated | None:
    """Return the exception for the error that a callable has returned as if it were the response to a success."""
    if not isinstance(returned, Mapping) or (found := find_error(returned)) is None:
        return None
    code, message = found
    # Without an `error` only a number is known to be no word for success.
    is_error = bool(returned.get("error")) or re.fullmatch(r"-?(?!2[0-9]{2}$)[0-9]+", code or "") is not None
    if not is_error or not is_rejected(BodyError(code=code, message=message, http_status=http_status(code)), returned):
        return None
    return SeeAnyNotCreated(f"SeeAny created no task: {sanitize(message or 'without a message')} ({code}).")
