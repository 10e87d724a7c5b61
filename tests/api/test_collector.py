"""The result of a batch: as many details as fit."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from airflow_provider_seeany.api.batch_result import (
    MAX_RESULT_BYTES,
)
from airflow_provider_seeany.api.collector import ResultCollector
from tests.api.tasks import completed, partial, task_with


@pytest.mark.parametrize(("count", "detail"), [(100, "full"), (300, "table"), (5000, "totals")])
def test_a_result_holds_as_much_as_fits(count: int, detail: str) -> None:
    ids = [f"vid_{number:06}" for number in range(count)]
    results = ResultCollector(ids)
    for index in random.Random(7).sample(range(count), count):
        results.add(index, completed(ids[index]))

    result = results.result()

    assert (result.detail, result.completed, result.cost) == (detail, count, {"CNY": pytest.approx(count * 0.7)})
    assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES
    assert [task["id"] for task in result.tasks] == (ids if detail != "totals" else [])
    if detail == "table":
        assert result.tasks[0] == {
            "id": ids[0],
            "video_url": f"https://cdn.seeany.com/video/{ids[0]}/output.mp4",
            "cost": 0.7,
            "cost_unit": "CNY",
        }


def test_many_currencies_leave_less_room_for_responses() -> None:
    details = set()
    for count in range(140, 220, 2):
        ids = [f"vid_{number:06}" for number in range(count)]
        results = ResultCollector(ids)
        for index, task_id in enumerate(ids):
            results.add(index, completed(task_id, unit=f"currency {index:011}"))

        result = results.result()

        assert len(result.cost) == count
        assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES
        details.add(result.detail)
    assert details == {"full", "table"}


def test_the_table_names_the_first_result_of_what_is_no_video() -> None:
    ids = [f"set_{number:06}" for number in range(150)]
    results = ResultCollector(ids)
    for index, task_id in enumerate(ids):
        images = [{"url": f"https://cdn.seeany.com/{task_id}/{number}.jpg"} for number in range(9)]
        results.add(index, task_with(task_id, "completed", images=images))

    result = results.result()

    assert result.detail == "table"
    assert result.tasks[0] == {"id": ids[0], "result_url": "https://cdn.seeany.com/set_000000/0.jpg"}


def test_ten_thousand_failures_with_long_reasons_are_truncated_to_what_fits() -> None:
    ids = [f"vid_{number:06}" for number in range(10_000)]
    results = ResultCollector(ids)
    for index in range(10_000):
        results.fail(index, "违反" * 1000)

    result = results.result()

    assert result.failed == 10_000
    assert 10 < len(result.failures) < 10_000
    assert [failure.id for failure in result.failures] == ids[: len(result.failures)]
    assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES


def test_the_table_says_which_results_are_partial() -> None:
    ids = [f"set_{number:06}" for number in range(150)]
    results = ResultCollector(ids)
    for index, task_id in enumerate(ids):
        results.add(
            index, partial(task_id, files=9) if index % 2 else task_with(task_id, "completed", url="https://h/1")
        )

    result = results.result()

    assert (result.detail, result.partial) == ("table", 75)
    assert [task.get("is_partial") for task in result.tasks] == [None, True] * 75


@pytest.mark.parametrize(("count", "length", "with_files"), [(1, 1, 1), (40, 1, 40), (40, 2000, 7), (600, 1, 0)])
def test_partial_failures_list_their_files_as_far_as_there_is_room_and_never_instead_of_a_failure(
    count: int, length: int, with_files: int
) -> None:
    ids = [f"set_{number:06}" for number in range(count + 1)]
    results, bare = ResultCollector(ids), ResultCollector(ids)
    for collector in (results, bare):
        collector.add(0, completed(ids[0]))
    for index in range(1, count + 1):
        task = partial(f"{ids[index]}{'x' * length}", files=3)
        results.add_failed(index, task)
        bare.fail(index, task.failure_reason)

    result = results.result()

    assert len(json.dumps(result.as_json())) <= MAX_RESULT_BYTES
    assert [failure.id for failure in result.failures] == [failure.id for failure in bare.result().failures]
    assert sum(bool(failure.result_urls) for failure in result.failures) == with_files


def mixed(*, completed_count: int, failed_count: int, unfinished_count: int) -> ResultCollector:
    """Return results of ids as long as real ones, with long reasons."""
    ids = [f"vid_{number:016}" for number in range(completed_count + failed_count + unfinished_count)]
    results = ResultCollector(ids)
    for index in range(completed_count):
        results.add(index, completed(ids[index]))
    for index in range(completed_count, completed_count + failed_count):
        results.fail(index, "违反" * 1000)
    return results


@pytest.mark.parametrize(
    ("completed_count", "failed_count", "unfinished_count"),
    [(20, 30, 0), (200, 9800, 0), (200, 0, 9800), (1500, 40, 8460), (1500, 8500, 0), (1900, 0, 8100)],
)
def test_failures_and_what_is_unfinished_leave_room_for_the_ids_of_all_that_was_paid(
    completed_count: int, failed_count: int, unfinished_count: int
) -> None:
    results = mixed(completed_count=completed_count, failed_count=failed_count, unfinished_count=unfinished_count)

    result = results.result()

    listed = [task["id"] for task in result.tasks] or result.completed_ids
    assert listed == [f"vid_{number:016}" for number in range(completed_count)]
    assert len(result.failures) >= min(failed_count, 8)
    assert len(json.dumps(msgspec.to_builtins(result))) <= MAX_RESULT_BYTES
    if completed_count <= 200:
        assert all(task["video_url"] and task.get("cost", 0.7) == 0.7 for task in result.tasks)


def test_ids_that_are_too_many_to_list_are_what_the_others_leave() -> None:
    result = mixed(completed_count=9800, failed_count=20, unfinished_count=180).result()

    assert (result.tasks, result.completed_ids) == ([], [])
    assert (len(result.failures), len(result.unfinished)) == (20, 180)


def test_a_success_lists_nothing_that_it_does_not_need() -> None:
    results = mixed(completed_count=3, failed_count=0, unfinished_count=0)
    names = ["total", "completed", "failed", "cost", "detail", "tasks", "failures", "partial"]
    assert list(results.result().as_json()) == names
