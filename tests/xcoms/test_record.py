"""The record of a wait."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyTaskFailed
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator
from airflow_provider_seeany.xcoms import record as record_module
from airflow_provider_seeany.xcoms.record import Copies, Progress, Record
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.supervisor import Supervisor
from tests.waits import KINDS, context, finished, wait

KEY = TaskInstanceKey("dag", "run", "wait")


def completed(**more: Any) -> SeeAnyTask:
    payload = {"id": "vid_1", "status": "completed", "usage": {"cost": 0.7, "cost_unit": "CNY"}, **more}
    return SeeAnyTask.from_payload(payload)


def test_the_cost_is_the_service_s_decimal_number() -> None:
    assert Record.of_task(completed(), conn_id="c").cost == {"CNY": "0.7"}


def test_keys_are_ordered_by_time_and_no_other_key_is_among_them() -> None:
    moments = [0, 1_748_908_920, 1_748_908_921, 1_800_000_000, 4_000_000_000]
    keys = [key_at(moment) for moment in moments]

    assert keys == sorted(keys)
    assert all(FIRST_KEY <= key < LAST_KEY for key in keys)
    assert not FIRST_KEY <= PROGRESS_KEY < LAST_KEY
    assert not FIRST_KEY <= "_seeany_x" < LAST_KEY


def test_it_has_the_time_of_completion() -> None:
    at = int(time.time()) - 3600
    assert Record.of_task(completed(completed_at=at), conn_id="c").at == at


@pytest.mark.parametrize("moment", [0, 4_000_000_000])
def test_an_implausible_time_is_replaced_by_now(moment: int) -> None:
    assert abs(Record.of_task(completed(completed_at=moment), conn_id="c").at - time.time()) < 60


@pytest.mark.parametrize("ahead", [-10 * 365 * 86400, 0, 3590])
def test_a_time_up_to_an_hour_ahead_or_years_ago_is_plausible(ahead: int) -> None:
    at = int(time.time()) + ahead
    assert Record.of_task(completed(completed_at=at), conn_id="c").at == at


@pytest.mark.parametrize("ahead", [-11 * 366 * 86400, 3700, 8 * 3600])
def test_a_time_further_ahead_or_ago_is_replaced_by_now(ahead: int) -> None:
    moment = int(time.time()) + ahead
    assert abs(Record.of_task(completed(completed_at=moment), conn_id="c").at - time.time()) < 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_record_replaces_the_first_whenever_they_are_pushed(
    kind: type[BaseTaskWaitOperator], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payload lacks the time of completion, and midnight is between the two."""
    for day, cost in enumerate((0.7, 0.8)):
        monkeypatch.setattr(record_module.time, "time", lambda now=1_795_000_000.0 + day * 86400: now)
        payload = {"id": "x", "status": "completed", "usage": {"cost": cost, "cost_unit": "CNY"}}
        wait(kind).resume_execution(*finished(payload), context())

    (key,) = [key for key in supervisor.xcoms if FIRST_KEY <= key < LAST_KEY]
    assert supervisor.xcoms[PROGRESS_KEY] == {"record": key}
    assert supervisor.xcoms[key]["cost"] == {"CNY": "0.8"}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "/relative", "https://x/" + "y" * 3000])
def test_what_is_no_web_url_is_left_out(url: str) -> None:
    record = Record.of_task(completed(video_url=url, thumbnail_url=url), conn_id="c")
    assert (record.video_url, record.thumbnail_url) == (None, None)


def test_a_batch_has_the_first_thumbnail_of_its_results() -> None:
    results = ResultCollector(["a", "b", "c"])
    for number, url in enumerate((None, "javascript:alert(1)", "https://cdn.example/thumb.jpg")):
        results.add(number, completed(id="abc"[number], thumbnail_url=url))

    assert Record.of_batch(results.result().as_json(), conn_id="c").thumbnail_url == "https://cdn.example/thumb.jpg"


def test_it_stays_small_whatever_the_payload_holds() -> None:
    long = "x" * 100_000
    images = [{"url": f"https://cdn/{number}.jpg"} for number in range(5000)]
    task = completed(images=images, resolution=long, error={"code": long, "message": long})
    assert len(json.dumps(Record.of_task(task, conn_id="c").xcoms(KEY))) < 8000


@pytest.mark.parametrize(("count", "length", "listed"), [(3, 50, 3), (5000, 50, 20), (20, 1500, 5), (3, 3000, 0)])
def test_the_record_of_a_partial_failure_lists_the_first_files_and_stays_small(
    count: int, length: int, listed: int
) -> None:
    urls = [f"https://cdn/{number:04}".ljust(length, "x") for number in range(count)]
    task = SeeAnyTask.from_payload({"id": "x", "status": "partial_failed", "images": urls})

    record = Record.of_error(SeeAnyTaskFailed(task), conn_id="c", seeany_task_id="x")

    assert (record.state, record.is_partial, record.results) == ("failed", True, count)
    assert record.result_urls == urls[:listed]
    assert len(json.dumps(record.xcoms(KEY))) < 12_000


@pytest.mark.parametrize(("count", "length", "listed"), [(3, 50, 3), (5000, 60, 50), (50, 900, 8), (1, 9000, 1)])
def test_of_a_download_the_first_copies_are_listed_and_it_is_no_record(count: int, length: int, listed: int) -> None:
    paths = [f"s3://bucket/{number:04}/".ljust(length, "x") for number in range(count)]
    failures = [Failure("x", "too large"), Failure("y", "HTTP 404")]
    copies = Copies.of(paths, size=7, failures=failures, folder="s3://bucket")

    xcoms = Progress.of_copies(copies, conn_id="c").xcoms(KEY)

    assert list(xcoms) == [PROGRESS_KEY]
    shown = xcoms[PROGRESS_KEY]["copies"]
    assert (shown["files"], shown["size"], shown["failed"], shown["folder"]) == (count, 7, 2, "s3://bucket")
    assert [path[:16] for path in shown["paths"]] == [path[:16] for path in paths[:listed]]
    assert len(json.dumps(xcoms)) < 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_of_a_failure_has_the_service_s_message(
    kind: type[BaseTaskWaitOperator], supervisor: Supervisor
) -> None:
    operator, given = wait(kind), context()
    payload = {"id": "x", "status": "failed", "error": {"code": "content_policy_violation", "message": "违规"}}
    method, kwargs = finished(payload)

    with pytest.raises(Exception, match="违规"):
        operator.resume_execution(method, kwargs, given)
    xcoms = supervisor.xcoms
    record = xcoms[xcoms[PROGRESS_KEY]["record"]]
    assert (record["state"], record["error_code"], record["error_message"]) == (
        "failed",
        "content_policy_violation",
        "违规",
    )
    assert given["ti"].pushed == {}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_pushed_where_do_xcom_push_is_off(kind: type[BaseTaskWaitOperator], supervisor: Supervisor) -> None:
    operator, given = wait(kind, do_xcom_push=False), context()
    operator.resume_execution(*finished({"id": "x", "status": "completed"}), given)
    assert supervisor.xcoms == {}


def test_a_record_that_cannot_be_pushed_does_not_cost_the_result(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, given = wait(KINDS[0]), context()

    def refuse(message: Any) -> None:
        raise OSError("the api-server is away")

    monkeypatch.setattr(supervisor, "send", refuse)
    assert operator.resume_execution(*finished({"id": "x", "status": "completed"}), given)["id"] == "x"
