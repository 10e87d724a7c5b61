"""The values that the tab and the page show: all that is stored for them, under the names of the UI's types."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.web.app import STATIC
from airflow_provider_seeany.web.results import views
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
    is_partial=True,
    batch=BatchCounts(total=3, completed=1, failed=1, partial=1),
)
PROGRESS = Progress(
    conn_id="conn",
    at=7,
    seeany_task_id="x",
    percent=65,
    seconds_left=42,
    cost={"CNY": "0.7"},
    batch=BatchCounts(total=3, completed=1, failed=1, partial=1),
)


@pytest.mark.parametrize("pushed", [RECORD, PROGRESS], ids=["record", "progress"])
def test_each_field_that_a_wait_pushes_and_the_page_shows_is_converted(pushed: Any) -> None:
    shown = asdict(views.Result.of(pushed, TaskInstanceKey("dag", "run", "wait")))

    names = (set(pushed.__struct_fields__) | set(BatchCounts.__struct_fields__)) & shown.keys()
    assert [name for name in sorted(names) if not shown[name]] == []


def test_each_field_of_a_download_is_shown() -> None:
    copies = Copies(files=2, total=3, size=4, failed=1, folder="s3://b", paths=["s3://b/v.mp4"])

    assert asdict(views.Download.of(copies)) == msgspec.to_builtins(copies)


def test_a_download_that_another_dag_made_up_is_not_larger_than_ours() -> None:
    copies = Copies(files=-1, total=10**30, size=10**30, folder="x" * 5000, paths=["y" * 5000] * 5000)

    shown = views.Download.of(copies)

    assert (shown.files, shown.total, shown.size, len(shown.folder or "")) == (0, 10**15, 10**15, 1000)
    assert [len(path) for path in shown.paths] == [1000] * 50


@pytest.mark.parametrize("kind", [views.Result, views.Group, views.BatchRow, views.Download, views.TaskView, Money])
def test_the_types_of_the_ui_name_the_fields_of_the_responses(kind: Any) -> None:
    types = (STATIC / "types.d.ts").read_text("utf-8")
    interface = re.search(rf"interface {kind.__name__} \{{(.*?)^\}}", types, re.DOTALL | re.MULTILINE)

    assert interface is not None
    assert re.findall(r"^  (\w+): ", interface[1], re.MULTILINE) == [field.name for field in fields(kind)]
