"""Envelopes, also such as no service should send: each ends in a task, a typed error, or a wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
    error_type,
)
from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.api.parse import parse_json, parse_task
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyAuthError,
    SeeAnyResponseError,
    SeeAnyTaskNotFound,
    api_error,
)
from tests.api.both_ways import poll_both_ways
from tests.api.single_wait import START, wait
from tests.conftest import KEY
from tests.hostile import HostileServer, reply
from tests.recorded_log import RecordedLog

DEVELOPER = DIALECTS["developer"]
ID = "wtask_1"


def image(number: int) -> dict[str, Any]:
    """Return an image as an asset has it."""
    return {"url": f"https://cdn.seeany.com/{number}.png", "width": 2048, "height": 1536}


def succeeded(**more: Any) -> dict[str, Any]:
    """Return the data of an image set with two assets."""
    assets = [{"work_uuid": "w1", "images": [image(1), image(2)]}, {"work_uuid": "w2", "images": [image(3), image(1)]}]
    return {"status": "succeeded", "progress": 100, "assets": assets, "error_message": None, **more}


URLS = tuple(image(number)["url"] for number in (1, 2, 3))


def body(data: object, code: object = 0, msg: object = "success") -> dict[str, Any]:
    """Return an envelope."""
    return {"code": code, "msg": msg, "data": data}


def read(payload: object, status: int = 200) -> SeeAnyTask | ApiError:
    """Read a body as both transports do."""
    sent = json.dumps(payload, ensure_ascii=False).encode()
    try:
        return parse_task(Response(status=status, headers={}, body=sent, secret=Secret(KEY)), ID, DEVELOPER)
    except ApiError as error:
        return error


def task_in(payload: object) -> SeeAnyTask:
    """Read a body that describes the task."""
    task = read(payload)
    assert isinstance(task, SeeAnyTask), task
    assert task.id == ID
    return task


def test_an_image_set_is_read_over_a_socket_with_each_transport(hostile: HostileServer) -> None:
    task = poll_both_ways(hostile, reply(200, body(succeeded(task_uuid=ID))), ID, dialect=DEVELOPER)

    assert isinstance(task, SeeAnyTask), task
    assert (task.id, task.state, task.result_urls, task.video_url) == (ID, "completed", URLS, None)
    assert task.payload == {"id": ID, **succeeded(task_uuid=ID)}


def test_what_is_kept_of_a_task_is_read_back_without_the_dialect() -> None:
    kept = wait(RecordedLog(), task_id=ID).receive(task_in(body(succeeded())), START)

    assert isinstance(kept, Finished)
    task = SeeAnyTask.from_payload(json.loads(json.dumps(kept.payload)))
    assert (task.id, task.state, task.result_urls) == (ID, "completed", URLS)
    assert kept.payload["assets"][0]["images"][0] == image(1)


@pytest.mark.parametrize(
    ("data", "state", "urls"),
    [
        ({"status": "queued"}, "running", ()),
        ({"status": "running", "progress": 40, "assets": []}, "running", ()),
        ({"status": "uploading"}, "running", ()),
        (succeeded(status="partial_failed", error_message="1 张失败"), "completed", URLS),
        ({"status": "partial_failed", "assets": [], "error_message": "全部失败"}, "failed", ()),
        ({"status": "failed", "error_message": "内容违规"}, "failed", ()),
    ],
    ids=["queued", "running", "unknown", "partial", "partial without a file", "failed"],
)
def test_each_status_word_has_its_meaning(data: dict[str, Any], state: str, urls: tuple[str, ...]) -> None:
    task = task_in(body(data))

    assert (task.state, task.result_urls) == (state, urls)
    if state == "failed":
        assert task.failure_reason == data["error_message"]


def test_queued_and_running_are_no_words_to_warn_of() -> None:
    log = RecordedLog()
    waiting = wait(log, task_id=ID)
    for status in ("queued", "running", "uploading"):
        waiting.receive(task_in(body({"status": status})), START)

    assert [line for line in log.warnings if "queued" in line or "running," in line] == []
    assert "undocumented status uploading" in log.warnings[0]


VIDEOS: dict[str, tuple[dict[str, Any], str | None]] = {
    "a file name": ({"images": [image(1), {"url": "https://h/v.mp4?sign=1"}]}, "https://h/v.mp4?sign=1"),
    "a key": ({"videos": [{"url": "https://h/v", "cover_url": "https://h/c"}]}, "https://h/v"),
    "a picture of a video": ({"videos": [{"url": "https://h/v.jpg"}]}, None),
    "a cover alone": ({"video_cover": "https://h/c", "images": [image(1)]}, None),
    "an unknown kind of file": ({"files": [{"url": "https://h/f"}]}, None),
    "pictures": ({"images": [image(1)]}, None),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_among_the_assets_is_the_video_and_a_picture_never_is(name: str) -> None:
    asset, url = VIDEOS[name]

    assert task_in(body({"status": "succeeded", "assets": [asset]})).video_url == url


RUNNING = {"status": "running"}
TASKS: dict[str, object] = {
    "code as text": body(RUNNING, "0"),
    "code with a point": body(RUNNING, 0.0),
    "code with a point as text": body(RUNNING, " 200.0 "),
    "code 200": body(RUNNING, 200),
    "a word for a code": body(RUNNING, "SUCCESS"),
    "no code": {"data": RUNNING},
    "code null": body(RUNNING, None),
    "empty code": body(RUNNING, ""),
    "no msg": {"code": 0, "data": RUNNING},
    "msg is a list": body(RUNNING, 0, ["busy"]),
    "a busy msg beside a task": body(RUNNING, 0, "系统繁忙"),
    "a task inside": body({"task": RUNNING, "task_uuid": ID}),
    "a task beside a status": body({**RUNNING, "task": {"status": "failed"}}),
    "progress as text": body({**RUNNING, "progress": "40%"}),
    "progress is a list": body({**RUNNING, "progress": [1, 2]}),
    "assets null": body({**RUNNING, "assets": None}),
    "assets with nulls": body({**RUNNING, "assets": [None, {"images": None}, {"images": [None, {"url": None}]}]}),
    "assets are an object": body({**RUNNING, "assets": {"images": {"url": 1}}}),
    "assets are text": body({**RUNNING, "assets": "none"}),
    "a long list of assets": body({**RUNNING, "assets": [{"images": [image(n)]} for n in range(500)]}),
    "a number of its own database": body({**RUNNING, "id": 7, "task_uuid": ID}),
    "its id with white space": body({**RUNNING, "task_id": f" {ID}\n"}),
    "empty ids": body({**RUNNING, "id": "", "task_uuid": None}),
}


@pytest.mark.parametrize("name", TASKS)
def test_no_odd_envelope_hides_a_task(name: str) -> None:
    assert task_in(TASKS[name]).is_running


ASSETS: dict[str, tuple[object, int]] = {
    "null": (None, 0),
    "with nulls": ([None, {"images": [None, image(1)]}, [], {"images": None}], 1),
    "an object": ({"images": [image(1)]}, 1),
    "500 of them": ([{"images": [image(number)]} for number in range(500)], 500),
    "urls alone": (["https://h/1.png", "https://h/2.png"], 2),
    "an image that is no list": ([{"images": image(1)}], 1),
    "urls that are none": ([{"images": [{"url": "javascript:alert(1)"}, {"url": 7}, {"url": ""}]}], 0),
    "nested": ([[[{"images": [[image(1)]]}]]], 1),
}


@pytest.mark.parametrize("name", ASSETS)
def test_results_are_found_in_odd_assets(name: str) -> None:
    assets, count = ASSETS[name]

    task = task_in(body({"status": "succeeded", "assets": assets}))

    assert task.is_completed
    assert len(task.result_urls) == count


INVALID: dict[str, object] = {
    "no data": {"code": 0, "msg": "success"},
    "data null": body(None),
    "data a list": body([RUNNING]),
    "data text": body("running"),
    "data a number": body(7),
    "data empty": body({}),
    "no status": body({"progress": 1}),
    "status null": body({"status": None}),
    "status a number": body({"status": 1}),
    "neither code nor data": {"status": "running", "id": ID},
    "nothing": {},
    "a list": [body(RUNNING)],
    "null": None,
    "another task": body({**RUNNING, "task_uuid": "wtask_2"}),
    "the id in another case": body({**RUNNING, "task_uuid": ID.upper()}),
    "another task inside": body({"task": {**RUNNING, "id": "wtask_2"}}),
    "an id that is none": body({**RUNNING, "id": [ID]}),
    "an error without a word": body(None, 1, None),
    "a code that is none": body(RUNNING, {"a": 1}),
    "a code of many digits": body(RUNNING, 10**400),
    "true as a code": body(RUNNING, True),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_describes_no_task_is_believed_only_when_it_is_repeated(name: str) -> None:
    assert type(read(INVALID[name])) is InvalidResponseError


MEANINGS: dict[str, list[tuple[object, str]]] = {
    "key": [
        (401, "no"),
        ("401", "no"),
        (401.0, "系统繁忙"),
        (1001, "API Key 无效"),
        (1001, "ＡＰＩ ｋｅｙ 错误"),
        (1, "Invalid API key for this task"),
        (1, "The api_key has expired"),
        (1, "Unauthorized"),
        (1, "token已过期"),
        (1, "密钥不存在"),
        (1, "令牌校验失败"),
        (1, "鉴权失败"),
        (1, "鉴权失败，请重试"),
        (1, "未登录"),
        (403, "no"),
        (1, "Forbidden"),
        (1, "无权访问该接口"),
        (1, "任务查询失败，密钥无效"),
        (500, "密钥无效"),
    ],
    "id": [
        (404, "no"),
        (410, "no"),
        (1, "Task not found"),
        (1, "task wtask_0123456789abcdef does not exist"),
        (1, "record not found"),
        (1, "任务不存在"),
        (1, "未找到任务 wtask_1"),
        (1, "无效的任务"),
        (1, "task_uuid 无效"),
        (1, "任务不存在或密钥无权访问"),
        (400, "任务不存在"),
        (500, "任务不存在"),
    ],
    "throttled": [
        (429, "no"),
        (1, "Too many requests"),
        (1, "rate limit exceeded"),
        (1, "请求过于频繁，请稍后再试"),
        (403, "访问频率超过限制"),
    ],
    "busy": [
        (500, "no"),
        (500, "系统错误"),
        ("503", "no"),
        (1, "System busy"),
        (1, "Please try again later"),
        (1, "gateway timeout"),
        (1, "系统繁忙"),
        (1, "查询超时"),
        (1, "系统维护中"),
        (400, "服务器繁忙，请稍后"),
        (1, "鉴权服务超时"),
        (1, "密钥校验失败：服务暂时不可用"),
        (1, "系统错误"),
    ],
    "unknown": [(1, "余额不足"), (10001, "参数缺失"), (-1, "失败"), (1, "token"), (302, "no"), ("E_PARAM", "说明")],
    "refused": [(400, "参数错误"), (402, "余额不足")],
}
KINDS: dict[str, tuple[type[ApiError], type[SeeAnyApiError], bool]] = {
    "key": (PermanentError, SeeAnyAuthError, True),
    "id": (PermanentError, SeeAnyTaskNotFound, True),
    "throttled": (ThrottledError, SeeAnyApiError, False),
    "busy": (TransientError, SeeAnyApiError, False),
    "unknown": (InvalidResponseError, SeeAnyResponseError, False),
    "refused": (PermanentError, SeeAnyApiError, True),
}


@pytest.mark.parametrize(
    ("meaning", "code", "msg"), [(meaning, *row) for meaning, rows in MEANINGS.items() for row in rows]
)
def test_an_error_is_judged_by_its_code_and_its_text_which_is_shown_untouched(
    meaning: str, code: object, msg: str
) -> None:
    kind, public, is_final = KINDS[meaning]

    error = read(body(None, code, msg))

    assert type(error) is kind, error
    shown = api_error(error, seeany_conn_id="c", seeany_task_id=ID)
    assert isinstance(shown, public)
    assert isinstance(shown, AirflowFailException) == is_final
    assert msg in str(shown)
    assert (shown.error_code, shown.server_message) == (str(code), msg)


def test_the_text_says_why_there_is_no_task_also_beside_a_code_of_success_or_none() -> None:
    for envelope, status in (
        (body(None, 0, "任务不存在"), 404),
        ({"msg": "API key 无效"}, 401),
        ({"detail": "Unauthorized"}, 401),
        ({"message": "系统繁忙"}, 503),
        ({"error": {"code": "bad_key", "message": "invalid token"}}, 401),
    ):
        error = read(envelope)
        assert isinstance(error, ApiError)
        assert error.http_status == status


@pytest.mark.parametrize(
    ("status", "msg", "counts_as"),
    [
        (400, "系统繁忙,请稍后再试", 503),
        (400, "任务不存在", 404),
        (403, "请求过于频繁", 429),
        (403, "API Key 无效", 401),
        (400, "参数错误", 400),
        (403, "缺少 User-Agent", 403),
        (404, "系统繁忙", 404),
        (500, "任务不存在", 500),
    ],
)
def test_a_plain_message_counts_beside_an_http_status_that_services_use_for_everything(
    status: int, msg: str, counts_as: int
) -> None:
    error = read(body(None, 1004, msg), status)

    assert isinstance(error, ApiError)
    assert (error.http_status, type(error)) == (counts_as, error_type(counts_as))
    assert f"SeeAny returned HTTP {status}: {msg} (1004)" in str(error)


ENDED: dict[str, tuple[dict[str, Any], str | type[ApiError]]] = {
    "failed with a reason": (body({"status": "failed", "error_message": "内容违规"}, 40301, "failed"), "failed"),
    "failed with a reason like a fault": (body({"status": "failed", "error_message": "无权使用的素材"}), "failed"),
    "good files": (body(succeeded(status="partial_failed"), 1, "部分图片不存在"), "completed"),
    "failed without a reason": (body({"status": "failed"}, 1, "参数错误"), InvalidResponseError),
    "running": (body(RUNNING, 1, "任务不存在"), PermanentError),
    "busy": (body({"status": "failed", "error_message": "x"}, 1, "系统繁忙"), TransientError),
}


@pytest.mark.parametrize("name", ENDED)
def test_what_a_task_says_of_itself_is_no_error_of_the_request(name: str) -> None:
    envelope, expected = ENDED[name]

    found = read(envelope)

    if isinstance(expected, str):
        assert isinstance(found, SeeAnyTask), found
        assert found.state == expected
    else:
        assert type(found) is expected


def test_a_deep_envelope_or_a_long_text_ends_in_a_typed_error() -> None:
    deep: Any = RUNNING
    for _ in range(300):
        deep = {"task": deep}

    assert isinstance(read(body(deep)), ApiError)
    assert isinstance(read(body(None, 1, "任务 无效 key " * 10_000)), ApiError)


def test_any_other_endpoint_returns_its_envelope_or_its_error() -> None:
    def get(payload: object) -> Any:
        sent = json.dumps(payload).encode()
        return parse_json(Response(status=200, headers={}, body=sent, secret=Secret(KEY)), DEVELOPER)

    for honest in (body({"balance": 1}), body(None), [1], body({"balance": 1}, 0, "token expired yesterday")):
        assert get(honest) == honest
    with pytest.raises(PermanentError, match="密钥错误"):
        get(body(None, 1001, "密钥错误"))
