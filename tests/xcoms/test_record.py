"""What a wait keeps of itself for the UI."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator
from airflow_provider_seeany.xcoms import record as record_module
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY, key_at
from tests.supervisor import Supervisor
from tests.waits import KINDS, context, finished, wait

PLACE = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "map_index": -1}


def completed(**more: Any) -> SeeAnyTask:
    answer = {"id": "vid_1", "status": "completed", "usage": {"cost": 0.7, "cost_unit": "CNY"}, **more}
    return SeeAnyTask.from_payload(answer)


def test_the_cost_is_what_the_service_wrote_and_no_sum_of_halves() -> None:
    assert Record.of_task(completed(), conn_id="c").cost == {"CNY": "0.7"}


def test_keys_are_in_the_order_of_time_and_nothing_else_is_among_them() -> None:
    moments = [0, 1_748_908_920, 1_748_908_921, 1_800_000_000, 4_000_000_000]
    keys = [key_at(moment) for moment in moments]

    assert keys == sorted(keys)
    assert all(FIRST_KEY <= key < LAST_KEY for key in keys)
    assert not FIRST_KEY <= PROGRESS_KEY < LAST_KEY
    assert not FIRST_KEY <= "_seeany_x" < LAST_KEY


def test_it_is_of_the_moment_of_completion() -> None:
    at = int(time.time()) - 3600
    assert Record.of_task(completed(completed_at=at), conn_id="c").at == at


@pytest.mark.parametrize("moment", [0, 4_000_000_000])
def test_a_moment_that_cannot_be_true_is_now(moment: int) -> None:
    assert abs(Record.of_task(completed(completed_at=moment), conn_id="c").at - time.time()) < 60


@pytest.mark.parametrize("ahead", [-10 * 365 * 86400, 0, 3590])
def test_a_clock_that_is_up_to_an_hour_ahead_is_believed_and_so_is_a_task_of_years_ago(ahead: int) -> None:
    at = int(time.time()) + ahead
    assert Record.of_task(completed(completed_at=at), conn_id="c").at == at


@pytest.mark.parametrize("ahead", [-11 * 366 * 86400, 3700, 8 * 3600])
def test_a_moment_that_is_further_away_is_now(ahead: int) -> None:
    moment = int(time.time()) + ahead
    assert abs(Record.of_task(completed(completed_at=moment), conn_id="c").at - time.time()) < 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_record_takes_the_place_of_the_first_whenever_they_are_pushed(
    kind: type[BaseTaskWaitOperator], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer does not say when the task was completed, and midnight lies between the two."""
    for day, cost in enumerate((0.7, 0.8)):
        monkeypatch.setattr(record_module.time, "time", lambda now=1_795_000_000.0 + day * 86400: now)
        answer = {"id": "x", "status": "completed", "usage": {"cost": cost, "cost_unit": "CNY"}}
        wait(kind).resume_execution(*finished(answer), context())

    (key,) = [key for key in supervisor.xcoms if FIRST_KEY <= key < LAST_KEY]
    assert supervisor.xcoms[PROGRESS_KEY] == {"record": key}
    assert supervisor.xcoms[key]["cost"] == {"CNY": "0.8"}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "/relative", "https://x/" + "y" * 3000])
def test_what_is_no_web_address_is_not_kept(url: str) -> None:
    record = Record.of_task(completed(video_url=url, thumbnail_url=url), conn_id="c")
    assert (record.video_url, record.thumbnail_url) == (None, None)


def test_it_stays_small_whatever_the_answer_holds() -> None:
    long = "x" * 100_000
    images = [{"url": f"https://cdn/{number}.jpg"} for number in range(5000)]
    task = completed(images=images, resolution=long, error={"code": long, "message": long})
    assert len(json.dumps(Record.of_task(task, conn_id="c").xcoms(PLACE))) < 8000


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_is_on_record_with_the_services_own_words(
    kind: type[BaseTaskWaitOperator], supervisor: Supervisor
) -> None:
    waiting, seen = wait(kind), context()
    answer = {"id": "x", "status": "failed", "error": {"code": "content_policy_violation", "message": "违规"}}
    method, kwargs = finished(answer)

    with pytest.raises(Exception, match="违规"):
        waiting.resume_execution(method, kwargs, seen)
    kept = supervisor.xcoms
    record = kept[kept[PROGRESS_KEY]["record"]]
    assert (record["state"], record["error_code"], record["error_message"]) == (
        "failed",
        "content_policy_violation",
        "违规",
    )
    assert seen["ti"].pushed == {}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_where_xcoms_are_off(kind: type[BaseTaskWaitOperator], supervisor: Supervisor) -> None:
    waiting, seen = wait(kind, do_xcom_push=False), context()
    waiting.resume_execution(*finished({"id": "x", "status": "completed"}), seen)
    assert supervisor.xcoms == {}


def test_a_record_that_cannot_be_pushed_costs_nobody_the_result(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, seen = wait(KINDS[0]), context()

    def refuse(message: Any) -> None:
        raise OSError("the api-server is away")

    monkeypatch.setattr(supervisor, "send", refuse)
    assert waiting.resume_execution(*finished({"id": "x", "status": "completed"}), seen)["id"] == "x"
