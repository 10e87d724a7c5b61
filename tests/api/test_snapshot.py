"""The last known state of a running task, as a person reads it."""

from __future__ import annotations

from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.hostile import PROCESSING


def test_what_was_seen_reads_like_a_sentence() -> None:
    assert str(Snapshot.of(SeeAnyTask.from_payload(PROCESSING), at=0.0)) == "processing 65 %, about 42 s left"
    assert str(Snapshot(status="queued")) == "queued"
    assert str(Snapshot(status="processing", progress=12.345)) == "processing 12.3 %"
    assert str(Snapshot(status="processing", estimated_remaining=3600)) == "processing, about 3600 s left"
