"""What a single wait logs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.outcome import (
    TimedOut,
)
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.wait import Pause, Wait
from tests.api.single_wait import START, api_error, wait
from tests.api.tasks import task_with
from tests.hostile import COMPLETED, PARTIAL, PARTIAL_URLS
from tests.recorded_log import RecordedLog


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "/relative.mp4", "ftp://h/x"])
def test_a_video_url_that_is_no_web_address_is_warned_of(log: RecordedLog, url: str) -> None:
    wait(log).receive(SeeAnyTask.from_payload({**COMPLETED, "video_url": url}), START)

    assert len(log.warnings) == 1
    assert "not an http(s) URL" in log.warnings[0]


def test_a_partial_result_is_warned_of_with_its_reason_and_what_there_is(log: RecordedLog) -> None:
    wait(log).receive(SeeAnyTask.from_payload(PARTIAL), START)

    assert log.warnings == [
        "SeeAny task x has a partial result (some of its files failed, 2 were made: 4 张图片中有 2 张生成失败 "
        f"(image_failed)): {', '.join(PARTIAL_URLS)}, cost ¥0.40"
    ]


def test_progress_is_logged_when_it_changed_and_not_on_every_poll(log: RecordedLog) -> None:
    waiting = wait(log)
    for progress, estimate in ((65, 42), (65, 40), (65, 38), (70, 30)):
        waiting.receive(task_with("x", progress=progress, estimated_remaining=estimate), START)

    assert log.infos == [
        "SeeAny task x: processing 65 %, about 42 s left",
        "SeeAny task x: processing 70 %, about 30 s left",
    ]


def stalled_at(log: RecordedLog, waiting: Wait, seconds: range, **fields: object) -> list[int]:
    """Give the same response again and again, and return when it was logged that nothing changes."""
    logged_at = []
    for second in seconds:
        before = len(log.infos)
        waiting.receive(task_with("x", **fields), START + second)
        if "unchanged for a long time" in "".join(log.infos[before:]):
            logged_at.append(second)
    return logged_at


@pytest.mark.parametrize(
    ("estimate", "logged_at"), [(None, 600), (0, 600), (30, 600), (300, 900), (10**400, None)], ids=repr
)
def test_a_task_that_does_not_get_on_is_logged_once(
    log: RecordedLog, estimate: int | None, logged_at: int | None
) -> None:
    fields = {"progress": 99, "estimated_remaining": estimate}

    assert stalled_at(log, wait(log), range(0, 3600, 60), **fields) == ([] if logged_at is None else [logged_at])
    assert len(log.infos) == (1 if logged_at is None else 2)


def test_a_task_that_gets_on_again_may_stall_again(log: RecordedLog) -> None:
    waiting = wait(log)

    assert stalled_at(log, waiting, range(0, 1200, 60), progress=50) == [600]
    assert stalled_at(log, waiting, range(1200, 2400, 60), progress=51) == [1800]


def test_what_the_worker_saw_counts_for_a_stall(log: RecordedLog) -> None:
    waiting = wait(log, last_snapshot=Snapshot(status="processing", progress=50, at=START - 500))

    assert stalled_at(log, waiting, range(0, 1200, 60), progress=50) == [120]


def test_a_trigger_does_not_repeat_what_the_worker_already_logged(log: RecordedLog) -> None:
    waiting = wait(log, last_snapshot=Snapshot(status="pending", progress=5))

    waiting.receive(task_with("x", status="pending", progress=5), START)

    assert (log.infos, log.warnings) == ([], [])


def test_the_end_is_logged_in_one_line_with_url_and_cost(log: RecordedLog) -> None:
    wait(log, task_id="vid_20260603_001").receive(SeeAnyTask.from_payload(COMPLETED), START)

    assert log.infos == [
        "SeeAny task vid_20260603_001 completed: https://cdn.seeany.com/video/vid_001/output.mp4, cost ¥0.70"
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"images": [{"url": "https://h/1"}, {"url": "https://h/2"}]}, "https://h/1, https://h/2"),
        ({"object": "image_set"}, "no result URL"),
        ({"usage": {"cost": 0}}, "no result URL, cost 0.00 ?"),
    ],
)
def test_the_end_of_any_kind_of_task_is_logged(log: RecordedLog, fields: dict[str, Any], text: str) -> None:
    wait(log).receive(task_with("x", status="completed", **fields), START)

    assert log.infos == [f"SeeAny task x completed: {text}"]


def test_each_undocumented_status_word_is_warned_of_once(log: RecordedLog) -> None:
    waiting = wait(log)
    steps = [
        waiting.receive(task_with("x", status=word), START)
        for word in ("queued", "pending", "pending", "paused", "running", "pending", "paused")
    ]

    assert steps == [Pause(10)] * 7
    assert len(log.warnings) == 2
    assert "has the undocumented status pending, which" in log.warnings[0]
    assert "counts as running" in log.warnings[0]
    assert "has the undocumented status paused, which" in log.warnings[1]


def test_each_field_that_cannot_be_parsed_is_warned_of_once(log: RecordedLog) -> None:
    waiting = wait(log)
    for fields in ({"progress": "most"}, {"progress": "all"}, {"progress": "?", "estimated_remaining": "soon"}):
        assert waiting.receive(task_with("x", **fields), START) == Pause(10)
    waiting.receive(task_with("x", status="completed", object="image_set", progress="", usage={"cost": "free"}), START)

    assert [line.partition("left out: ")[2] for line in log.warnings] == ["progress", "estimated_remaining", "usage"]


def test_a_trigger_does_not_warn_of_what_the_worker_warned_of(log: RecordedLog) -> None:
    seen = Snapshot.of(task_with("x", status="pending", progress="most"), START)
    stored = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(seen))), Snapshot)

    wait(log, last_snapshot=stored).receive(task_with("x", status="pending", progress="most"), START)

    assert log.warnings == []


def test_a_field_and_a_status_of_one_name_are_both_warned_of(log: RecordedLog) -> None:
    wait(log).receive(task_with("x", status="duration", duration="long"), START)

    assert len(log.warnings) == 2


def test_errors_are_logged_once_when_they_begin_and_once_when_they_are_over(log: RecordedLog) -> None:
    waiting = wait(log)
    for n in range(7):
        waiting.receive(api_error(request_id="req_1"), START + 10 * n)
    waiting.receive(task_with("x"), START + 94)

    assert log.warnings == ["SeeAny returned HTTP 502 (request id req_1); the wait for SeeAny task x continues"]
    assert log.infos[0] == "SeeAny responded again after 7 failures in 94 s"
    waiting.receive(api_error(), START + 100)
    assert len(log.warnings) == 2


@pytest.mark.parametrize("number", [10**30, 1e308, -1e308, 5e-324, -1, 0])
def test_no_number_is_too_large_to_be_logged(log: RecordedLog, number: float) -> None:
    waiting = wait(log, deadline=START)

    outcome = waiting.receive(task_with("x", progress=number, estimated_remaining=number), START)

    assert isinstance(outcome, TimedOut)
    assert len(log.infos) == 1
    assert len(log.infos[0]) < 200


def test_a_servers_words_cannot_forge_a_log_line(log: RecordedLog) -> None:
    waiting = wait(log, task_id="x\nERROR forged")
    waiting.receive(task_with("x", status="new\nERROR forged\x1b[2J"), START)
    waiting.receive(
        task_with("x", status="completed", usage={"cost": 1, "cost_unit": "\nERROR"}, url="https://h/\nERROR"), START
    )

    assert log.infos
    assert all(line.isprintable() for line in log.infos + log.warnings)
