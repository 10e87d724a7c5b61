"""The trigger for a batch: waits for thousands of SeeAny tasks in the triggerer, at a limited rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
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
from airflow_provider_seeany.callback.batch import BatchCallbacks
from airflow_provider_seeany.triggers.base import (
    CONTINUING_STATES,
    BaseSeeAnyTrigger,
    is_restart,
    poll_through_connection,
    reply_to_poll,
    sleep_until,
)
from airflow_provider_seeany.triggers.batch_callbacks import CallbackReader
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
        if state is None or state in CONTINUING_STATES:
            return
        # A user has ended the task, so no worker will delete them.
        if self.stored_ids is not None:
            await msgspec.convert(self.stored_ids, StoredIds).adelete()
        if (callbacks := self._callbacks) is not None:
            await callbacks.adelete()

    @cached_property
    def _settings(self) -> BatchSettings:
        return self._settings_as(BatchSettings)

    @property
    def _callbacks(self) -> BatchCallbacks | None:
        """The callbacks of this batch; ``None`` if none are expected, or none can reach it."""
        # `airflow dags test` makes triggers without their task instances.
        if not self._settings.expect_callback or self.task_instance is None:
            return None
        return BatchCallbacks(self.task_instance, seeany_conn_id=self.seeany_conn_id)

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
            ids = await msgspec.convert(self.stored_ids, StoredIds).read(self.log)
        ids, callbacks = checked_task_ids(ids), self._callbacks
        batch = Batch(
            ids,
            msgspec.structs.replace(self._settings, expect_callback=callbacks is not None),
            deadline=self._ends_at,
            log=self.log,
            now=now(),
            began=began,
            expected_duration=self._expected_seconds(),
        )
        self._collector = batch.results
        is_due = asyncio.Event()

        def called_back(indexes: Iterable[int]) -> None:
            batch.called_back(indexes, now())
            is_due.set()

        reader = None if callbacks is None else CallbackReader(callbacks, ids, called_back, log=self.log)
        async with _running(reader), self._progress_publisher() as progress:
            return await poll_through_connection(
                self._hook(),
                lambda client: _poll_until_end(batch, client, now, progress, is_due),
                lambda error, in_a_row: batch.connection_failed(error, in_a_row=in_a_row, now=now()),
                was_used=is_restart(began, now()),
            )


@asynccontextmanager
async def _running(reader: CallbackReader | None) -> AsyncIterator[None]:
    """Read callbacks beside the block."""
    if reader is None:
        yield
        return
    reading = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _poll_until_end(
    batch: Batch,
    client: ReauthenticatingClient,
    now: Callable[[], float],
    progress: ProgressPublisher,
    is_due: asyncio.Event,
) -> BatchOutcome:
    """
    Poll as the batch decides, many tasks at a time.

    :param is_due: set when the batch may have a request sooner than it has said.
    """
    under_way: set[asyncio.Task[None]] = set()
    ended: list[asyncio.Task[None]] = []

    async def poll(seeany_task_id: str) -> None:
        batch.receive(seeany_task_id, await reply_to_poll(client, seeany_task_id), now())
        progress.update_batch(batch.results)

    def note_end(task: asyncio.Task[None]) -> None:
        under_way.discard(task)
        ended.append(task)
        is_due.set()

    try:
        while (outcome := batch.outcome(now())) is None:
            step = batch.next_request(now())
            if isinstance(step, str):
                task = asyncio.create_task(poll(step))
                under_way.add(task)
                task.add_done_callback(note_end)
                continue
            # Not a timeout, which ends by a cancellation: where a user's comes with it, Airflow sees no user.
            timer = asyncio.get_running_loop().call_later(step.seconds, is_due.set)
            try:
                await is_due.wait()
            finally:
                timer.cancel()
            is_due.clear()
            while ended:
                ended.pop().result()  # raises what was not foreseen
        return outcome
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
