"""What both triggers share: their common arguments, finding the connection, and events instead of exceptions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_seeany import DEFAULT_CONN_ID, metrics
from airflow_provider_seeany.api.errors import ApiError, BadSettings
from airflow_provider_seeany.api.expected_duration import expected_seconds
from airflow_provider_seeany.api.outcome import BadId, Crashed, Misconfigured
from airflow_provider_seeany.api.settings import DEFER_GRACE, WaitSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import Pause
from airflow_provider_seeany.api.wait_log import log_abandoned
from airflow_provider_seeany.hooks.connection import runs_in_one_process
from airflow_provider_seeany.hooks.reauth import (
    CONNECTION_ERRORS,
    FIRST_CONNECTION_RETRY_SECONDS,
    ReauthenticatingClient,
    RetryBudget,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.xcoms import TriggererXComs, state_of
from airflow_provider_seeany.xcoms.record import Progress

End = TypeVar("End")
Settings = TypeVar("Settings", bound=WaitSettings)

CONTINUING_STATES = ("deferred", "scheduled", "queued", "running")
"""States of a task instance whose wait ended in this triggerer because it continues elsewhere."""


_UNDER_WAY: set[asyncio.Task[None]] = set()
"""What killed triggers have still to do: the event loop itself keeps only weak references."""


class BaseSeeAnyTrigger(BaseTrigger):
    """
    Polls until the wait ends, then fires exactly one event.

    A wait that ends badly fires an event, too: Airflow turns an exception raised in a trigger into an unspecific,
    retried error.

    The arguments are stored in Airflow's database while the wait lasts, so they are plain JSON and hold the
    connection's id, never its key. They may only ever be added to: waits survive an upgrade of the provider.

    :param settings: the settings of the wait, as fields of :mod:`airflow_provider_seeany.api.settings`.
    :param seeany_conn_id: the connection to poll through.
    :param deadline: when to give up, in Unix seconds. Absolute, so that a restart of the triggerer neither extends nor
        forgets it. Without one the wait never gives up, unless it began without a worker: then the deadline follows
        from the limit that Airflow set on the deferral.
    :param expected_duration: seconds that a task should take, counted from when the wait began; also as text.
    :param first_poll_at: do not poll before this, in Unix seconds; ``None`` to poll at once. A trigger that fires
        within seconds of the deferral can lose its task to the scheduler (apache/airflow#72716).
    """

    start_from_trigger = False
    """Whether the wait began with this trigger, without a worker."""

    callback_ends_it = False
    """Whether a callback, where one is expected, ends this trigger."""

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        seeany_conn_id: str = DEFAULT_CONN_ID,
        deadline: float | None = None,
        first_poll_at: float | None = None,
        expected_duration: float | str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = _shared(msgspec.json.encode(settings))
        self.seeany_conn_id = seeany_conn_id
        self.deadline = deadline
        self.first_poll_at = first_poll_at
        self.expected_duration = expected_duration

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "settings": self.settings,
                "seeany_conn_id": self.seeany_conn_id,
                "deadline": self.deadline,
                "first_poll_at": self.first_poll_at,
                "expected_duration": self.expected_duration,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event."""
        with self._log_if_cancelled():
            await supervisor_api.built(self._ends_at)
            await metrics.prepare()
            event = await self._event()
        # Nothing is held here: a trigger cancelled at the yield would keep it until garbage collection.
        yield event

    async def _event(self) -> TriggerEvent:
        """Wait and return the event that ends the wait."""
        raise NotImplementedError

    async def on_kill(self) -> None:
        """Log what continues without this wait, and clean up. Called by Airflow 3.3 and newer."""
        # Airflow 3.3 cancels this again each second until it has returned, which a busy triggerer does not in time.
        task = asyncio.create_task(self._killed())
        _UNDER_WAY.add(task)
        task.add_done_callback(_UNDER_WAY.discard)
        await asyncio.shield(task)

    async def _killed(self) -> None:
        await self._log_killed()

    @cached_property
    def xcoms(self) -> TriggererXComs | None:
        """The XComs of the task instance that waits; ``None`` outside a triggerer."""
        if self.task_instance is None:
            return None
        return TriggererXComs(self.task_instance, clears=self.start_from_trigger)

    def _progress_publisher(self, *, seeany_task_id: str | None = None) -> ProgressPublisher:
        """Return what publishes the progress of this wait; without an id that of a batch."""
        xcoms = self.xcoms if self._settings.do_xcom_push else None
        about = Progress.of_wait(
            self.seeany_conn_id,
            at=0,
            seeany_task_id=seeany_task_id,
            began=self._began(),
            deadline=self._ends_at,
        )
        return ProgressPublisher(xcoms, about, log=self.log)

    @property
    def _settings(self) -> WaitSettings:
        raise NotImplementedError

    @property
    def _mode(self) -> str:
        """How this waits, as metrics name it."""
        raise NotImplementedError

    def _hook(self) -> SeeAnyHook:
        hook = SeeAnyHook(self.seeany_conn_id)
        hook.mode = self._mode
        return hook

    @property
    def _about(self) -> str:
        """What the wait is for, as logs name it."""
        raise NotImplementedError

    def _settings_as(self, kind: type[Settings]) -> Settings:
        try:
            return msgspec.convert(self.settings, kind)
        except msgspec.ValidationError as error:
            raise BadSettings(f"The settings of this wait cannot be used: {error}") from None

    @property
    def _ends_at(self) -> float | None:
        """The deadline, in Unix seconds."""
        limit: datetime | None = getattr(self, "timeout_after", None)  # set by the triggerer
        if self.deadline is not None or limit is None or not self.start_from_trigger:
            return self.deadline
        return (limit.replace(tzinfo=limit.tzinfo or UTC) - DEFER_GRACE).timestamp()

    def _began(self) -> float:
        """Return when the wait began, in Unix seconds; now, if it has no deadline."""
        return time.time() if self._ends_at is None else self._ends_at - self._settings.timeout

    def _expected_seconds(self) -> float | None:
        """Return how long a task should take, from when the wait began."""
        return expected_seconds(self.expected_duration, self.log)

    async def _reported(self, wait: Awaitable[End]) -> End | Misconfigured | BadId | Crashed:
        """Return the outcome of a wait, also if that is an exception."""
        try:
            return await wait
        except (*CONNECTION_ERRORS, BadSettings) as error:
            return Misconfigured(str(error))
        except BadTaskId as error:
            return BadId(str(error))
        except Exception as error:
            # Not foreseen, so a worker raises it, and the task's retries decide.
            self.log.exception("The wait for %s broke off", self._about)
            return Crashed(f"{type(error).__name__}: {sanitize(str(error))}")

    async def _log_killed(self) -> str | None:
        """
        Log and count whether the wait was given up, and return the state of its task instance.

        Airflow ends a trigger also when another triggerer takes it over, or when something else than the trigger has
        resumed the task, or ended it with its result.
        """
        state = await state_of(self.task_instance)
        is_delivered = state == "success" and await TriggererXComs(self.task_instance).has_result()
        if state in CONTINUING_STATES or is_delivered:
            self.log.info("The wait for %s ended in this triggerer; the Airflow task is %s", self._about, state)
        else:
            log_abandoned(self._about, self.log)
            metrics.wait_killed(conn_id=self.seeany_conn_id, mode=self._mode)
        return state

    @contextmanager
    def _log_if_cancelled(self) -> Iterator[None]:
        """Log that a trigger was cancelled, for Airflow before 3.3, which never calls ``on_kill``."""
        try:
            yield
        except asyncio.CancelledError:
            if not hasattr(BaseTrigger, "on_kill"):
                # A callback is what is expected, so it is no reason for a warning. `_settings` might raise here.
                by_callback = self.callback_ends_it and self.settings.get("expect_callback")
                (self.log.info if by_callback else self.log.warning)(
                    "The wait for %s ended in this triggerer. %s it was a user who ended it: SeeAny continues, "
                    "and may still finish and cost money",
                    self._about,
                    "SeeAny called back, unless" if by_callback else "If",
                )
            raise


@lru_cache(maxsize=256)
def _shared(encoded: bytes) -> dict[str, Any]:
    """Return the settings as one object for all waits that have the same: a triggerer holds thousands of waits."""
    settings: dict[str, Any] = msgspec.json.decode(encoded)
    return settings


def is_restart(began: float, now: float) -> bool:
    """Return whether a trigger that is about to poll first must have polled before, in another triggerer."""
    return now > began + FIRST_CONNECTION_RETRY_SECONDS


async def reply_to_poll(client: ReauthenticatingClient, seeany_task_id: str) -> SeeAnyTask | ApiError:
    """Poll; return the task or the error, either of which a wait receives."""
    try:
        return await client.get_task(seeany_task_id)
    except ApiError as error:
        return error


async def sleep_until(moment: float | None, clock: Callable[[], float]) -> None:
    """Sleep until a moment in Unix seconds; not at all if there is none, or it has passed."""
    if moment is not None:
        await asyncio.sleep(max(moment - clock(), 0))


async def poll_through_connection(
    hook: SeeAnyHook,
    poll: Callable[[ReauthenticatingClient], Awaitable[End]],
    connection_failed: Callable[[ApiError, int], End | Pause],
    *,
    was_used: bool,
) -> End:
    """
    Poll with the client of a hook until the wait ends; return its outcome.

    :param connection_failed: decides what to do if the connection cannot be used, by the error and its number in a row.
    :param was_used: whether an earlier part of the wait has used the connection.
    :raises SeeAnyError: if the connection exhausts the retry budget.
    """
    budget = RetryBudget(was_used=was_used)
    while True:
        is_connected = False
        try:
            async with hook.async_client() as client:
                is_connected = True
                return await poll(client)
        except CONNECTION_ERRORS as error:
            # In one process a person is watching, and no service in between may be down for a moment.
            if is_connected or runs_in_one_process():
                raise
            failure = budget.record_failure(error)
        step = connection_failed(failure, budget.in_a_row)
        if not isinstance(step, Pause):
            return step
        await asyncio.sleep(min(step.seconds, budget.left))
