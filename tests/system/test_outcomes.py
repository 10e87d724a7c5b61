"""Every way to wait with its outcomes, on real Airflow processes against the simulator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_airflow import LocalAirflow
from tests.system.conftest import FinishedRun, started_run
from tests.system.table import CELLS, MODES, Cell

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

RunDag = Callable[[str], FinishedRun]

# What the log of a failed wait must hold, besides the SeeAny task's id, and what the UI's record of it must.
LOGGED = {
    ("v1", "failed"): ("SeeAnyTaskFailed", "content_policy_violation", "生成内容违反内容安全策略"),
    ("v1", "timeout"): ("SeeAnyTaskTimeout", "not done within 20 s", "last seen: processing"),
    ("v1", "not_found"): ("SeeAnyTaskNotFound", "HTTP 404", "task_not_found", "'seeany_default'"),
    ("v1", "unauthorized"): ("SeeAnyAuthError", "HTTP 401", "invalid_api_key", "'seeany_bad_key'"),
    ("developer", "failed"): ("SeeAnyTaskFailed", "生成内容违反内容安全策略"),
    ("developer", "partial_refused"): ("SeeAnyTaskFailed", "4 张中成功 2 张", "accept_partial is off", "/image-2.jpg"),
    ("developer", "timeout"): ("SeeAnyTaskTimeout", "not done within 20 s", "last seen: running"),
    ("developer", "not_found"): ("SeeAnyTaskNotFound", "任务不存在 (1002)", "'seeany_developer'"),
    ("developer", "unauthorized"): ("SeeAnyAuthError", "API Key 无效 (1001)", "'seeany_developer_bad_key'"),
}
KEPT = {
    ("v1", "failed"): "content_policy_violation",
    ("v1", "not_found"): "task_not_found",
    ("v1", "unauthorized"): "invalid_api_key",
    ("developer", "failed"): "生成内容违反内容安全策略",
    ("developer", "partial_refused"): "/image-2.jpg",
    ("developer", "not_found"): "任务不存在",
    ("developer", "unauthorized"): "API Key 无效",
}
NO_LINKS = {"Watch video": None, "First file": None}


def cells(*outcomes: str, dialect: str | None = None, soft_fail: bool = False) -> pytest.MarkDecorator:
    """Run a test for each cell with one of these outcomes."""
    return pytest.mark.parametrize(
        "cell",
        [
            cell
            for cell in CELLS
            if cell.outcome in outcomes and cell.soft_fail == soft_fail and dialect in (None, cell.dialect)
        ],
        ids=str,
    )


@cells("completed", dialect="v1")
def test_a_completed_task_succeeds_with_the_same_xcoms_and_links_in_every_mode(run_dag: RunDag, cell: Cell) -> None:
    run = run_dag(cell.dag_id)

    assert run.task(cell.task_id).state == "success"
    xcoms = run.xcoms(cell.task_id)
    result = xcoms.pop("return_value")
    assert result["id"] == cell.seeany_task_id
    assert result["usage"] == {"cost": 0.7, "cost_unit": "CNY"}
    assert result["completed_at"].endswith("Z")
    video = result["video_url"]
    assert xcoms == {"video_url": video, "cost": 0.7}
    assert run.links(cell.task_id) == {"Watch video": video, "First file": None}
    record = run.record(cell.task_id)
    assert record is not None
    assert (record["state"], record["cost"], record["video_url"]) == ("completed", {"CNY": "0.7"}, video)
    assert f"SeeAny task {cell.seeany_task_id} completed: {video}, cost ¥0.70" in run.log(cell.task_id)


@cells("completed", "partial", dialect="developer")
def test_an_image_set_succeeds_with_the_same_xcoms_and_links_in_every_mode(run_dag: RunDag, cell: Cell) -> None:
    run = run_dag(cell.dag_id)
    is_partial = cell.outcome == "partial"

    assert run.task(cell.task_id).state == "success"
    xcoms = run.xcoms(cell.task_id)
    result = xcoms.pop("return_value")
    assert (result["id"], result.get("is_partial", False)) == (cell.seeany_task_id, is_partial)
    images = result["assets"][0]["images"]
    assert [(image["width"], image["height"]) for image in images] == [(640, 640)] * 2
    urls = [image["url"] for image in images]
    assert xcoms == {"result_urls": urls}
    assert run.links(cell.task_id) == {**NO_LINKS, "First file": urls[0]}
    record = run.record(cell.task_id)
    assert record is not None
    assert (record["state"], record["results"], record.get("is_partial", False)) == ("completed", 2, is_partial)
    how = "has a partial result (some of its files failed" if is_partial else f"completed: {', '.join(urls)}"
    assert f"SeeAny task {cell.seeany_task_id} {how}" in run.log(cell.task_id)


@pytest.mark.parametrize("mode", MODES)
def test_a_downstream_task_reads_the_video_url(run_dag: RunDag, mode: str) -> None:
    run = run_dag(f"outcomes_{mode}")
    video = run.xcoms(Cell("v1", mode, "completed").task_id)["video_url"]

    assert run.xcoms("read")["return_value"] == ([video] if mode == "mapped" else video)


@cells("failed", "partial_refused", "timeout", "not_found", "unauthorized")
def test_a_failure_gives_its_reason_and_is_never_retried(run_dag: RunDag, cell: Cell) -> None:
    run = run_dag(cell.dag_id)

    assert (run.task(cell.task_id).state, run.task(cell.task_id).try_number) == ("failed", 1)
    log = run.log(cell.task_id)
    for text in (*LOGGED[cell.dialect, cell.outcome], cell.seeany_task_id):
        assert text in log
    assert run.xcoms(cell.task_id) == {}
    assert run.links(cell.task_id) == NO_LINKS
    record = run.record(cell.task_id)
    assert record is not None
    assert record["state"] == ("timed_out" if cell.outcome == "timeout" else "failed")
    assert KEPT.get((cell.dialect, cell.outcome), "not done within 20 s") in str(record)


@cells("failed", "timeout", "not_found", "unauthorized", soft_fail=True)
def test_soft_fail_skips_and_logs_the_reason(run_dag: RunDag, cell: Cell) -> None:
    run = run_dag(cell.dag_id)
    task = run.task(cell.task_id)

    assert (task.state, task.try_number) == ("skipped", 1)
    log = run.log(task.task_id, task.map_index)
    for text in LOGGED[cell.dialect, cell.outcome]:
        assert text in log


@pytest.mark.parametrize(
    ("cell", "progress"),
    [
        (Cell("v1", "deferred", "timeout"), r" \d+ %, about "),
        (Cell("developer", "deferred", "timeout"), r": running \d+ %\s"),
        (Cell("developer", "operator", "timeout"), r": running \d+ %\s"),
    ],
    ids=str,
)
def test_progress_is_in_the_log_where_the_trigger_waits(run_dag: RunDag, cell: Cell, progress: str) -> None:
    log = run_dag(cell.dag_id).log(cell.task_id)

    assert "Pausing task as DEFERRED" in log
    assert re.search(progress, log.partition("Pausing task as DEFERRED")[2])


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_pushed_when_xcoms_are_off(run_dag: RunDag, mode: str) -> None:
    run = run_dag("xcoms_off")

    assert run.task(mode).state == "success"
    assert run.xcoms(mode) == {}
    assert run.record(mode) is None


@pytest.mark.parametrize("task_id", ["xcom_arg", "template"])
def test_the_id_may_come_from_an_upstream_task(run_dag: RunDag, task_id: str) -> None:
    assert run_dag("ids_from_upstream").xcoms(task_id)["return_value"]["id"] == "video-0s-submitted"


@pytest.mark.parametrize(
    ("task_id", "text"),
    [
        ("missing", "seeany_task_id is 'None', so there is nothing to wait for"),
        ("whole_answer", "Let that task return the id alone, or pick it"),
        ("connection_failed", "The Airflow connection 'seeany_missing' was not found"),
        ("no_key", "The Airflow connection 'seeany_no_key' cannot be used: it has no API key"),
        ("not_waiting", "SeeAny task never-not-waiting is not done yet: processing"),
    ],
)
def test_a_mistake_is_named(run_dag: RunDag, task_id: str, text: str) -> None:
    run = run_dag("ids_from_upstream")

    assert (run.task(task_id).state, run.task(task_id).try_number) == ("failed", 1)
    assert text in run.log(task_id)


def test_example_one_video_hands_url_and_cost_to_the_next_task(run_dag: RunDag) -> None:
    run = run_dag("seeany_one_video")

    video = run.xcoms("result")["video_url"]
    assert run.xcoms("publish")["return_value"] == video
    assert f"publishing {video}, which cost 0.7" in run.log("publish")


def test_example_many_videos_adds_up_what_they_cost(run_dag: RunDag) -> None:
    assert run_dag("seeany_many_videos").xcoms("summarise")["return_value"] == {"CNY": "2.2"}


def test_example_publish_videos_reads_url_and_cost_from_the_event_that_started_it(
    airflow: LocalAirflow, run_dag: RunDag
) -> None:
    video = run_dag("seeany_make_video").xcoms("wait")["video_url"]
    started = started_run(airflow, "seeany_publish_videos")

    assert started.xcoms("publish")["return_value"] == [video]
    assert f"publishing {video}, which cost 0.7" in started.log("publish")


def test_example_keep_images_creates_waits_copies_and_publishes_the_copies(
    airflow: LocalAirflow, run_dag: RunDag, copies: Path
) -> None:
    run = run_dag("seeany_keep_images")

    wait = airflow.client.request("GET", f"/dags/seeany_keep_images/dagRuns/{run.run.run_id}/taskInstances/wait")
    assert wait["rendered_fields"]["expected_duration"] == str(run.xcoms("submit")["wait_time"])

    seeany_task_id = run.xcoms("submit")["return_value"]
    paths = run.xcoms("publish")["return_value"]
    assert paths == [(copies / str(seeany_task_id) / f"image-{number:03}.jpg").as_uri() for number in (1, 2)]
    for path in paths:
        copied = Path(urlsplit(path).path)
        assert f"publishing {path}, {copied.stat().st_size} bytes" in run.log("publish")
        assert copied.read_bytes()[:3] == b"\xff\xd8\xff"


def test_example_keep_batch_copies_what_was_completed_and_names_what_failed(run_dag: RunDag, copies: Path) -> None:
    run = run_dag("seeany_keep_batch")

    files = {path.relative_to(copies).as_posix() for path in copies.glob("*-batch-*/*") if path.name != "seeany.json"}
    sets = {f"images-5s-2x-batch-b/image-{number:03}.jpg" for number in (1, 2)}
    assert files == {"video-5s-batch-a/video.mp4", *sets}
    log = run.log("report")
    for line in ("video-5s-batch-a cost 0.7 CNY", "images-5s-2x-batch-b cost 0.4 CNY", "fails-5s-batch-c failed: 生成"):
        assert line in log
    assert run.xcoms("report")["return_value"] == {"CNY": 1.1}


def test_example_within_budget_creates_what_it_has_money_for_and_skips_the_rest(run_dag: RunDag) -> None:
    run = run_dag("seeany_within_budget")

    states = Counter(task.state for (task_id, _), task in run.tasks.items() if task_id == "images")
    assert states == {"success": 2, "skipped": 1}
    assert len(set(run.xcoms("publish")["return_value"])) == 4


def test_example_handle_failure_continues_without_the_video(run_dag: RunDag) -> None:
    run = run_dag("seeany_handle_failure")

    assert run.task("wait").state == "failed"
    assert run.task("publish").state == "upstream_failed"
    assert run.xcoms("use_fallback")["return_value"] == "a stock picture instead of fails-10s"
