"""The trigger for a batch: waits for thousands of SeeAny tasks in the triggerer, at a limited rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.triggers.base import TriggerEvent

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.outcome import Crashed, Misconfigured
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task_id import checked_task_ids
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.triggers.base import (
    CONTINUING_STATES,
    BaseSeeAnyTrigger,
    is_restart,
    poll_through_connection,
    reply_to_poll,
    sleep_until,
)
from airflow_provider_seeany.triggers.stored_ids import StoredIds

if TYPE_CHECKING:
    from airflow_provider_seeany.hooks.reauth import ReauthenticatingClient
    from airflow_provider_seeany.triggers.progress import ProgressPublisher


class SeeAnyTaskBatchTrigger(BaseSeeAnyTrigger):
    """
    Polls many tasks until each has ended or the deadline has passed, then fires exactly one event.

    The event is a :data:`~airflow_provider_seeany.api.batch_result.BatchOutcome` as plain JSON, for
    :func:`~airflow_provider_seeany.api.batch_result.decode_batch_outcome`, and never holds more than 48 KB of results.
    A trigger that is made again after a restart of the triggerer polls each task again; nothing else is lost.

    :param seeany_task_ids: the tasks to wait for; empty if they are stored elsewhere.
    :param stored_ids: where the ids are instead, if there are very many, as fields of
        :class:`~airflow_provider_seeany.triggers.stored_ids.StoredIds`.
    :param kwargs: the arguments of :class:`~airflow_provider_seeany.triggers.base.BaseSeeAnyTrigger`.
    """

    def __init__(
        self, *, seeany_task_ids: Sequence[str], stored_ids: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.seeany_task_ids = seeany_task_ids
        self.stored_ids = stored_ids
        self._collector: ResultCollector | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        path, arguments = super().serialize()
        return path, {"seeany_task_ids": self.seeany_task_ids, "stored_ids": self.stored_ids, **arguments}

    async def _killed(self) -> None:
        state = await self._log_killed()
        if self.stored_ids is not None and state is not None and state not in CONTINUING_STATES:
            # A user has ended the task, so no worker will delete them.
            await msgspec.convert(self.stored_ids, StoredIds).adelete()

    @cached_property
    def _settings(self) -> BatchSettings:
        return self._settings_as(BatchSettings)

    @property
    def _mode(self) -> str:
        return "batch"

    @property
    def _about(self) -> str:
        ids = self.seeany_task_ids
        if isinstance(ids, str) or not ids:
            return "a batch of SeeAny tasks"
        return f"a batch of {format_count(len(ids))} SeeAny tasks, the first of them {sanitize(str(ids[0]))}"

    async def _event(self) -> TriggerEvent:
        outcome = await self._reported(self._outcome())
        if self._collector is not None and self._collector.done and isinstance(outcome, Misconfigured | Crashed):
            # However the wait failed: what is completed was paid.
            outcome = BatchAborted(why=outcome, result=self._collector.result())
        return TriggerEvent(msgspec.to_builtins(outcome))

    async def _outcome(self) -> BatchOutcome:
        began = self._began()
        # The poll queue is ordered by this time, so it must not go back as the time of day may.
        now = ForwardClock(began)
        await sleep_until(self.first_poll_at, now)
        ids = self.seeany_task_ids
        if self.stored_ids is not None:
            ids = await msgspec.convert(self.stored_ids, StoredIds).read()
        batch = Batch(
            checked_task_ids(ids),
            self._settings,
            deadline=self._ends_at,
            log=self.log,
            now=now(),
            began=began,
            expected_duration=self._expected_seconds(),
        )
        self._collector = batch.results
        with self._progress_publisher() as progress:
            return await poll_through_connection(
                self._hook(),
                lambda client: _poll_until_end(batch, client, now, progress),
                lambda error, in_a_row: batch.connection_failed(error, in_a_row=in_a_row, now=now()),
                was_used=is_restart(began, now()),
            )


async def _poll_until_end(
    batch: Batch, client: ReauthenticatingClient, now: Callable[[], float], progress: ProgressPublisher
) -> BatchOutcome:
    """Poll as the batch decides, many tasks at a time."""
    has_response = asyncio.Event()
    under_way: set[asyncio.Task[None]] = set()
    ended: list[asyncio.Task[None]] = []

    async def poll(seeany_task_id: str) -> None:
        batch.receive(seeany_task_id, await reply_to_poll(client, seeany_task_id), now())
        progress.update_batch(batch.results)

    def note_end(task: asyncio.Task[None]) -> None:
        under_way.discard(task)
        ended.append(task)
        has_response.set()

    try:
        while (outcome := batch.outcome(now())) is None:
            step = batch.next_request(now())
            if isinstance(step, str):
                task = asyncio.create_task(poll(step))
                under_way.add(task)
                task.add_done_callback(note_end)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(step.seconds):
                    await has_response.wait()
            has_response.clear()
            while ended:
                ended.pop().result()  # raises what was not foreseen
        return outcome
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
