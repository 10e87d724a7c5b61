"""Every way to wait with its outcomes, on real Airflow processes against the simulator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local_airflow import LocalAirflow
from tests.system.conftest import FinishedRun, started_run
from tests.system.table import CELLS, MODES, SEEANY_IDS, SOFT_FAIL, cell

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

RunDag = Callable[[str], FinishedRun]

# What the log of a failed wait must hold, besides the SeeAny task's id.
LOGGED = {
    "failed": ("SeeAnyTaskFailed", "content_policy_violation", "生成内容违反内容安全策略"),
    "timeout": ("SeeAnyTaskTimeout", "not done within 12 s", "last seen: processing"),
    "not_found": ("SeeAnyTaskNotFound", "HTTP 404", "task_not_found", "'seeany_default'"),
    "unauthorized": ("SeeAnyAuthError", "HTTP 401", "invalid_api_key", "'seeany_bad_key'"),
}
# What the UI's record of it must hold.
KEPT = {
    "failed": "content_policy_violation",
    "timeout": "not done within 12 s",
    "not_found": "task_not_found",
    "unauthorized": "invalid_api_key",
}
FAILURES = [(mode, outcome) for mode, outcome, soft_fail in CELLS if outcome in LOGGED and not soft_fail]


@pytest.mark.parametrize("mode", MODES)
def test_a_completed_task_succeeds_with_the_same_xcoms_and_links_in_every_mode(run_dag: RunDag, mode: str) -> None:
    run = run_dag(f"outcomes_{mode}")
    task_id = cell("completed")

    assert run.task(task_id).state == "success"
    xcoms = run.xcoms(task_id)
    seeany_task_id = SEEANY_IDS["completed"].format(label=f"{mode}-{task_id}")
    result = xcoms.pop("return_value")
    assert result["id"] == seeany_task_id
    assert result["usage"] == {"cost": 0.7, "cost_unit": "CNY"}
    assert result["completed_at"] == xcoms["completed_at"]
    assert xcoms.pop("completed_at").endswith("Z")
    video, thumbnail = result["video_url"], result["thumbnail_url"]
    assert xcoms == {
        "video_url": video,
        "thumbnail_url": thumbnail,
        "cost": 0.7,
        "cost_unit": "CNY",
        "duration": 5,
        "resolution": "720p",
        "result_urls": [video],
        "is_partial": False,
    }
    assert run.links(task_id) == {"Watch video": video, "Thumbnail": thumbnail, "First file": None}
    record = run.record(task_id)
    assert record is not None
    assert (record["state"], record["cost"], record["video_url"]) == ("completed", {"CNY": "0.7"}, video)
    assert f"SeeAny task {seeany_task_id} completed: {video}, cost 0.7 CNY" in run.log(task_id)


@pytest.mark.parametrize("mode", MODES)
def test_a_downstream_task_reads_the_video_url(run_dag: RunDag, mode: str) -> None:
    run = run_dag(f"outcomes_{mode}")
    video = run.xcoms(cell("completed"))["video_url"]

    assert run.xcoms("read")["return_value"] == ([video] if mode == "mapped" else video)


@pytest.mark.parametrize(("mode", "outcome"), FAILURES)
def test_a_failure_gives_its_reason_and_is_never_retried(run_dag: RunDag, mode: str, outcome: str) -> None:
    run = run_dag(f"outcomes_{mode}")
    task_id = cell(outcome)

    assert (run.task(task_id).state, run.task(task_id).try_number) == ("failed", 1)
    log = run.log(task_id)
    for text in (*LOGGED[outcome], SEEANY_IDS[outcome].format(label=f"{mode}-{task_id}")):
        assert text in log
    assert run.xcoms(task_id) == {}
    assert run.links(task_id) == {"Watch video": None, "Thumbnail": None, "First file": None}
    record = run.record(task_id)
    assert record is not None
    assert record["state"] == ("timed_out" if outcome == "timeout" else "failed")
    assert KEPT[outcome] in str(record)


@pytest.mark.parametrize(("mode", "outcome"), SOFT_FAIL)
def test_soft_fail_skips_and_logs_the_reason(run_dag: RunDag, mode: str, outcome: str) -> None:
    run = run_dag(f"outcomes_{mode}")
    task = run.task(cell(outcome, soft_fail=True))

    assert (task.state, task.try_number) == ("skipped", 1)
    log = run.log(task.task_id, task.map_index)
    for text in LOGGED[outcome]:
        assert text in log


@pytest.mark.parametrize("mode", ["deferred", "mapped", "operator"])
def test_progress_is_in_the_log_where_the_trigger_waits(run_dag: RunDag, mode: str) -> None:
    log = run_dag(f"outcomes_{mode}").log(cell("timeout"))

    assert "Pausing task as DEFERRED" in log
    assert " %, about " in log


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
    assert f"publishing {video}, which cost 0.7 CNY" in run.log("publish")


def test_example_many_videos_adds_up_what_they_cost(run_dag: RunDag) -> None:
    assert run_dag("seeany_many_videos").xcoms("summarise")["return_value"] == {"CNY": "2.2"}


def test_example_publish_videos_reads_url_and_cost_from_the_event_that_started_it(
    airflow: LocalAirflow, run_dag: RunDag
) -> None:
    video = run_dag("seeany_make_video").xcoms("wait")["video_url"]
    started = started_run(airflow, "seeany_publish_videos")

    assert started.xcoms("publish")["return_value"] == [video]
    assert f"publishing {video}, which cost 0.7 CNY" in started.log("publish")


def test_example_handle_failure_continues_without_the_video(run_dag: RunDag) -> None:
    run = run_dag("seeany_handle_failure")

    assert run.task("wait").state == "failed"
    assert run.task("publish").state == "upstream_failed"
    assert run.xcoms("use_fallback")["return_value"] == "a stock picture instead of fails-10s"
