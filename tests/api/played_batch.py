"""Plays a batch to its end, with scripted responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.batch_result import (
    BatchOutcome,
    BatchResult,
)
from airflow_provider_seeany.api.errors import ApiError, TransientError
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.recorded_log import RecordedLog

Reply = SeeAnyTask | ApiError


Poll = Callable[[str, float], Reply]


SETTINGS = BatchSettings(
    poll_interval=10,
    max_poll_interval=30,
    timeout=3600,
    do_xcom_push=True,
    max_requests_per_second=50,
    max_concurrent_requests=20,
    fail_fast=False,
    allow_failures=False,
)


def batch_of(ids: list[str], log: RecordedLog | None = None, **more: Any) -> Batch:
    """Return a batch; what is no setting of it is an argument."""
    given: dict[str, Any] = {"deadline": None, "now": 0.0, **more}
    settings = {name: given.pop(name) for name in SETTINGS.__struct_fields__ if name in given}
    return Batch(ids, msgspec.structs.replace(SETTINGS, **settings), log=log or RecordedLog(), **given)


class Played:
    """A batch played to its end, each request taking ``takes`` seconds."""

    def __init__(
        self, batch: Batch, poll: Poll, *, takes: float = 0.05, log: RecordedLog | None = None, start: float = 0.0
    ):
        self.requests: list[tuple[float, str]] = []
        self.max_under_way = 0
        self.now = start
        under_way: list[tuple[float, str]] = []
        while (outcome := batch.outcome(self.now)) is None:
            step = batch.next_request(self.now)
            if isinstance(step, str):
                self.requests.append((self.now, step))
                under_way.append((self.now + takes, step))
                self.max_under_way = max(self.max_under_way, len(under_way))
                continue
            resumes_at = self.now + step.seconds
            if under_way and under_way[0][0] <= resumes_at:
                self.now, seeany_task_id = under_way.pop(0)
                if log:
                    log.now = self.now
                batch.receive(seeany_task_id, poll(seeany_task_id, self.now), self.now)
            else:
                self.now = max(resumes_at, self.now + 1e-6)
        self.outcome: BatchOutcome = outcome

    @property
    def result(self) -> BatchResult:
        assert isinstance(self.outcome, BatchResult)
        return self.outcome


DOWN = TransientError("SeeAny could not be reached")
