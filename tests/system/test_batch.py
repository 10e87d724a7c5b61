"""Batches of SeeAny tasks on real Airflow processes against the simulator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.conftest import FinishedRun

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

IDS = [f"video-{number % 4}s-batch-{number}" for number in range(60)]


@pytest.fixture
def run(run_dag: Callable[[str], FinishedRun]) -> FinishedRun:
    return run_dag("batches")


WAYS = ("xcom_arg", "template", "json")


@pytest.mark.parametrize("task_id", WAYS)
def test_ids_may_come_from_upstream(run: FinishedRun, task_id: str) -> None:
    assert run.task(task_id).state == "success"
    result = run.xcoms(task_id)["return_value"]
    assert isinstance(result, dict)
    assert [row["id"] for row in result.pop("tasks")] == IDS
    assert result == {
        "total": 60,
        "completed": 60,
        "failed": 0,
        "cost": {"CNY": 42},
        "detail": "full",
        "failures": [],
        "partial": 0,
    }
    record = run.record(task_id)
    assert record is not None
    assert (record["batch"], float(record["cost"]["CNY"])) == ({"total": 60, "completed": 60}, 42)


def test_the_log_tells_how_many_are_done_and_what_they_cost(run: FinishedRun) -> None:
    # In one of them: a busy triggerer may close the log of a trigger that has ended before it has written all of it.
    assert any("60 of 60 done, ¥42.00 so far" in run.log(task_id) for task_id in WAYS)


def test_ids_may_come_from_each_instance_of_a_mapped_task(run: FinishedRun) -> None:
    result = run.xcoms("mapped_upstream")["return_value"]
    assert isinstance(result, dict)
    assert [row["id"] for row in result["tasks"]] == [f"video-0s-batch-mapped-{number}" for number in (1, 2, 3)]


def test_a_downstream_task_reads_the_results(run: FinishedRun) -> None:
    urls = run.xcoms("read")["return_value"]
    assert isinstance(urls, list)
    assert len(set(urls)) == 60


def test_an_empty_list_succeeds(run: FinishedRun) -> None:
    assert run.task("empty").state == "success"


def test_a_large_result_is_truncated_and_the_log_says_what_to_do(run: FinishedRun) -> None:
    result = run.xcoms("large")["return_value"]
    assert isinstance(result, dict)
    assert (result["completed"], result["detail"], result["cost"]) == (600, "totals", {"CNY": 420})
    assert "stay available by id" in run.log("large")


FAILED = {
    "failed": (
        "SeeAnyBatchFailed",
        "2 of 3 SeeAny tasks failed",
        "fails-0s-batch-mixed: 生成内容",
        "unknown-batch-mixed: ",
    ),
    "fail_fast": ("SeeAnyBatchFailed", "1 of 2 SeeAny tasks failed", "fails-0s-batch-fast"),
    "timeout": ("SeeAnyTaskTimeout", "1 of 2 SeeAny tasks were not done within 12 s", "never-batch-timeout"),
    "unauthorized": ("SeeAnyAuthError", "HTTP 401", "'seeany_bad_key'"),
    "developer_unauthorized": ("SeeAnyAuthError", "API Key 无效 (1001)", "'seeany_developer_bad_key'"),
    "developer_partial_refused": (
        "SeeAnyBatchFailed",
        "1 of 2 SeeAny tasks failed",
        "partial-2s-batch-refused: some of its files failed, 2 were made",
        "/image-2.jpg",
    ),
    "bad_id": ("SeeAnyTaskIdError", "seeany_task_ids[1]"),
}


@pytest.mark.parametrize("task_id", FAILED)
def test_a_failure_gives_its_reason_and_is_never_retried(run: FinishedRun, task_id: str) -> None:
    assert (run.task(task_id).state, run.task(task_id).try_number) == ("failed", 1)
    log = run.log(task_id)
    for text in FAILED[task_id]:
        assert text in log
    assert set(run.xcoms(task_id)) <= {"batch_result"}


# How it ended, what was completed, what it cost, and what had not ended.
KEPT: dict[str, tuple[str, list[str], float, list[str]]] = {
    "failed": ("failed", ["video-0s-batch-mixed"], 0.7, []),
    "failed_soft": ("failed", ["video-0s-batch-mixed"], 0.7, []),
    "fail_fast_late": ("failed", ["video-0s-batch-late"], 0.7, ["never-batch-late"]),
    "timeout": ("timed_out", ["video-0s-batch-timeout"], 0.7, ["never-batch-timeout"]),
    "timeout_soft": ("timed_out", ["video-0s-batch-soft"], 0.7, ["never-batch-soft"]),
    "failed_large": ("failed", [f"video-0s-batch-kept-{number}" for number in range(600)], 420.0, []),
}


@pytest.mark.parametrize("task_id", KEPT)
def test_a_batch_that_does_not_succeed_keeps_what_was_paid(run: FinishedRun, task_id: str) -> None:
    state, paid, cost, unfinished = KEPT[task_id]
    kept = run.xcoms(task_id)["batch_result"]
    assert isinstance(kept, dict)
    assert ([row["id"] for row in kept["tasks"]] or kept["completed_ids"]) == paid
    assert all(row["video_url"].startswith("http") for row in kept["tasks"])
    assert (kept["completed"], kept["cost"], kept.get("unfinished", [])) == (len(paid), {"CNY": cost}, unfinished)
    assert "return_value" not in run.xcoms(task_id)

    record = run.record(task_id)
    assert record is not None
    assert (record["state"], float(record["cost"]["CNY"]), record["batch"]["completed"]) == (state, cost, len(paid))

    tab = run.tab(task_id)
    assert [row["id"] for row in tab["batch"] if row["state"] == "completed"] == paid
    assert [float(money["amount"]) for money in tab["result"]["cost"]] == [cost]

    log = run.log(task_id)
    assert "in the XCom `batch_result` of this task instance and on its tab SeeAny" in log
    assert f"{len(paid)} {'was' if len(paid) == 1 else 'were'} completed; " in log


def test_the_spend_counts_what_unsuccessful_batches_completed(run: FinishedRun) -> None:
    groups = [group for group in run.summary()["groups"] if group["dag_id"] == "batches"]
    spent = {group["state"]: float(group["cost"][0]["amount"]) for group in groups if group["cost"]}
    assert spent["failed"] == pytest.approx(3 * 0.7 + 420)
    assert spent["timed_out"] == pytest.approx(2 * 0.7)


def test_a_batch_that_pushes_nothing_keeps_nothing(run: FinishedRun) -> None:
    assert run.all_xcoms("failed_silently") == {}
    assert "1 was completed; its result stays available by its id" in run.log("failed_silently")


def test_soft_fail_skips_and_logs_the_reason(run: FinishedRun) -> None:
    assert run.task("failed_soft").state == "skipped"
    assert "Skipped instead of failed: SeeAnyBatchFailed" in run.log("failed_soft")


def test_allowed_failures_are_reported(run: FinishedRun) -> None:
    assert run.task("allowed").state == "success"
    result = run.xcoms("allowed")["return_value"]
    assert isinstance(result, dict)
    assert [row["id"] for row in result["tasks"]] == ["video-0s-batch-mixed"]
    assert [row["id"] for row in result["failures"]] == ["fails-0s-batch-mixed", "unknown-batch-mixed"]


def test_a_batch_in_the_dialect_of_developers_marks_partial_results(run: FinishedRun) -> None:
    assert run.task("developer").state == "success"
    result = run.xcoms("developer")["return_value"]
    assert isinstance(result, dict)
    assert {row["id"].partition("-batch")[0]: row.get("is_partial", False) for row in result["tasks"]} == {
        "images-1s-2x": False,
        "partial-2s-4x": True,
        "video-1s": False,
        "busy-0s": False,
    }
    assert {row["id"].partition("-batch")[0]: row["reason"] for row in result["failures"]}.keys() == {
        "partial-1s-1x",
        "fails-1s",
        "unknown",
    }
    assert (result["partial"], result["cost"]) == (1, {})
    record = run.record("developer")
    assert record is not None
    assert record["batch"] == {"total": 7, "completed": 4, "failed": 3, "partial": 1}
    tab = run.tab("developer")
    assert [(row["results"], row["is_partial"]) for row in tab["batch"]][:2] == [(2, False), (2, True)]


def test_ids_that_are_too_large_for_a_triggers_arguments_are_waited_for_all_the_same(run: FinishedRun) -> None:
    assert run.task("very_large").state == "success"
    assert "400 of 400 done" in run.log("very_large")
    assert run.all_xcoms("very_large") == {}
