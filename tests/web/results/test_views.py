"""The values that the tab and the page show: all that is stored for them, under the names of the UI's types."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.web.app import STATIC
from airflow_provider_seeany.web.results import views
from airflow_provider_seeany.web.results.batch import BatchRow
from airflow_provider_seeany.xcoms.record import BatchCounts, Copies, Progress, Record
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import Money

RECORD = Record(
    state="timed_out",
    conn_id="conn",
    at=7,
    seeany_task_id="x",
    cost={"CNY": "0.7"},
    video_url="https://h/v",
    thumbnail_url="https://h/t",
    first_result="https://h/1",
    results=2,
    duration=5,
    resolution="720p",
    error_code="code",
    error_message="message",
    error_kind="timed_out",
    error_numbers={"seconds": 60},
    is_own_message=True,
    is_partial=True,
    batch=BatchCounts(total=3, completed=1, failed=1, partial=1),
)
PROGRESS = Progress(
    conn_id="conn",
    at=7,
    seeany_task_id="x",
    percent=65,
    seconds_left=42,
    began=1,
    deadline=9,
    next_poll_at=8,
    cost={"CNY": "0.7"},
    batch=BatchCounts(total=3, completed=1, failed=1, partial=1),
)


@pytest.mark.parametrize("pushed", [RECORD, PROGRESS], ids=["record", "progress"])
def test_each_field_that_a_wait_pushes_and_the_page_shows_is_converted(pushed: Any) -> None:
    shown = asdict(views.Result.of(pushed, TaskInstanceKey("dag", "run", "wait")))

    names = (set(pushed.__struct_fields__) | set(BatchCounts.__struct_fields__)) & shown.keys()
    assert [name for name in sorted(names) if not shown[name]] == []


def test_each_field_of_a_download_is_shown() -> None:
    copies = Copies(
        files=2,
        total=3,
        size=4,
        failed=1,
        folder="s3://b",
        paths=["s3://b/v.mp4"],
        failures=[Failure("vid_2", "video: HTTP 404")],
        reason="no space is left",
    )

    assert asdict(views.Download.of(copies)) == msgspec.to_builtins(copies)


def test_a_download_that_another_dag_made_up_is_not_larger_than_ours() -> None:
    copies = Copies(
        files=-1,
        total=10**30,
        size=10**30,
        folder="x" * 5000,
        paths=["y" * 5000] * 5000,
        failures=[Failure("z" * 5000, "z" * 5000)] * 5000,
        reason="z" * 5000,
    )

    shown = views.Download.of(copies)

    assert (shown.files, shown.total, shown.size, len(shown.folder or "")) == (0, 10**15, 10**15, 1000)
    assert [len(path) for path in shown.paths] == [1000] * 50
    assert [len(each.id + each.reason) for each in shown.failures] == [2000] * 20
    assert len(shown.reason or "") == 1000


FAILED_AND = {
    "success": "failed",
    "failed": "failed",
    "skipped": "skipped",
    "up_for_retry": "retrying",
    "queued": "retrying",
    "deferred": "retrying",
    None: "retrying",  # cleared
}


@pytest.mark.parametrize(("task_state", "shown"), FAILED_AND.items())
def test_a_wait_without_a_result_is_shown_as_what_airflow_makes_of_it(task_state: str | None, shown: str) -> None:
    failed = msgspec.structs.replace(RECORD, state="failed")

    result = views.Result.of(failed, TaskInstanceKey("dag", "run", "wait")).in_task(task_state)

    assert (result.state, result.is_task_failed) == (shown, False)


@pytest.mark.parametrize(("task_state", "is_failed"), [("success", False), ("failed", True), ("up_for_retry", True)])
def test_a_result_stays_completed_and_says_so_if_its_airflow_task_failed_later(
    task_state: str, is_failed: bool
) -> None:
    completed = msgspec.structs.replace(RECORD, state="completed")

    result = views.Result.of(completed, TaskInstanceKey("dag", "run", "wait")).in_task(task_state)

    assert (result.state, result.is_task_failed) == ("completed", is_failed)


def test_numbers_of_an_error_that_another_dag_made_up_are_few_and_small() -> None:
    made_up = msgspec.structs.replace(RECORD, error_numbers={"n" * 5000: 1, "a": -1, "b": 10**30})

    numbers = views.Result.of(made_up, TaskInstanceKey("dag", "run", "wait")).error_numbers

    assert {len(name): number for name, number in numbers.items()} == {1000: 1}


@pytest.mark.parametrize(
    "kind", [views.Result, views.Group, BatchRow, views.Download, views.DownloadFailure, views.TaskView, Money]
)
def test_the_types_of_the_ui_name_the_fields_of_the_responses(kind: Any) -> None:
    types = (STATIC / "types.d.ts").read_text("utf-8")
    interface = re.search(rf"interface {kind.__name__} \{{(.*?)^\}}", types, re.DOTALL | re.MULTILINE)

    assert interface is not None
    assert re.findall(r"^  (\w+): ", interface[1], re.MULTILINE) == [field.name for field in fields(kind)]
