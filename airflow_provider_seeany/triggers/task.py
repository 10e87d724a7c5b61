"""The trigger: waits for one SeeAny task in the triggerer, where a wait costs no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.intervals import AdaptiveInterval, JitteredInterval, PollPolicy
from airflow_provider_seeany.api.outcome import (
    BadId,
    Finished,
    Outcome,
    Unrendered,
    encode_outcome,
)
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import checked_task_id, is_template
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS, Pause, Wait
from airflow_provider_seeany.callback.registration import CallbackRegistration, log_expected
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.base import (
    began,
    is_restart,
    log_if_cancelled,
    log_killed,
    poll_through_connection,
    reported,
    sleep_until,
)
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.templates import TemplateTaskInstance
from airflow_provider_seeany.triggers.xcoms import NotOwned, TriggererXComs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from jinja2 import Environment

    from airflow_provider_seeany.hooks.reauth import ReauthenticatingClient

Answer = TypeVar("Answer")

NOTE_SECONDS = 2.0
"""
Seconds that the api-server is given to write down a ring that came too early to resume the task instance: one before
``first_poll_at``. That much its clock may be behind, too.
"""


class SeeAnyTaskTrigger(BaseTrigger):
    """
    Asks for a task until it has ended or the deadline has passed, then fires exactly one event.

    Every end is reported as an event, also the bad ones: Airflow turns an exception raised in a trigger into an
    unspecific, retried error. The event is an :data:`~airflow_provider_seeany.api.wait.Outcome` as plain JSON,
    for :func:`~airflow_provider_seeany.api.wait.decode_outcome`.

    The arguments are stored in Airflow's database while the wait lasts, so they are plain JSON and hold the
    connection's id, never its key. They may only ever be added to: waits survive an upgrade of the provider.

    :param seeany_task_id: the task to wait for.
    :param seeany_conn_id: the connection to ask through.
    :param poll_interval: seconds between two questions while nothing better is known.
    :param max_poll_interval: most seconds between two questions, once the service's estimate has proved true; see
        :mod:`airflow_provider_seeany.api.intervals`.
    :param callback_poll_interval: seconds between two questions while SeeAny's callback is expected, which may end the
        wait from outside; ``None`` if none is. It stands in for the two above.
    :param deadline: when to give up, in Unix seconds; ``None`` for never. Absolute, so that a restart of the
        triggerer neither extends nor forgets it.
    :param first_poll_at: ask no sooner than this, in Unix seconds; ``None`` for at once. A trigger that fires
        within seconds of the deferral can lose its task to the scheduler (apache/airflow#72716).
    :param time_after_deadline: seconds between the deadline and the time limit that Airflow set on the deferral, if
        the deadline is to be told from that limit: a wait that began without a worker.
    :param end_from_trigger: push the XComs of a completed task and end the Airflow task from here, without a worker.
    :param timeout: seconds that the wait was given; with the deadline, they tell when it began.
    :param do_xcom_push: whether the Airflow task pushes XComs; how far the wait is, is one.
    :param last_snapshot: what the worker saw when it deferred, as fields of
        :class:`~airflow_provider_seeany.api.wait.Sighting`.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 10,
        max_poll_interval: float = 30,
        callback_poll_interval: float | None = None,
        deadline: float | None = None,
        first_poll_at: float | None = None,
        last_snapshot: dict[str, Any] | None = None,
        time_after_deadline: float | None = None,
        end_from_trigger: bool = False,
        do_xcom_push: bool = True,
        timeout: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seeany_task_id = seeany_task_id
        self.seeany_conn_id = seeany_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.callback_poll_interval = callback_poll_interval
        self.deadline = deadline
        self.first_poll_at = first_poll_at
        self.last_snapshot = last_snapshot
        self.time_after_deadline = time_after_deadline
        self.end_from_trigger = end_from_trigger
        self.do_xcom_push = do_xcom_push
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "seeany_task_id": self.seeany_task_id,
                "seeany_conn_id": self.seeany_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "callback_poll_interval": self.callback_poll_interval,
                "deadline": self.deadline,
                "first_poll_at": self.first_poll_at,
                "last_snapshot": self.last_snapshot,
                "time_after_deadline": self.time_after_deadline,
                "end_from_trigger": self.end_from_trigger,
                "do_xcom_push": self.do_xcom_push,
                "timeout": self.timeout,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event."""
        with log_if_cancelled(self, about=self._about, may_be_rung_for=self._rung_interval is not None):
            await supervisor_api.built(self._deadline())
            event = await (self._ending_event() if self.end_from_trigger else self._event())
        # Nothing is held here: a trigger cancelled at the yield would keep it until garbage collection.
        yield event

    async def on_kill(self) -> None:
        """Say what goes on without this wait. Called by Airflow 3.3 and newer."""
        doorbell = self._doorbell()
        # By its state alone a task that a ring ended could not be told from one that a person did: it may have failed.
        if doorbell is not None and not await self._heard_or(True, doorbell.is_registered()):
            self.log.info("SeeAny called back: %s has ended, and the Airflow task goes on with that", self._about)
            return
        await log_killed(self, about=self._about)

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Render the id and the connection of a wait that began without a worker, as a worker would."""
        from jinja2 import StrictUndefined

        supervisor_api.built_in_template()
        jinja_env = jinja_env or self.get_template_env()
        # As a DAG has it, which a triggerer's environment does not know: it would render what is missing to nothing.
        jinja_env.undefined = StrictUndefined
        task_instance = TemplateTaskInstance(context["ti"])
        known = {**context, "ti": task_instance, "task_instance": task_instance}
        super().render_template_fields(known, jinja_env)  # type: ignore[arg-type]

    async def _ending_event(self) -> TriggerEvent:
        """
        Wait and return the event that ends the Airflow task, or one that lets a worker do that.

        A worker raises the exception of a wait that did not succeed, and pushes the XComs that Airflow did not take
        from here.
        """
        assert self.xcoms is not None
        if is_template(self.seeany_task_id) or is_template(self.seeany_conn_id):
            # Airflow renders them only if the DAG, as it is by now, lets this wait begin without a worker.
            await self._done(self.xcoms.withdraw())
            return TriggerEvent(encode_outcome(Unrendered(began(self._deadline(), self.timeout))))
        await self._done(self.xcoms.claim())
        outcome = await self._outcome()
        task = SeeAnyTask.from_payload(outcome.payload) if isinstance(outcome, Finished) else None
        if task is None or task.is_failed:
            await self._done(self.xcoms.withdraw())
        elif await self._done(self.xcoms.push(task, conn_id=self.seeany_conn_id, do_xcom_push=self.do_xcom_push)):
            return TaskSuccessEvent()
        # If the task instance is no longer this try's own, Airflow gives the event to nobody.
        return TriggerEvent(encode_outcome(outcome))

    @cached_property
    def xcoms(self) -> TriggererXComs | None:
        """The XComs of the task instance that waits; ``None`` outside a triggerer."""
        return None if self.task_instance is None else TriggererXComs(self.task_instance, clears=self.end_from_trigger)

    async def _done(self, change: Awaitable[None]) -> bool:
        """Change XComs and tell whether that happened; Airflow's database may be away for a moment."""
        try:
            await change
        except NotOwned as error:
            self.log.info("This triggerer writes nothing more for %s: %s", self._about, error)
            return False
        except Exception:
            self.log.exception("Airflow did not let the triggerer change XComs")
            return False
        return True

    def _deadline(self) -> float | None:
        limit: datetime | None = getattr(self, "timeout_after", None)  # set by the triggerer
        if self.time_after_deadline is None or limit is None:
            return self.deadline
        return limit.replace(tzinfo=limit.tzinfo or UTC).timestamp() - self.time_after_deadline

    @property
    def _about(self) -> str:
        return f"SeeAny task {sanitize(str(self.seeany_task_id))}"

    @property
    def _rung_interval(self) -> float | None:
        """
        Seconds between two questions if a callback is expected and can be heard, else ``None``.

        It cannot where `airflow dags test` makes a trigger without a task instance.
        """
        return None if self.task_instance is None else self.callback_poll_interval

    def _polling(self) -> PollPolicy:
        if self._rung_interval is not None:
            return JitteredInterval(poll_interval=self._rung_interval)
        return AdaptiveInterval(poll_interval=self.poll_interval, max_poll_interval=self.max_poll_interval)

    def _doorbell(self) -> CallbackRegistration | None:
        """Return the mark by which a callback finds this wait, if one is expected."""
        if self._rung_interval is None:
            return None
        task_instance: Any = self.task_instance
        return CallbackRegistration(
            task_instance, seeany_conn_id=self.seeany_conn_id, seeany_task_id=checked_task_id(self.seeany_task_id)
        )

    async def _event(self) -> TriggerEvent:
        return TriggerEvent(encode_outcome(await self._outcome()))

    async def _outcome(self) -> Outcome:
        outcome = await reported(self._wait_until_the_end(), about=self._about, log=self.log)
        if not isinstance(outcome, BadId) and (doorbell := self._doorbell()):
            # With the mark goes the right to end the wait: a ring that comes now finds nobody waiting.
            await self._heard_or(None, doorbell.aunregister())
        return outcome

    async def _until_first_question(self, wait: Wait, now: ForwardClock, progress: ProgressPublisher) -> None:
        """Sleep until the first question is due, if a callback is expected; none gets lost from here on."""
        doorbell = self._doorbell()
        if doorbell is None:
            return
        if self.end_from_trigger:
            await self._heard_or(None, self._hang(doorbell))
            log_expected(self.log, poll_interval=self._rung_interval)
            return
        # What the worker saw: until the safety net asks there may be nothing newer to show.
        progress.update(wait.last_snapshot)
        if self.first_poll_at is not None:
            await sleep_until(self.first_poll_at + NOTE_SECONDS, now)
        if not await self._heard_or(True, doorbell.was_received()):
            await sleep_until(wait.first_poll_at, now)

    async def _hang(self, doorbell: CallbackRegistration) -> None:
        assert self.xcoms is not None
        await self.xcoms.check()
        await doorbell.aregister()

    async def _heard_or(self, otherwise: Answer, at_the_doorbell: Awaitable[Answer]) -> Answer:
        """Return what was to be done with the mark; where Airflow could not do it, the wait goes on without."""
        try:
            return await at_the_doorbell
        except Exception as error:
            self.log.warning("A callback may not be heard: %s: %s", type(error).__name__, sanitize(str(error)))
            return otherwise

    async def _wait_until_the_end(self) -> Outcome:
        deadline = self._deadline()
        wait_began = began(deadline, self.timeout)
        now = ForwardClock(wait_began)
        await sleep_until(self.first_poll_at, now)
        seeany_task_id = checked_task_id(self.seeany_task_id)
        wait = Wait(
            seeany_task_id,
            polling=self._polling(),
            deadline=deadline,
            log=self.log,
            began=wait_began,
            last_snapshot=msgspec.convert(self.last_snapshot, Snapshot) if self.last_snapshot else None,
        )

        # A wait that did not begin here has asked in a worker.
        was_used = not self.end_from_trigger or is_restart(wait_began, now())

        async def ask(client: ReauthenticatingClient) -> Outcome:
            while True:
                reply: SeeAnyTask | ApiError
                try:
                    reply = await client.get_task(seeany_task_id)
                except ApiError as error:
                    reply = error
                step = wait.receive(reply, now())
                if not isinstance(step, Pause):
                    return step
                progress.update(wait.last_snapshot)
                await asyncio.sleep(step.seconds)

        xcoms = self.xcoms if self.do_xcom_push else None
        with ProgressPublisher(
            xcoms, conn_id=self.seeany_conn_id, log=self.log, seeany_task_id=seeany_task_id
        ) as progress:
            await self._until_first_question(wait, now, progress)
            # Also a question that hangs, or waits for its turn behind others that do, ends before Airflow's own limit.
            limit = None if deadline is None else max(deadline - now(), 0) + LAST_POLL_SECONDS
            try:
                async with asyncio.timeout(limit) as patience:
                    return await poll_through_connection(
                        self.seeany_conn_id,
                        ask,
                        lambda error, _: wait.receive(error, now()),
                        was_used=was_used,
                    )
            except TimeoutError:
                if not patience.expired():
                    raise
                return wait.timed_out()
