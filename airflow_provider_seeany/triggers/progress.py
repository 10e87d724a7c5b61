"""Publishing how far a wait is, for the UI: beside the wait, now and then, and never in its way."""

from __future__ import annotations

import asyncio
import time
from time import monotonic
from typing import Any, ClassVar, Protocol

from airflow.providers.common.compat.sdk import conf

from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.triggers.xcoms import NotOwned, TriggererXComs
from airflow_provider_seeany.xcoms.record import BatchCounts, Progress, exact

MIN_INTERVAL = 10.0
"""Fewest seconds between two publications of one wait."""

MAX_PER_SECOND = 2.0
"""About the most publications of all waits of a triggerer in a second: each is a write to Airflow's database."""


class Publishing(Protocol):
    """What is needed of a trigger whose progress is published."""

    seeany_conn_id: str
    """The connection that is asked through."""

    @property
    def do_xcom_push(self) -> bool:
        """Whether the Airflow task pushes XComs."""

    @property
    def xcoms(self) -> TriggererXComs | None:
        """The XComs of the task instance that waits; ``None`` outside a triggerer."""

    @property
    def log(self) -> Log:
        """The log of the trigger."""


class ProgressPublisher:
    """
    Writes how far a wait is to an XCom of its task instance, where Airflow lets a trigger do that (3.3+).

    What is noted is written in a task of its own, so that a slow database does not hold up the wait. One write at a
    time; what is noted meanwhile, or too soon after the last one, is left out: the next question brings news.

    :param trigger: the trigger that waits.
    :param seeany_task_id: the task waited for; ``None`` for a batch.
    """

    _live: ClassVar[int] = 0

    def __init__(self, trigger: Publishing, *, seeany_task_id: str | None = None) -> None:
        self._xcoms = trigger.xcoms
        self._conn_id = trigger.seeany_conn_id
        self._seeany_task_id = seeany_task_id
        self._log = trigger.log
        self._on = (
            trigger.do_xcom_push
            and trigger.xcoms is not None
            and conf.getboolean("seeany", "publish_progress", fallback=True)
            and _can_push()
        )
        self._published: Progress | None = None
        self._next_at = 0.0
        self._under_way: asyncio.Task[None] | None = None

    def __enter__(self) -> ProgressPublisher:
        ProgressPublisher._live += 1
        return self

    def __exit__(self, *_: object) -> None:
        ProgressPublisher._live -= 1
        self._on = False
        if self._under_way is not None:
            # Not waited for. What was sent already is written before anything that this trigger sends from now on.
            self._under_way.cancel()

    def saw(self, seen: Snapshot | None) -> None:
        """Take note of what was last seen of a task."""
        if seen is not None and self._is_due():
            self._publish(percent=seen.progress, seconds_left=seen.estimated_remaining)

    def update_batch(self, results: ResultCollector) -> None:
        """Take note of how far a batch is."""
        if self._is_due():
            self._publish(
                percent=round(100 * results.done / results.total, 1),
                batch=BatchCounts(total=results.total, completed=results.completed, failed=results.failed),
                cost=exact(results.costs),
            )

    def _is_due(self) -> bool:
        return self._on and self._under_way is None and monotonic() >= self._next_at

    def _publish(self, **news: Any) -> None:
        before = self._published
        progress = Progress(
            conn_id=self._conn_id,
            seeany_task_id=sanitize(self._seeany_task_id) if self._seeany_task_id else None,
            at=int(time.time()),
            **news,
        )
        if before is not None and _without_time(before) == _without_time(progress):
            return
        self._published = progress
        self._next_at = monotonic() + max(MIN_INTERVAL, ProgressPublisher._live / MAX_PER_SECOND)
        self._under_way = asyncio.create_task(self._write(progress))

    async def _write(self, progress: Progress) -> None:
        assert self._xcoms is not None
        try:
            await self._xcoms.publish(progress.as_json())
        except NotOwned:
            self._on = False
        except Exception as error:
            self._on = False
            self._log.warning("The progress is not published for the UI any more: %s", sanitize(repr(error)))
        finally:
            self._under_way = None


def _without_time(progress: Progress) -> dict[str, Any]:
    return {**progress.as_json(), "at": 0}


def _can_push() -> bool:
    """Tell whether this Airflow's triggers can push XComs."""
    from airflow.providers.common.compat.sdk import XCom

    return hasattr(XCom, "aset")
