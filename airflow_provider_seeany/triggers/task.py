"""The trigger: waits for one SeeAny task in the triggerer, where a wait costs no worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.polling import TrustGated
from airflow_provider_seeany.api.request import BadSettings, BadTaskId, checked_task_id
from airflow_provider_seeany.api.wait import BadId, Misconfigured, Outcome, Pause, Sighting, Wait, encode_outcome
from airflow_provider_seeany.exceptions import SeeAnyConfigError
from airflow_provider_seeany.hooks.seeany import SeeAnyHook


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
        :mod:`airflow_provider_seeany.api.polling`.
    :param deadline: when to give up, in Unix seconds; ``None`` for never. Absolute, so that a restart of the
        triggerer neither extends nor forgets it.
    :param first_look_at: ask no sooner than this, in Unix seconds; ``None`` for at once. A trigger that fires
        within seconds of the deferral can lose its task to the scheduler (apache/airflow#72716).
    :param last_seen: what the worker saw when it deferred, as fields of
        :class:`~airflow_provider_seeany.api.wait.Sighting`.
    """

    def __init__(
        self,
        *,
        seeany_task_id: str,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 10,
        max_poll_interval: float = 30,
        deadline: float | None = None,
        first_look_at: float | None = None,
        last_seen: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seeany_task_id = seeany_task_id
        self.seeany_conn_id = seeany_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.deadline = deadline
        self.first_look_at = first_look_at
        self.last_seen = last_seen

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "seeany_task_id": self.seeany_task_id,
                "seeany_conn_id": self.seeany_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "deadline": self.deadline,
                "first_look_at": self.first_look_at,
                "last_seen": self.last_seen,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event."""
        # Nothing is held at the yield: a trigger cancelled there would keep it until garbage collection.
        yield TriggerEvent(encode_outcome(await self._outcome()))

    async def _outcome(self) -> Outcome:
        if self.first_look_at is not None:
            await asyncio.sleep(max(self.first_look_at - time.time(), 0))
        try:
            seeany_task_id = checked_task_id(self.seeany_task_id)
            wait = Wait(
                seeany_task_id,
                polling=TrustGated(poll_interval=self.poll_interval, max_poll_interval=self.max_poll_interval),
                deadline=self.deadline,
                log=self.log,
                last_seen=msgspec.convert(self.last_seen, Sighting) if self.last_seen else None,
            )
            async with SeeAnyHook(self.seeany_conn_id).async_client() as client:
                while isinstance(step := wait.heard(await client.look(seeany_task_id), time.time()), Pause):
                    await asyncio.sleep(step.seconds)
                return step
        except (SeeAnyConfigError, BadSettings) as error:
            return Misconfigured(str(error))
        except BadTaskId as error:
            return BadId(str(error))
