"""The trigger for one task: waits in the triggerer, where a wait costs no worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.intervals import ExpectedEnd, poll_policy
from airflow_provider_seeany.api.outcome import Finished, Outcome, Unrendered
from airflow_provider_seeany.api.settings import TaskSettings
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id, is_template
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS, Pause, Wait
from airflow_provider_seeany.callback.registration import CallbackRegistration, log_expected
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.base import (
    BaseSeeAnyTrigger,
    is_restart,
    poll_through_connection,
    reply_to_poll,
    sleep_until,
)
from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.triggers.supervisor import ENDED
from airflow_provider_seeany.triggers.xcoms import NotOwned
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.result import has_backend, result_xcoms
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from jinja2 import Environment

    from airflow_provider_seeany.hooks.reauth import ReauthenticatingClient

Value = TypeVar("Value")

NOTE_SECONDS = 2.0
"""
Seconds after ``first_poll_at`` in which the api-server may still write down a callback that came before it, too early
to resume the task instance. Its clock may be that much behind, too.
"""


class _TemplateTaskInstance:
    """
    A task instance as templates see it, with an ``xcom_pull`` that works in a triggerer.

    Airflow 3.3's triggerer does not know the message that ``xcom_pull`` sends without a map index, and never gets a
    response. So one is always given: that of a task which is not mapped, as templates that pull from mapped tasks start
    in a worker.
    """

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task_instance, name)

    def xcom_pull(self, *args: Any, map_indexes: int = -1, **kwargs: Any) -> Any:
        """Pull as the real one does."""
        return self._task_instance.xcom_pull(*args, map_indexes=map_indexes, **kwargs)


class SeeAnyTaskTrigger(BaseSeeAnyTrigger):
    """
    Polls a task until it has ended or the deadline has passed, then fires exactly one event.

    The event is an :data:`~airflow_provider_seeany.api.outcome.Outcome` as plain JSON, for
    :func:`~airflow_provider_seeany.api.outcome.decode_outcome`.

    :param seeany_task_id: the task to wait for.
    :param last_snapshot: what the worker saw when it deferred, as fields of
        :class:`~airflow_provider_seeany.api.snapshot.Snapshot`.
    :param start_from_trigger: the wait began with this trigger, without a worker: its templates may have to be
        rendered, and nothing of an earlier try was deleted.
    :param end_from_trigger: end the Airflow task of a completed task from here, with its XComs, without a worker.
    :param kwargs: the arguments of :class:`~airflow_provider_seeany.triggers.base.BaseSeeAnyTrigger`.
    """

    callback_ends_it = True

    def __init__(
        self,
        *,
        seeany_task_id: str,
        last_snapshot: dict[str, Any] | None = None,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.seeany_task_id = seeany_task_id
        self.last_snapshot = last_snapshot
        self.start_from_trigger = start_from_trigger
        self.end_from_trigger = end_from_trigger
        self._registration: CallbackRegistration | None = None
        """Lets a callback find this wait; set once the wait has begun, if a callback is expected."""
        self._has_unregistered = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        path, arguments = super().serialize()
        own = {
            "seeany_task_id": self.seeany_task_id,
            "last_snapshot": self.last_snapshot,
            "start_from_trigger": self.start_from_trigger,
            "end_from_trigger": self.end_from_trigger,
        }
        return path, {**own, **arguments}

    async def _killed(self) -> None:
        registration = self._callback_registration()
        # The state alone does not tell a task that a callback ended from one that a user ended: it may have failed.
        if (
            registration is not None
            and not self._has_unregistered
            and not await self._or_if_unavailable(True, registration.is_registered())
        ):
            self.log.info("SeeAny called back: %s has ended, and with it this wait", self._about)
            return
        await super()._killed()

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Render the templates of a wait that began without a worker, as a worker would."""
        from jinja2 import StrictUndefined

        supervisor_api.built_in_template()
        jinja_env = jinja_env or self.get_template_env()
        # As a DAG has it; a triggerer's environment would render what is missing to nothing.
        jinja_env.undefined = StrictUndefined
        task_instance = _TemplateTaskInstance(context["ti"])
        known = {**context, "ti": task_instance, "task_instance": task_instance}
        super().render_template_fields(known, jinja_env)  # type: ignore[arg-type]
        # Airflow makes the whole DAG anew for each such wait, and would keep it until the wait ends.
        context["ti"].task = None  # type: ignore[assignment]
        context.clear()  # type: ignore[attr-defined]

    @cached_property
    def _settings(self) -> TaskSettings:
        settings = self._settings_as(TaskSettings)
        if self.task_instance is None:
            # `airflow dags test` makes triggers without their task instance: no callback could find the wait.
            return msgspec.structs.replace(settings, expect_callback=False)
        return settings

    @property
    def _mode(self) -> str:
        return metrics.mode_of_deferral(began_in_trigger=self.start_from_trigger)

    @property
    def _about(self) -> str:
        return f"SeeAny task {sanitize(str(self.seeany_task_id))}"

    async def _event(self) -> TriggerEvent:
        """
        Wait and return the event that ends the Airflow task, or one that lets a worker do that.

        A worker raises the exception of a wait that did not succeed, and pushes the XComs that Airflow did not take
        from here.
        """
        if not self.end_from_trigger or self.task_instance is None:
            return TriggerEvent(msgspec.to_builtins(await self._outcome()))
        assert self.xcoms is not None
        await self._changed(self.xcoms.clear_earlier())
        outcome = await self._outcome()
        task = SeeAnyTask.from_payload(outcome.payload) if isinstance(outcome, Finished) else None
        if task is not None and task.is_success(accept_partial=self._settings.accept_partial):
            if await self._changed(self._succeeded(task)):
                # Without an event Airflow would call the trigger failed.
                return TriggerEvent(ENDED)
        else:
            # If Airflow did not let it before.
            await self._changed(self.xcoms.clear_earlier())
        # If the task instance is no longer this try's own, Airflow drops the event.
        return TriggerEvent(msgspec.to_builtins(outcome))

    async def _succeeded(self, task: SeeAnyTask) -> bool:
        """End the Airflow task as a success, if it still waits; return whether this could be done here."""
        assert self.task_instance is not None
        assert self.xcoms is not None
        if (channel := supervisor_api.channel()) is None or not self._progress.is_settled:
            return False
        if is_slow := has_backend():
            # It may store the values where another try's are.
            await self.xcoms.check()
        stored = partial(
            result_xcoms,
            task,
            conn_id=self.seeany_conn_id,
            do_xcom_push=self._settings.do_xcom_push,
            task_instance=TaskInstanceKey.of(self.task_instance),
        )
        xcoms = await asyncio.to_thread(stored) if is_slow else stored()
        success = Success(self.task_instance.id, self.trigger_id, xcoms)
        if await channel.succeed(success):
            record = Record.of_task(task, conn_id=self.seeany_conn_id)
            metrics.wait_ended(record, mode=self._mode, seconds=time.time() - self._began())
        else:
            self.log.info("The Airflow task no longer waits for %s in this try, so it is not ended here", self._about)
        return True

    async def _changed(self, change: Awaitable[Value]) -> Value | None:
        """Change XComs; return ``None`` if that failed, as Airflow's database may be unavailable for a moment."""
        try:
            return await change
        except NotOwned as error:
            self.log.info("This triggerer writes nothing more for %s: %s", self._about, error)
        except Exception:
            self.log.exception("Airflow's database could not be changed from the triggerer")
        return None

    async def _outcome(self) -> Outcome | Unrendered:
        outcome = await self._reported(self._poll_until_end())
        if self._registration is not None:
            # Only who deletes the registration may end the wait: a callback that comes now finds none.
            self._has_unregistered = True
            await self._or_if_unavailable(None, self._registration.aunregister())
        return outcome

    async def _poll_until_end(self) -> Outcome | Unrendered:
        deadline, began = self._ends_at, self._began()
        if self.start_from_trigger and (is_template(self.seeany_task_id) or is_template(self.seeany_conn_id)):
            # Airflow renders them only if the DAG, as it is now, lets this wait begin without a worker.
            return Unrendered(began)
        now = ForwardClock(began)
        await sleep_until(self.first_poll_at, now)
        seeany_task_id = checked_task_id(self.seeany_task_id)
        self._registration = self._callback_registration()
        wait = Wait(
            seeany_task_id,
            polling=poll_policy(self._settings, expected_end=ExpectedEnd.of(self._expected_seconds(), began=began)),
            deadline=deadline,
            log=self.log,
            began=began,
            last_snapshot=msgspec.convert(self.last_snapshot, Snapshot) if self.last_snapshot else None,
        )

        # A wait that did not begin here has polled in a worker.
        was_used = not self.start_from_trigger or is_restart(began, now())

        async def poll(client: ReauthenticatingClient) -> Outcome:
            while isinstance(step := wait.receive(await reply_to_poll(client, seeany_task_id), now()), Pause):
                progress.update(wait.last_snapshot, next_poll_at=now() + step.seconds)
                await asyncio.sleep(step.seconds)
            return step

        self._progress = self._progress_publisher(seeany_task_id=seeany_task_id)
        async with self._progress as progress:
            if self._registration is not None:
                await self._expect_callback(self._registration, wait, now)
            # A request that hangs, or is queued behind others that do, has to end before Airflow's own limit.
            limit = None if deadline is None else max(deadline - now(), 0) + LAST_POLL_SECONDS
            try:
                async with asyncio.timeout(limit) as timeout:
                    return await poll_through_connection(
                        self._hook(),
                        poll,
                        lambda error, _: wait.receive(error, now()),
                        was_used=was_used,
                    )
            except TimeoutError:
                if not timeout.expired():
                    raise
                return wait.timed_out()

    def _callback_registration(self) -> CallbackRegistration | None:
        """Return the registration for a callback; ``None`` if none is expected, or it cannot be, with such an id."""
        if not self._settings.expect_callback:
            return None
        try:
            seeany_task_id = checked_task_id(self.seeany_task_id)
        except BadTaskId:
            return None
        return CallbackRegistration(
            self.task_instance, seeany_conn_id=self.seeany_conn_id, seeany_task_id=seeany_task_id
        )

    async def _expect_callback(self, registration: CallbackRegistration, wait: Wait, now: ForwardClock) -> None:
        """Sleep until the first poll is due; no callback is missed from here on."""
        if self.start_from_trigger:
            await self._or_if_unavailable(None, self._register(registration))
            log_expected(self.log, poll_interval=self._settings.callback_poll_interval)
            return
        if self.first_poll_at is not None:
            await sleep_until(self.first_poll_at + NOTE_SECONDS, now)
        if not await self._or_if_unavailable(True, registration.was_received()):
            await sleep_until(wait.first_poll_at, now)

    async def _register(self, registration: CallbackRegistration) -> None:
        assert self.xcoms is not None
        await self.xcoms.check()
        await registration.aregister()

    async def _or_if_unavailable(self, default: Value, use: Awaitable[Value]) -> Value:
        """Use the registration; where Airflow's database is unavailable, the wait continues by polling."""
        try:
            return await use
        except Exception as error:
            self.log.warning("A callback may be missed: %s: %s", type(error).__name__, sanitize(str(error)))
            return default
