"""The payload of a task as the value that a DAG works with."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pendulum
import pytest

from airflow_provider_seeany.api import quantities
from airflow_provider_seeany.api.collector import task_row
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.hostile import COMPLETED, FAILED, IMAGES, PARTIAL, PROCESSING, VIDEO
from tests.waits import COMPLETED_FIELDS


def completed(**fields: object) -> SeeAnyTask:
    """Return a completed task with these fields."""
    return SeeAnyTask.from_payload({"id": "x", "status": "completed", **fields})


def test_a_running_task_has_its_progress() -> None:
    task = SeeAnyTask.from_payload(PROCESSING)

    assert (task.id, task.object, task.status) == (VIDEO, "video_generation", "processing")
    assert (task.progress, task.estimated_remaining) == (65, 42)
    assert (task.is_running, task.is_completed, task.is_failed) == (True, False, False)
    assert (task.video_url, task.usage.cost, task.error.message, task.completed_at) == (None, None, None, None)


def test_a_completed_task_has_its_video_and_its_cost() -> None:
    task = SeeAnyTask.from_payload(COMPLETED)

    assert (task.is_running, task.is_completed, task.is_failed) == (False, True, False)
    assert task.video_url == "https://cdn.seeany.com/video/vid_001/output.mp4"
    assert task.thumbnail_url == "https://cdn.seeany.com/video/vid_001/thumb.jpg"
    assert (task.duration, task.resolution) == (5, "720p")
    assert (task.usage.cost, task.usage.cost_unit) == (0.70, "CNY")
    assert task.result_urls == (task.video_url,)


def test_a_failed_task_has_its_reason_in_the_services_own_words() -> None:
    task = SeeAnyTask.from_payload(FAILED)

    assert (task.is_running, task.is_completed, task.is_failed) == (False, False, True)
    assert (task.error.code, task.error.message) == ("content_policy_violation", "生成内容违反内容安全策略")


COMPLETED_WORDS = [
    "completed",
    "Completed",
    "COMPLETED",
    " completed\n",
    "ｃｏｍｐｌｅｔｅｄ",
    "completed\u200b",
    "succeeded",
    "SUCCESS",
]
FAILED_WORDS = ["failed", "FAILED", "failed ", "error", "cancelled", "Canceled", "expired", "\trejected"]


@pytest.mark.parametrize("word", COMPLETED_WORDS, ids=ascii)
def test_a_completed_task_is_known_by_any_word_for_that_whatever_its_case_and_space(word: str) -> None:
    task = SeeAnyTask.from_payload({**COMPLETED, "status": word})

    assert (task.is_running, task.is_completed, task.is_failed) == (False, True, False)
    assert task.result_urls == (COMPLETED["video_url"],)
    assert task.as_json()["status"] == task.status == word


@pytest.mark.parametrize("word", FAILED_WORDS)
def test_a_failed_task_is_known_by_any_word_for_that_whatever_its_case_and_space(word: str) -> None:
    task = SeeAnyTask.from_payload({**FAILED, "status": word})

    assert (task.is_running, task.is_completed, task.is_failed) == (False, False, True)


@pytest.mark.parametrize("word", ["PROCESSING", "processing ", " Processing"])
def test_a_running_task_is_known_whatever_the_case_and_space_of_its_word(word: str) -> None:
    task = SeeAnyTask.from_payload({**PROCESSING, "status": word})

    assert task.is_running
    assert task.has_known_status


@pytest.mark.parametrize("word", ["partial_failed", "PARTIAL_FAILED", "partial-failed", "partial failed"])
def test_an_end_with_some_results_counts_as_completed_only_if_there_is_one(word: str) -> None:
    assert SeeAnyTask.from_payload({"id": "x", "status": word, "images": [{"url": "https://h/1"}]}).is_completed
    nothing = SeeAnyTask.from_payload({"id": "x", "status": word, "source_url": "https://h/i"})
    assert nothing.is_failed
    assert nothing.failure_reason == f"its status is {word}"
    asked_for = {"input_image_url": "https://h/i", "callback_url": "https://h/cb"}
    assert SeeAnyTask.from_payload({"id": "x", "status": word, **asked_for}).is_failed


@pytest.mark.parametrize(
    ("fields", "partial", "successes"),
    [
        ({"status": "partial_failed", "images": [{"url": "https://h/1"}]}, True, (True, False)),
        ({"status": "partial_failed"}, False, (False, False)),
        ({"status": "completed", "video_url": "https://h/1"}, False, (True, True)),
        ({"status": "failed", "images": [{"url": "https://h/1"}]}, False, (False, False)),
        ({"status": "processing", "images": [{"url": "https://h/1"}]}, False, (False, False)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_partial_result_is_marked_and_a_success_only_where_it_is_accepted(
    fields: dict[str, Any], partial: bool, successes: tuple[bool, bool]
) -> None:
    task = SeeAnyTask.from_payload({"id": "x", **fields})

    assert task.is_partial == partial
    assert task.as_json() == {"id": "x", **fields, **({"is_partial": True} if partial else {})}
    assert task.result_fields()["is_partial"] == partial
    assert tuple(task.is_success(accept_partial=accept) for accept in (True, False)) == successes


@pytest.mark.parametrize("fields", [{"error": {"message": "不足"}}, {"error_message": "不足"}], ids=str)
def test_a_partial_result_says_why_the_rest_failed_and_how_many_files_were_made(fields: dict[str, Any]) -> None:
    images = [{"url": f"https://h/{number}.jpg"} for number in range(3)]

    task = SeeAnyTask.from_payload({"id": "x", "status": "partial_failed", "images": images, **fields})

    assert task.error.message == "不足"
    assert task.failure_reason == "some of its files failed, 3 were made: 不足"
    assert len(task.result_urls) == 3


def test_a_partial_video_is_found_beside_its_error() -> None:
    fields = {"object": "video_generation", "outputs": [{"url": "https://h/v.mp4"}], "error_message": "不足"}

    task = SeeAnyTask.from_payload({"id": "x", "status": "partial_failed", **fields})

    assert (task.video_url, task.error.message) == ("https://h/v.mp4", "不足")


REASONS: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"error": "content policy"}, "content policy"),
    "a list of texts": ({"error": ["content policy"]}, "content policy"),
    "a list of objects": ({"error": [{"code": "c", "message": "no"}]}, "no (c)"),
    "a number": ({"error": 40301}, "without a reason (40301)"),
    "msg": ({"error": {"msg": "no"}}, "no"),
    "reason": ({"error": {"reason": "no", "code": "c"}}, "no (c)"),
    "detail": ({"error": {"detail": "no"}}, "no"),
    "a message in a list": ({"error": {"message": ["no"]}}, "no"),
    "a message in an object": ({"error": {"message": {"text": "no"}}}, "no"),
    "an error in an error": ({"error": {"error": {"code": "c", "message": "no"}}}, "no (c)"),
    "a code with a point": ({"error": {"code": 4.1, "message": "no"}}, "no (4.1)"),
    "false, and a message beside it": ({"error": False, "message": "no"}, "no"),
    "true, and a message beside it": ({"error": True, "msg": "no"}, "no"),
    "empty, and a message beside it": ({"error": {}, "error_message": "no", "error_code": 7}, "no (7)"),
    "a code, and a message beside it": ({"error": {"code": "c"}, "failure_reason": "no"}, "no (c)"),
    "an envelope around it": ({"code": 0, "msg": "success", "error": "no"}, "no"),
    "an envelope alone": ({"code": 0, "msg": "success"}, "without a reason"),
    "success as an error, and a reason beside it": (
        {"error": {"code": 0, "message": "success"}, "fail_reason": "no"},
        "no",
    ),
    "an empty message, and one beside it": ({"error": {"code": "c", "message": ""}, "msg": "no"}, "no (c)"),
    "nothing": ({}, "without a reason"),
    "true": ({"error": True}, "without a reason"),
    "lists in lists": ({"error": [[[[[[[["no"]]]]]]]]}, "without a reason"),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_failed_task_has_failed_whatever_the_form_of_its_error(name: str) -> None:
    fields, reason = REASONS[name]

    task = SeeAnyTask.from_payload({"id": "x", "status": "failed", **fields})

    assert task.is_failed
    assert task.failure_reason == reason


def test_a_word_for_a_failure_is_its_reason_where_there_is_no_other() -> None:
    assert SeeAnyTask.from_payload({"id": "x", "status": "expired"}).failure_reason == "its status is expired"
    assert SeeAnyTask.from_payload({**FAILED, "status": "expired"}).failure_reason.startswith("生成内容")


@pytest.mark.parametrize(
    ("result", "video_url"),
    [
        ({"url": "https://h/v.mp4"}, "https://h/v.mp4"),
        ({"video_url": " https://h/v\n"}, "https://h/v"),
        ({"videos": [{"url": "https://h/v", "cover": "https://h/c"}]}, "https://h/v"),
        ({"images": [{"url": "https://h/1.png"}], "url": "https://h/f"}, None),
        ({"videos": [{"url": "https://h/v.jpg"}]}, None),
        ({"object": "image_set", "url": "https://h/v.mp4"}, None),
    ],
)
def test_a_task_that_does_not_say_what_it_makes_has_a_video_only_if_a_result_is_one(
    result: dict[str, Any], video_url: str | None
) -> None:
    assert SeeAnyTask.from_payload({"id": "x", "status": "completed", **result}).video_url == video_url


@pytest.mark.parametrize(
    ("word", "ended"),
    [
        ("finished", True),
        *((word, True) for word in ("generated", "published", "blocked", "denied", "killed", "aborted", "timeout")),
        *((word, False) for word in ("incomplete", "unfinished", "generating", "publishing")),
        ("timed_out", True),
        ("partial_success", True),
        ("Done!", True),
        ("已完成", True),
        ("queued", False),
        ("pending", False),
        ("rendering", False),
        ("completed", False),
    ],
)
def test_an_unknown_status_that_reads_like_an_end_is_distinguished_from_others(word: str, ended: bool) -> None:
    assert SeeAnyTask.from_payload({"id": "x", "status": word}).looks_ended == ended


@pytest.mark.parametrize("word", ["queued", "finished", "not completed", "completed?", "ok", "失败", "0"])
def test_a_status_word_that_is_not_known_is_running_and_never_success(word: str) -> None:
    task = SeeAnyTask.from_payload({**COMPLETED, "status": word})

    assert (task.is_running, task.is_completed, task.is_failed) == (True, False, False)
    assert task.result_urls == ()


def test_fields_that_the_api_adds_later_are_kept_untouched() -> None:
    later = {"seed": 7, "model": {"name": "m", "layers": [1, 2]}, "标签": ["a"], "nothing": None}

    assert completed(**later).as_json() == {"id": "x", "status": "completed", **later}
    assert completed(**later, completed_at=1748908920).as_json() == {
        "id": "x",
        "status": "completed",
        **later,
        "completed_at": "2025-06-03T00:02:00Z",
    }


@pytest.mark.parametrize("cost", [0, 1, 0.7, 0.1 + 0.2, 12345678.9])
def test_the_cost_is_the_number_as_the_service_gave_it(cost: float) -> None:
    assert repr(completed(usage={"cost": cost}).usage.cost) == repr(cost)


def test_completed_at_is_a_time_in_utc() -> None:
    task = completed(completed_at="2025-06-03T08:02:00+08:00")

    assert isinstance(task.completed_at, pendulum.DateTime)
    assert task.completed_at.timezone_name == "UTC"
    assert task.as_json()["completed_at"] == "2025-06-03T00:02:00Z"


ODD: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "cost as text": ({"usage": {"cost": "0.70", "cost_unit": "CNY"}}, {"cost": 0.7, "cost_unit": "CNY"}, ()),
    "cost in a list": ({"usage": [{"cost": 0.7, "cost_unit": "CNY"}]}, {"cost": 0.7, "cost_unit": "CNY"}, ()),
    "cost alone": ({"usage": "¥0.70"}, {"cost": 0.7, "cost_unit": "CNY"}, ()),
    "no cost": ({"usage": []}, {}, ()),
    "usage of something else": ({"usage": {"tokens": 7, "cost_unit": "CNY"}}, {"cost_unit": "CNY"}, ()),
    "cost that is none": ({"usage": {"cost": "free", "cost_unit": "CNY"}}, {"cost_unit": "CNY"}, ("usage",)),
    "cost_unit as a number": ({"usage": {"cost": 1, "cost_unit": 7}}, {"cost": 1, "cost_unit": "7"}, ()),
    "duration as text": ({"duration": "5 s"}, {"duration": 5}, ()),
    "duration as true": ({"duration": True}, {}, ("duration",)),
    "resolution as a number": ({"resolution": 720}, {"resolution": "720"}, ()),
    "resolution as sides": ({"resolution": {"width": 1280, "height": 720}}, {"resolution": "1280x720"}, ()),
    "thumbnails": ({"thumbnail_url": ["https://h/t"]}, {"thumbnail_url": "https://h/t"}, ()),
    "thumbnail": ({"thumbnail_url": {"url": "https://h/t"}}, {"thumbnail_url": "https://h/t"}, ()),
    "thumbnail as a number": ({"thumbnail_url": 7}, {}, ("thumbnail_url",)),
    "ms": ({"completed_at": 1748908920000}, {"completed_at": "2025-06-03T00:02:00Z"}, ()),
    "no time": ({"completed_at": "soon"}, {}, ("completed_at",)),
    "empty error": ({"error": ""}, {}, ()),
    "no error": ({"error": False}, {}, ()),
    "error that is none": ({"error": True}, {}, ("error",)),
    "several": ({"completed_at": "soon", "duration": "long", "object": {}}, {}, ("duration", "completed_at")),
}


@pytest.mark.parametrize("name", ODD)
def test_a_side_field_is_parsed_or_left_out_and_stays_as_it_came(name: str) -> None:
    fields, parsed, unparsed = ODD[name]

    task = completed(video_url="https://h/v", **fields)

    assert task.is_completed
    always = {"video_url": "https://h/v", "result_urls": ["https://h/v"], "is_partial": False}
    assert task.result_fields() == {**always, **parsed}
    assert task.unparsed == unparsed
    assert task.payload == {"id": "x", "status": "completed", "video_url": "https://h/v", **fields}
    if "completed_at" not in parsed:
        assert task.as_json() == task.payload


def test_every_field_is_parsed_on_its_own_and_named_if_that_fails() -> None:
    names = set(SeeAnyTask.__struct_fields__) - {"id", "status", "payload", "unparsed"}

    assert set(completed(**dict.fromkeys(names, True)).unparsed) == names


@pytest.mark.parametrize(
    ("fields", "progress", "left"),
    [
        ({"progress": "65%", "estimated_remaining": "42s"}, 65, 42),
        ({"progress": [65], "estimated_remaining": {"value": 2, "unit": "min"}}, 65, 120),
        ({"progress": "most", "estimated_remaining": []}, None, None),
        ({"progress": True, "estimated_remaining": "soon"}, None, None),
    ],
)
def test_progress_and_estimate_are_read_from_what_people_write(
    fields: dict[str, Any], progress: float | None, left: float | None
) -> None:
    task = SeeAnyTask.from_payload({**PROCESSING, **fields})

    assert (task.is_running, task.progress, task.estimated_remaining) == (True, progress, left)


@pytest.mark.parametrize("payload", [{}, {"id": None}, {"id": " "}, {"id": True}, {"id": []}, {"id": {}}], ids=str)
def test_what_has_no_id_is_no_response(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`id`"):
        SeeAnyTask.from_payload({"status": "completed", **payload})


@pytest.mark.parametrize("status", [None, "", " ", 1, True, ["completed"], {"status": "completed"}])
def test_what_has_no_status_is_no_response(status: object) -> None:
    with pytest.raises(ValueError, match="`status`"):
        completed(status=status)


@pytest.mark.parametrize("payload", [PROCESSING, COMPLETED, FAILED, PARTIAL, IMAGES], ids=lambda each: each["status"])
def test_a_response_survives_the_way_through_an_xcom(payload: dict[str, Any]) -> None:
    task = SeeAnyTask.from_payload(payload)

    stored = json.loads(json.dumps(task.as_json()))

    read = SeeAnyTask.from_xcom(stored)
    assert msgspec.structs.replace(read, payload=task.payload) == task
    assert (read.as_json(), read.result_urls, read.is_partial) == (task.as_json(), task.result_urls, task.is_partial)


@pytest.mark.parametrize("payload", [COMPLETED, PARTIAL, IMAGES], ids=lambda each: each["status"])
def test_a_row_of_a_batchs_table_is_read_as_far_as_it_goes(payload: dict[str, Any]) -> None:
    task = SeeAnyTask.from_payload(payload)

    read = SeeAnyTask.from_xcom(json.loads(json.dumps(task_row(task))))

    assert task_row(read) == task_row(task)
    assert (read.id, read.usage, read.is_completed) == (task.id, task.usage, True)


BATCH = {"total": 1, "completed": 1, "failed": 0, "cost": {}, "detail": "full", "tasks": [COMPLETED], "failures": []}
NOT_ONE_TASK: dict[str, tuple[object, type[Exception], str]] = {
    "nothing": (None, TypeError, "None is no SeeAny task: the wait was skipped"),
    "a batch": (BATCH, TypeError, "the result of a batch .* each of its `tasks`"),
    "several": ([COMPLETED], TypeError, "a list is not one SeeAny task: read each of its items"),
    "its text": (json.dumps(COMPLETED), TypeError, "a str is not one SeeAny task$"),
    "what created it": ({"id": VIDEO}, ValueError, "no usable `status`: None"),
    "a price": ({"id": VIDEO, "cost": 0.7, "cost_unit": "CNY"}, ValueError, "no usable `status`: None"),
}


@pytest.mark.parametrize("name", NOT_ONE_TASK)
def test_an_xcom_that_is_not_one_task_is_refused_by_what_it_is(name: str) -> None:
    value, kind, text = NOT_ONE_TASK[name]

    with pytest.raises(kind, match=text):
        SeeAnyTask.from_xcom(value)


def test_what_a_dag_waits_for_is_there_under_names_of_its_own() -> None:
    assert SeeAnyTask.from_payload(COMPLETED).result_fields() == COMPLETED_FIELDS
    assert completed(usage={"cost": 0}).result_fields() == {"cost": 0, "is_partial": False}


@pytest.mark.parametrize("padded", ["COMPLETED" + " " * 200, "\n" * 200 + "completed"])
def test_no_amount_of_white_space_hides_a_status(padded: str) -> None:
    assert SeeAnyTask.from_payload({**COMPLETED, "status": padded}).is_completed


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"code": 0, "msg": "ok", "data": None},
        {"object": None, "error": {}},
        {"thumbnail_url": ""},
    ],
    ids=repr,
)
@pytest.mark.parametrize("word", ["success", " SUCCESS"])
def test_a_word_of_success_beside_an_echoed_id_is_no_result(word: str, payload: dict[str, Any]) -> None:
    assert SeeAnyTask.from_payload({"id": "x", "status": word, **payload}).contradiction is not None


def test_a_response_whose_data_has_another_state_contradicts_itself() -> None:
    assert completed(data={"status": "processing"}, url="https://h/v").contradiction is not None
    assert completed(data={"status": "FAILED"}).contradiction is not None
    for data in ({"status": "succeeded"}, {"status": "ok"}, {"status": 0}, {}, None, []):
        assert completed(data=data).contradiction is None


HUGE: list[dict[str, Any]] = [
    {"duration": "9" * 23},
    {"duration": "1e30 ms"},
    {"duration": "9" * 80 + " h"},
    {"usage": {"cost": "9" * 40}},
    {"progress": "1" + "0" * 60},
    {"estimated_remaining": "9" * 50},
    {"estimated_remaining": ["9" * 50 + " s"]},
    {"progress": 2**63 + 1, "usage": "18446744073709551616"},
]


@pytest.mark.parametrize("fields", HUGE, ids=repr)
def test_a_number_too_large_for_an_integer_of_64_bits_can_be_sent_on(fields: dict[str, Any]) -> None:
    task = SeeAnyTask.from_payload({**COMPLETED, **fields})

    assert task.video_url == COMPLETED["video_url"]
    for sent in (task.result_fields(), task.as_json(), msgspec.to_builtins(Snapshot.of(task, 1.0)), task_row(task)):
        msgspec.msgpack.encode(sent)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ([{"cost": 0.7, "cost_unit": "CNY"}] * 2, None),
        ([0.7, 0.7], None),
        ({"cost": -0.7, "cost_unit": "CNY"}, None),
        ("-0.7 CNY", None),
        ({"total": 0.7, "cost_unit": "CNY"}, 0.7),
        ({"total": 0.7}, None),
        ({"total": 1200, "unit": "tokens"}, None),
    ],
    ids=repr,
)
def test_a_cost_that_is_not_certain_is_left_out_and_named(usage: object, cost: float | None) -> None:
    task = completed(usage=usage)

    assert task.usage.cost == cost
    assert task.unparsed == (("usage",) if cost is None else ())


def test_a_reader_that_fails_costs_its_own_field_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: object) -> None:
        raise OverflowError(value)

    monkeypatch.setattr(quantities, "timestamp", fail)
    monkeypatch.setattr(quantities, "cost", fail)

    task = SeeAnyTask.from_payload({**COMPLETED, "usage": "0.7"})

    assert (task.is_completed, task.video_url, task.duration) == (True, COMPLETED["video_url"], 5)
    assert task.unparsed == ("completed_at", "usage")
