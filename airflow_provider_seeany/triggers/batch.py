"""The trigger of a batch: waits for thousands of SeeAny tasks in the triggerer, at a pace of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import BatchAborted, BatchOutcome
from airflow_provider_seeany.api.clock import ForwardClock
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.outcome import Crashed, Misconfigured
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import checked_task_ids
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.base import (
    TAKEN_ON,
    began,
    is_restart,
    log_if_cancelled,
    log_killed,
    poll_through_connection,
    reported,
    sleep_until,
)
from airflow_provider_seeany.triggers.progress import ProgressPublisher
from airflow_provider_seeany.triggers.stored_ids import StoredIds
from airflow_provider_seeany.triggers.xcoms import TriggererXComs, state_of

if TYPE_CHECKING:
    from airflow_provider_seeany.hooks.reauth import ReauthenticatingClient


class SeeAnyTaskBatchTrigger(BaseTrigger):
    """
    Asks for many tasks until each has ended or the deadline has passed, then fires exactly one event.

    The event is a :data:`~airflow_provider_seeany.api.batch_result.BatchOutcome` as plain JSON, for
    :func:`~airflow_provider_seeany.api.batch_result.decode_batch_outcome`, and never holds more than 48 KB of results.
    As with :class:`~airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger`, nothing is raised, the arguments hold
    no key, and they may only ever be added to. A trigger that is made anew, after a restart of the triggerer, asks
    about each task again; nothing else is lost.

    :param seeany_task_ids: the tasks to wait for; empty if they are stored elsewhere.
    :param seeany_conn_id: the connection to ask through.
    :param poll_interval: seconds between two questions about a task while nothing better is known.
    :param max_poll_interval: most seconds between two questions about a task, the limits below apart.
    :param max_requests_per_second: most questions in a second.
    :param max_concurrent_requests: most questions under way at once.
    :param fail_fast: fire at the first failure.
    :param deadline: when to give up, in Unix seconds; ``None`` for never.
    :param first_poll_at: ask no sooner than this, in Unix seconds; ``None`` for at once.
    :param timeout: seconds that the wait was given; with the deadline, they tell when it began.
    :param do_xcom_push: whether the Airflow task pushes XComs; how far the wait is, is one.
    :param stored_ids: where the ids are instead, if there are very many, as fields of
        :class:`~airflow_provider_seeany.triggers.stored_ids.StoredIds`.
    """

    def __init__(
        self,
        *,
        seeany_task_ids: Sequence[str],
        seeany_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 10,
        max_poll_interval: float = 30,
        max_requests_per_second: float = 50,
        max_concurrent_requests: int = 20,
        fail_fast: bool = False,
        deadline: float | None = None,
        first_poll_at: float | None = None,
        timeout: float | None = None,
        do_xcom_push: bool = True,
        stored_ids: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seeany_task_ids = seeany_task_ids
        self.seeany_conn_id = seeany_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.max_requests_per_second = max_requests_per_second
        self.max_concurrent_requests = max_concurrent_requests
        self.fail_fast = fail_fast
        self.deadline = deadline
        self.first_poll_at = first_poll_at
        self.timeout = timeout
        self.do_xcom_push = do_xcom_push
        self.stored_ids = stored_ids
        self._collector: ResultCollector | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores to make this trigger again elsewhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "seeany_task_ids": self.seeany_task_ids,
                "seeany_conn_id": self.seeany_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "max_requests_per_second": self.max_requests_per_second,
                "max_concurrent_requests": self.max_concurrent_requests,
                "fail_fast": self.fail_fast,
                "deadline": self.deadline,
                "first_poll_at": self.first_poll_at,
                "timeout": self.timeout,
                "do_xcom_push": self.do_xcom_push,
                **({"stored_ids": self.stored_ids} if self.stored_ids else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event."""
        with log_if_cancelled(self, about=self._about):
            await supervisor_api.built(self.deadline)
            outcome = await reported(self._outcome(), about=self._about, log=self.log)
            if self._collector is not None and self._collector.done and isinstance(outcome, Misconfigured | Crashed):
                # Whatever broke off: what is completed was paid.
                outcome = BatchAborted(why=outcome, result=self._collector.result())
        # Nothing is held here: a trigger cancelled at the yield would keep it until garbage collection.
        yield TriggerEvent(msgspec.to_builtins(outcome))

    @cached_property
    def xcoms(self) -> TriggererXComs | None:
        """The XComs of the task instance that waits; ``None`` outside a triggerer."""
        return None if self.task_instance is None else TriggererXComs(self.task_instance)

    async def on_kill(self) -> None:
        """Say what goes on without this wait. Called by Airflow 3.3 and newer."""
        await log_killed(self, about=self._about)
        if self.stored_ids is None or await state_of(self.task_instance) in (*TAKEN_ON, None):
            return
        # A person has ended the task, so no worker will do it.
        await msgspec.convert(self.stored_ids, StoredIds).adelete()

    @property
    def _about(self) -> str:
        ids = self.seeany_task_ids
        if isinstance(ids, str) or not ids:
            return "a batch of SeeAny tasks"
        return f"a batch of {format_count(len(ids))} SeeAny tasks, the first of them {sanitize(str(ids[0]))}"

    async def _ids(self) -> Sequence[str]:
        if self.stored_ids is None:
            return self.seeany_task_ids
        return await msgspec.convert(self.stored_ids, StoredIds).read()

    async def _outcome(self) -> BatchOutcome:
        wait_began = began(self.deadline, self.timeout)
        # The queue of the questions is ordered by this time, so it must not go back as the time of day may.
        now = ForwardClock(wait_began)
        await sleep_until(self.first_poll_at, now)
        batch = Batch(
            checked_task_ids(await self._ids()),
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            max_requests_per_second=self.max_requests_per_second,
            max_concurrent_requests=self.max_concurrent_requests,
            deadline=self.deadline,
            fail_fast=self.fail_fast,
            log=self.log,
            now=now(),
            began=wait_began,
        )
        self._collector = batch.results
        xcoms = self.xcoms if self.do_xcom_push else None
        with ProgressPublisher(xcoms, conn_id=self.seeany_conn_id, log=self.log) as progress:
            return await poll_through_connection(
                self.seeany_conn_id,
                lambda client: _ask_until_the_end(batch, client, now, progress),
                lambda error, in_a_row: batch.connection_failed(error, in_a_row=in_a_row, now=now()),
                was_used=is_restart(wait_began, now()),
            )


async def _ask_until_the_end(
    batch: Batch, client: ReauthenticatingClient, now: Callable[[], float], progress: ProgressPublisher
) -> BatchOutcome:
    """Ask as the batch says, many questions at a time."""
    news = asyncio.Event()
    under_way: set[asyncio.Task[None]] = set()
    ended: list[asyncio.Task[None]] = []

    async def ask(seeany_task_id: str) -> None:
        reply: SeeAnyTask | ApiError
        try:
            reply = await client.get_task(seeany_task_id)
        except ApiError as error:
            reply = error
        batch.receive(seeany_task_id, reply, now())
        progress.update_batch(batch.results)

    def note_end(task: asyncio.Task[None]) -> None:
        under_way.discard(task)
        ended.append(task)
        news.set()

    try:
        while (outcome := batch.outcome(now())) is None:
            step = batch.next_request(now())
            if isinstance(step, str):
                task = asyncio.create_task(ask(step))
                under_way.add(task)
                task.add_done_callback(note_end)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(step.seconds):
                    await news.wait()
            news.clear()
            while ended:
                ended.pop().result()  # raises what nobody thought of
        return outcome
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
