"""Publishes the progress of a wait for the UI, in the background and at a limited rate."""

from __future__ import annotations

import asyncio
import time
from time import monotonic
from typing import Any, ClassVar

import msgspec
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.triggers.xcoms import NotOwned, TriggererXComs
from airflow_provider_seeany.xcoms.record import BatchCounts, Progress, exact_amounts
from airflow_provider_seeany.xcoms.result import publishes_progress

MIN_INTERVAL = 10.0  # minimum seconds between two writes of one wait

MAX_PER_SECOND = 1.0
"""
Maximum number of writes in a second of all waits of a triggerer.

Each is two messages to its supervisor, which handles one at a time, some 20 ms each, and starts triggers in between.
"""

MAX_SETTLING = 5.0
"""Seconds that the end of a wait is delayed at most by a write that is under way."""


class ProgressPublisher:
    """
    Pushes the progress of a wait to an XCom of its task instance, where Airflow lets a trigger do that (3.3+).

    It is written in a background task, so that a slow database does not delay the wait. Updates during a write, or too
    soon after it, are dropped.

    :param xcoms: the XComs of the task instance; ``None`` publishes nothing.
    :param about: what every update has: the connection, the SeeAny task, beginning and deadline of the wait.
    """

    _live: ClassVar[int] = 0
    _any_at: ClassVar[float] = 0.0
    """When any wait may write again, on the monotonic clock."""

    def __init__(self, xcoms: TriggererXComs | None, about: Progress, *, log: Log) -> None:
        self._xcoms = xcoms
        self._about = about
        self._log = log
        self._is_enabled = xcoms is not None and publishes_progress() and hasattr(XCom, "aset")
        self._published: Progress | None = None
        self._next_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        self.is_settled = True
        """
        Whether no write was under way when the wait ended.

        One that was sent could still come, and replace a result that goes another way.
        """

    async def __aenter__(self) -> ProgressPublisher:
        ProgressPublisher._live += 1
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ProgressPublisher._live -= 1
        self._is_enabled = False
        if (writing := self._writing) is not None:
            try:
                if kind is None:
                    await asyncio.wait({writing}, timeout=MAX_SETTLING)
            finally:
                self.is_settled = writing.done()
                writing.cancel()

    def update(self, snapshot: Snapshot | None, *, next_poll_at: float | None = None) -> None:
        """Publish the progress of a task."""
        if snapshot is not None and self._is_due():
            self._publish(
                percent=snapshot.progress,
                seconds_left=snapshot.estimated_remaining,
                next_poll_at=None if next_poll_at is None else int(next_poll_at),
            )

    def update_batch(self, results: ResultCollector) -> None:
        """Publish the progress of a batch."""
        if self._is_due():
            self._publish(
                percent=round(100 * results.done / results.total, 1),
                batch=BatchCounts.of(results),
                cost=exact_amounts(results.costs),
            )

    def _is_due(self) -> bool:
        return self._is_enabled and self._writing is None and monotonic() >= max(self._next_at, self._any_at)

    def _publish(self, **fields: Any) -> None:
        progress = msgspec.structs.replace(self._about, at=int(time.time()), **fields)
        before = self._published
        if before is not None and msgspec.structs.replace(before, at=progress.at) == progress:
            return
        self._published = progress
        now = monotonic()
        self._next_at = now + max(MIN_INTERVAL, ProgressPublisher._live / MAX_PER_SECOND)
        ProgressPublisher._any_at = now + 1 / MAX_PER_SECOND
        self._writing = asyncio.create_task(self._write(progress))

    async def _write(self, progress: Progress) -> None:
        assert self._xcoms is not None
        try:
            await self._xcoms.publish(msgspec.to_builtins(progress))
        except NotOwned:
            self._is_enabled = False
        except Exception as error:
            self._is_enabled = False
            self._log.warning("The progress is no longer published for the UI: %s", sanitize(repr(error)))
        finally:
            self._writing = None
