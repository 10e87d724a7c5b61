"""What each response means, asked over a socket in both ways, which must not differ."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import XCom
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.parse import parse_json, parse_task
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES, ApiSettings
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY, Look, look_async, look_blocking, settings_for
from tests.hostile import (
    COMPLETED,
    FAILED,
    PROCESSING,
    VIDEO,
    Answer,
    Caller,
    HostileServer,
    close,
    compressed,
    flood,
    http,
    nested,
    page,
    raw,
    register,
    reply,
    reset,
    task,
    trickle,
    truncated,
)

PERMANENT, THROTTLED, TRANSIENT, INVALID_RESPONSE = (
    PermanentError,
    ThrottledError,
    TransientError,
    InvalidResponseError,
)

BODY = {"id": "x", "status": "processing"}
OK = json.dumps(BODY).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Bad:
    """What must be known of the trouble that a response means."""

    kind: type[ApiError]
    http_status: int | None
    says: tuple[str, ...]
    fields: dict[str, object]


def bad(kind: type[ApiError], http_status: int | None, *says: str, **fields: object) -> Bad:
    """Say what a response must be taken for; fields that are not named must not be set."""
    defaults = {"code": None, "message": None, "request_id": None, "retry_after": None, "is_web_page": False}
    return Bad(kind, http_status, says, defaults | fields)


def unusable(*says: str) -> Bad:
    """Say that a response with a success status must be no answer."""
    return bad(INVALID_RESPONSE, 200, "is invalid", *says)


def ask_both_ways(server: HostileServer, answer: Answer, task_id: str, seconds: float = 10) -> SeeAnyTask | ApiError:
    """Ask the same question in both ways, see that they agree, and return what they agree on."""
    server.script(answer)
    settings = settings_for(server, request_timeout=seconds)
    replies = [poll(settings, task_id) for poll in (look_blocking, look_async)]
    for reply_ in replies:
        if isinstance(reply_, ApiError):
            assert_fit_to_show(reply_)
    blocking, asynchronous = (_comparable(reply_) for reply_ in replies)
    assert blocking == asynchronous
    return replies[0]


def _comparable(reply_: SeeAnyTask | ApiError) -> object:
    # Without a response each HTTP library tells in its own words what happened.
    if isinstance(reply_, ApiError) and reply_.http_status is None:
        return type(reply_), {**vars(reply_), "text": ""}
    return (type(reply_), vars(reply_)) if isinstance(reply_, ApiError) else reply_


def assert_fit_to_show(trouble: SeeAnyTask | ApiError) -> None:
    """See that no text of the trouble is long, holds the key or a good part of it, or could forge a log line."""
    assert isinstance(trouble, ApiError), trouble
    for text in (str(trouble), trouble.code, trouble.message, trouble.request_id):
        if text is not None:
            assert len(text) < 1200
            assert KEY[:12] not in text.lower()
            assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text), text
            assert not set(text) & set("\u2028\u2029\u202a\u202e\u2066")


TASKS = {
    "documented processing": (reply(200, PROCESSING), VIDEO, PROCESSING),
    "documented completed": (reply(200, COMPLETED), VIDEO, COMPLETED),
    "documented failed": (reply(200, FAILED), VIDEO, FAILED),
    "undocumented status": (task(status="queued"), "x", BODY | {"status": "queued"}),
    "new fields": (task(seed=7, extra={"a": [1, None]}), "x", BODY | {"seed": 7, "extra": {"a": [1, None]}}),
    "every field null": (task(progress=None, usage=None, error=None), "x", None),
    "another success status": (reply(203, BODY), "x", BODY),
    "no content type": (raw(http(200, OK)), "x", BODY),
    "no length": (raw(b"HTTP/1.1 200 OK\r\n\r\n" + OK), "x", BODY),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + OK), "x", BODY),
    "chunked": (raw(CHUNKED + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (OK[:5], len(OK) - 5, OK[5:])), "x", BODY),
    "gzipped unasked": (compressed(OK), "x", BODY),
    "continue first": (raw(b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, OK)), "x", BODY),
    "an integer beyond 64 bits": (task(seed=10**30), "x", None),
    "a field that databases add": (task(__v=0), "x", BODY | {"__v": 0}),
    "duplicate keys": (reply(200, OK[:-1] + b', "status": "completed"}'), "x", BODY | {"status": "completed"}),
    "almost too large": (task(pad="x" * (MAX_RESPONSE_BYTES - 1000)), "x", None),
    "unicode id": (task(id="任务 1"), "任务 1", BODY | {"id": "任务 1"}),
}


@pytest.mark.parametrize("name", TASKS)
def test_an_answer_about_the_task_is_read_alike_in_both_ways(hostile: HostileServer, name: str) -> None:
    answer, task_id, body = TASKS[name]

    read = ask_both_ways(hostile, answer, task_id)

    assert isinstance(read, SeeAnyTask), read
    assert read.id == task_id
    if body is not None:
        assert read.payload == body


def test_a_short_key_garbles_no_answer(hostile: HostileServer, poll: Look) -> None:
    """A key such as ``test`` is found in many an address, so it cannot be masked there."""
    hostile.script(task(status="completed", url="https://cdn/test/1.mp4"))

    read = poll(msgspec.structs.replace(settings_for(hostile), api_key=Secret("test")))

    assert isinstance(read, SeeAnyTask)
    assert read.result_urls == ("https://cdn/test/1.mp4",)


STATUSES = {
    **dict.fromkeys((400, 401, 402, 403, 404, 405, 409, 410, 418, 422, 451), PERMANENT),
    **dict.fromkeys((408, 425, 500, 502, 503, 504, 520, 599), TRANSIENT),
    429: THROTTLED,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_alone_decides_whether_asking_again_makes_sense(hostile: HostileServer, status: int) -> None:
    trouble = ask_both_ways(hostile, reply(status, {"error": {"code": "c", "message": "说明"}}), "x")

    assert isinstance(trouble, ApiError)
    assert (type(trouble), trouble.http_status) == (STATUSES[status], status)
    assert trouble.text == f"SeeAny returned HTTP {status}: 说明 (c)"


def body_says(body: object, *says: str, **fields: object) -> tuple[Answer, Bad]:
    """Say what a refusal with this body must tell."""
    return reply(400, body), bad(PERMANENT, 400, "SeeAny returned HTTP 400", *says, **fields)


REFUSALS = {
    "error object": body_says(
        {"error": {"code": "bad_id", "message": "无效的任务"}},
        "无效的任务 (bad_id)",
        code="bad_id",
        message="无效的任务",
    ),
    "error object with msg": body_says({"error": {"code": 7, "msg": "no"}}, ": no (7)", code="7", message="no"),
    "error text": body_says({"error": "no such thing"}, ": no such thing", message="no such thing"),
    "message": body_says({"message": "no"}, ": no", message="no"),
    "detail": body_says({"detail": "no"}, ": no", message="no"),
    "code and msg": body_says({"code": 40001, "msg": "no"}, ": no (40001)", code="40001", message="no"),
    "no known field": body_says({"wrong": True}, '{"wrong": true}'),
    "a list": body_says([1, 2], "[1, 2]"),
    "plain text": body_says("out of order", ": out of order"),
    "not UTF-8": body_says(b"\xff\xfe no", "no"),
    "empty": (reply(400), bad(PERMANENT, 400)),
    "wrong types": body_says({"error": {"code": [], "message": {}}}, '"code": []'),
    "a page": (page(502), bad(TRANSIENT, 502, "an HTML page", is_web_page=True)),
    "a page for a wrong address": (page(404), bad(PERMANENT, 404, "an HTML page", is_web_page=True)),
    "request id in a header": (
        reply(500, b"", ("X-Request-Id", "req_1")),
        bad(TRANSIENT, 500, "(request id req_1)", request_id="req_1"),
    ),
    "request id in the body": (
        reply(500, {"message": "no", "request_id": "req_2"}),
        bad(TRANSIENT, 500, "(request id req_2)", request_id="req_2", message="no"),
    ),
    "gzipped": (
        reply(401, gzip.compress(b'{"message": "no"}'), ("Content-Encoding", "gzip")),
        bad(PERMANENT, 401, ": no", message="no"),
    ),
    "in a compression nobody asked for": (
        reply(502, b"\x01\x02", ("Content-Encoding", "br")),
        bad(TRANSIENT, 502, "HTTP 502"),
    ),
    "in a broken compression": (reply(503, b"no gzip", ("Content-Encoding", "gzip")), bad(TRANSIENT, 503, "HTTP 503")),
    "far too long": (reply(500, b" " * 5 * 1024 * 1024), bad(TRANSIENT, 500, "HTTP 500")),
    "far too long, key refused": (reply(401, b" " * 5 * 1024 * 1024), bad(PERMANENT, 401, "HTTP 401")),
    "cut short": (truncated({"message": "no"}), bad(TRANSIENT, None, "could not be reached")),
    # Success status, but the body says that it is none.
    "envelope, key refused": (
        reply(200, {"code": 401, "msg": "bad key"}),
        bad(PERMANENT, 401, "bad key (401)", code="401", message="bad key"),
    ),
    "envelope, throttled": (
        reply(200, {"code": 429, "msg": "slow"}, ("Retry-After", "7")),
        bad(THROTTLED, 429, code="429", message="slow", retry_after=7.0),
    ),
    "envelope, fault": (reply(200, {"code": 500, "msg": "oops"}), bad(TRANSIENT, 500, code="500", message="oops")),
    "envelope, no such task": (
        reply(200, {"code": "404", "msg": "no"}),
        bad(PERMANENT, 404, "no (404)", code="404", message="no"),
    ),
    "envelope, a code of three digits that is no error": (
        reply(200, {"code": 302, "msg": "no"}),
        bad(INVALID_RESPONSE, 200, "no (302)", code="302", message="no"),
    ),
    "envelope, own code": (
        reply(200, {"code": 10001, "msg": "no"}),
        bad(INVALID_RESPONSE, 200, "no (10001)", code="10001", message="no"),
    ),
    "envelope, error object": (
        reply(200, {"error": {"code": "gone", "message": "no"}}),
        bad(INVALID_RESPONSE, 200, code="gone", message="no"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_told_in_the_services_own_words(hostile: HostileServer, name: str) -> None:
    answer, expected = REFUSALS[name]

    assert_is(ask_both_ways(hostile, answer, "x"), expected)


def assert_is(trouble: SeeAnyTask | ApiError, expected: Bad) -> None:
    """See that a question brought the expected trouble."""
    assert isinstance(trouble, ApiError), trouble
    assert (type(trouble), trouble.http_status) == (type(expected), expected.http_status), trouble
    for part in expected.says:
        assert part in str(trouble)
    assert {name: getattr(trouble, name) for name in expected.fields} == expected.fields


RETRY_AFTER = {
    "0": (503, THROTTLED, 0.0),
    "17": (503, THROTTLED, 17.0),
    "1.5": (429, THROTTLED, 1.5),
    "-5": (429, THROTTLED, 0.0),
    "soon": (429, THROTTLED, None),
    "soon ": (503, TRANSIENT, None),
    "": (503, TRANSIENT, None),
    "nan": (503, TRANSIENT, None),
    "1e999": (429, THROTTLED, None),
    "Wed, 21 Oct 2015 07:28:00 GMT": (429, THROTTLED, 0.0),
    "Wed, 21 Oct 2015 07:28:00": (429, THROTTLED, 0.0),
    "Wed, 99 Oct 2015 07:28:00 GMT": (429, THROTTLED, None),
    "Wed, 21 Oct 2015 07:28:00 +9999": (429, THROTTLED, None),
}


@pytest.mark.parametrize("value", RETRY_AFTER)
def test_retry_after_is_obeyed_as_seconds_or_as_a_date_and_garbage_is_ignored(
    hostile: HostileServer, value: str
) -> None:
    status, kind, seconds = RETRY_AFTER[value]

    trouble = ask_both_ways(hostile, reply(status, b"", ("Retry-After", value)), "x")

    assert isinstance(trouble, ApiError)
    assert (type(trouble), trouble.retry_after) == (kind, seconds)


def test_a_retry_after_date_ahead_is_the_time_until_then(hostile: HostileServer, poll: Look) -> None:
    hostile.script(reply(429, b"", ("Retry-After", format_datetime(datetime.now(UTC) + timedelta(hours=1)))))

    trouble = poll(settings_for(hostile))

    assert isinstance(trouble, ApiError)
    assert trouble.retry_after is not None
    assert 0 < trouble.retry_after <= 3600


def test_a_header_that_came_twice_is_read_alike_in_both_ways(hostile: HostileServer) -> None:
    trouble = ask_both_ways(hostile, reply(503, b"", ("Retry-After", "3"), ("Retry-After", "3")), "x")

    assert isinstance(trouble, ApiError)
    assert trouble.retry_after == 3


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(
    hostile: HostileServer, other_host: HostileServer, status: int
) -> None:
    other_host.script(task())

    trouble = ask_both_ways(hostile, reply(status, b"", ("Location", f"{other_host.url}/v1/tasks/x")), "x")

    assert_is(trouble, bad(PERMANENT, status, "redirected to localhost", "not followed"))
    assert other_host.connections == 0
    assert len(hostile.requests) == 2


LOCATIONS = {
    "none": (),
    "empty": (("Location", ""),),
    "relative": (("Location", "/elsewhere"),),
    "to itself": (("Location", "/v1/tasks/x"),),
    "no address": (("Location", "http://["),),
    "bad port": (("Location", "http://elsewhere:port/"),),
    "not UTF-8": (("Location", "http://\xff\xfe/"),),
    "a script": (("Location", "javascript:alert(1)"),),
    "escapes": (("Location", "http://a\x1b(31mb/"),),
    "the key": (("Location", f"http://{KEY}.example/"),),
    "long": (("Location", "http://" + "a" * 4000 + "/"),),
}


@pytest.mark.parametrize("name", LOCATIONS)
def test_a_redirect_to_nonsense_is_a_refusal_too(hostile: HostileServer, poll: Look, name: str) -> None:
    hostile.script(reply(302, b"", *LOCATIONS[name]))

    trouble = poll(settings_for(hostile))

    assert_is(trouble, bad(PERMANENT, 302, "redirected to", "not followed"))
    assert_fit_to_show(trouble)
    assert "to  and" not in str(trouble)


UNUSABLES: dict[str, tuple[Answer, Bad]] = {
    "a page": (page(200, "<!DOCTYPE html><p>Log in"), unusable("HTML", "<!DOCTYPE html><p>Log in")),
    "a page without a type": (reply(200, "<html>hi"), unusable("HTML", "<html>hi")),
    "nothing": (reply(200), unusable("the body is empty")),
    "nothing at all": (reply(204), bad(INVALID_RESPONSE, 204, "the body is empty")),
    "white space": (reply(200, b" \r\n\t "), unusable("the body is empty")),
    "half of it": (reply(200, OK[:20]), unusable("JSON", OK[:20].decode())),
    "two of it": (reply(200, OK + OK), unusable("JSON")),
    "a list": (reply(200, [BODY]), unusable("expected a JSON object, got list")),
    "text": (reply(200, '"x"'), unusable("got str")),
    "null": (reply(200, "null"), unusable("got NoneType")),
    "a number": (reply(200, "1"), unusable("got int")),
    "wrong id": (task(id="y"), unusable("another task, 'y'")),
    "id in another case": (task(id="X"), unusable("another task, 'X'")),
    "id of another type": (task(id=1), unusable("id")),
    "no id": (reply(200, {"status": "processing"}), unusable("id")),
    "no status": (reply(200, {"id": "x"}), unusable("status")),
    "null status": (task(status=None), unusable("status")),
    "empty status": (task(status=""), unusable("no usable `status`")),
    "invisible status": (task(status="\u200b \ufeff"), unusable("status")),
    "status is a number": (task(status=1), unusable("status")),
    "status is true": (task(status=True), unusable("status")),
    "status is an object": (task(status={"value": "completed"}), unusable("status")),
    "id is true": (task(id=True), unusable("id")),
    "id is half a number": (task(id=7.5), unusable("`id`")),
    "null id": (task(id=None), unusable("`id`")),
    "empty id": (task(id=""), unusable("`id`")),
    "id is a list": (task(id=["x"]), unusable("id")),
    "a gateway's own word": (reply(200, {"status": "ok"}), unusable("id")),
    "a gateway's own failure": (reply(200, {"status": "error", "message": "no upstream"}), unusable("id")),
    "a gateway's own success": (reply(200, {"status": "success", "data": COMPLETED}), unusable("id")),
    "a completed answer in an envelope": (reply(200, {"status": 200, "data": COMPLETED}), unusable("id")),
    "a completed answer of somebody else": (task(id="x2", status="completed", video_url="https://h/v"), unusable("x2")),
    "a completed answer, cut short": (reply(200, json.dumps(COMPLETED)[:-1]), unusable("JSON")),
    "status is a list": (task(status=["completed"]), unusable("status")),
    "broken gzip": (reply(200, b"no gzip", ("Content-Encoding", "gzip")), unusable("compress")),
    "deep nesting, megabytes of it": (reply(200, nested(1_000_000)), unusable()),
    "control characters": (reply(200, b"\x1b[2J\nforged line\x00\x9b31m"), unusable("JSON", "forged line")),
}


@pytest.mark.parametrize("name", UNUSABLES)
def test_what_is_no_answer_is_told_with_its_first_bytes(hostile: HostileServer, name: str) -> None:
    answer, expected = UNUSABLES[name]

    assert_is(ask_both_ways(hostile, answer, "x"), expected)


PAID = json.dumps({**COMPLETED, "id": "x", "prompt": "?"}).encode()
"""A completed answer, with a field that nobody reads."""

MANGLED: dict[str, tuple[bytes, object]] = {
    "half an emoji": (PAID.replace(b"?", rb"a cat \ud83d"), "a cat \ufffd"),
    "the other half": (PAID.replace(b"?", rb"\udc31 a cat"), "\ufffd a cat"),
    "two halves in the wrong order": (PAID.replace(b"?", rb"\udc31\ud83d"), "\ufffd\ufffd"),
    "half an emoji in bytes": (PAID.replace(b"?", b"\xed\xa0\xbd"), "\ufffd\ufffd\ufffd"),
    "half an emoji in a name": (PAID.replace(b'"prompt"', rb'"prompt": 1, "\ud83d"'), 1),
    "no UTF-8": (PAID.replace(b"?", "视频".encode("gbk")), "\ufffd\ufffdƵ"),
    "cut inside a character": (PAID.replace(b"?", "视频".encode()[:-1]), "视\ufffd"),
    "a byte order mark": (b"\xef\xbb\xbf" + PAID, "?"),
    "UTF-16": (b"\xff\xfe" + PAID.decode().encode("utf-16-le"), "?"),
    "UTF-16, big end first": (b"\xfe\xff" + PAID.decode().encode("utf-16-be"), "?"),
    "UTF-32": (b"\xff\xfe\0\0" + PAID.decode().encode("utf-32-le"), "?"),
    "padded with NUL": (PAID + b"\0\0\r\n", "?"),
    "NaN": (PAID.replace(b'"?"', b"NaN"), None),
    "infinity": (PAID.replace(b'"?"', b"-Infinity"), None),
    "a number out of range": (PAID.replace(b'"?"', b"1e999"), "1e999"),
    "an integer beyond 64 bits": (PAID.replace(b'"?"', b"1" + b"0" * 30), "1" + "0" * 30),
    "an integer of 400 digits": (PAID.replace(b'"?"', b"-" + b"9" * 400), "-" + "9" * 400),
    "an integer of 10 000 digits": (PAID.replace(b'"?"', b"9" * 10_000), "9" * 10_000),
    "a line break in a text": (PAID.replace(b"?", b"a\r\n\tb"), "a\r\n\tb"),
    "an escape in a text": (PAID.replace(b"?", b"\x1b[2J"), "\x1b[2J"),
    "a NUL in a text": (PAID.replace(b"?", b"a\0b"), "ab"),
    "an escaped NUL": (PAID.replace(b"?", rb"a\u0000b"), "ab"),
    "an escape that is none": (PAID.replace(b"?", rb"C:\video \u12 \' \\ \x41"), "C:\\video \\u12 \\' \\ \\x41"),
    "a reserved name": (PAID.replace(b'"?"', b'{"__type": "dict", "a": 1}'), {"__type_": "dict", "a": 1}),
    "a reserved name in disguise": (PAID.replace(b'"?"', rb'{"__\u0074ype\u0000": 1}'), {"__type_": 1}),
    "a class of Airflow's": (PAID.replace(b'"?"', b'[{"__classname__": "os"}]'), [{"__classname___": "os"}]),
}


# In these encodings the second byte of some characters is that of a backslash; some senders name theirs.
BACKSLASHES: dict[str, tuple[bytes, str, str]] = {
    "Big5": (PAID.replace(b"?", "成功許".encode("big5")), "", "成功許"),
    "GBK": (PAID.replace(b"?", "乗".encode("gbk")), "", "乗"),
    "GBK behind a byte order mark": (b"\xef\xbb\xbf" + PAID.replace(b"?", "乗".encode("gbk")), "", "乗"),
    "Shift JIS, named": (PAID.replace(b"?", "表".encode("shift_jis")), "application/json; charset=Shift_JIS", "表"),
    "Big5, named": (PAID.replace(b"?", "許".encode("big5")), 'application/json; charset="big5"', "許"),
    "a charset that is none": (PAID.replace(b"?", "乗".encode("gbk")), "application/json; charset=gb-x", "乗"),
    "two marks": (b"\xef\xbb\xbf" * 2 + PAID, "", "?"),
    "white space before a mark": (b" \r\n\xef\xbb\xbf" + PAID, "", "?"),
    "UTF-16 without a mark": (PAID.decode().encode("utf-16-le"), "", "?"),
    "UTF-16 without a mark, big end first": (PAID.decode().encode("utf-16-be"), "", "?"),
}


@pytest.mark.parametrize("name", BACKSLASHES)
def test_a_backslash_inside_a_character_costs_no_answer(hostile: HostileServer, name: str) -> None:
    body, content_type, prompt = BACKSLASHES[name]

    read = ask_both_ways(hostile, reply(200, body, ("Content-Type", content_type or "application/json")), "x")

    assert isinstance(read, SeeAnyTask), read
    assert (read.video_url, read.usage.cost) == (COMPLETED["video_url"], 0.7)
    assert read.payload["prompt"] == prompt or name == "Big5"  # which GB 18030 reads, too


PACKED: dict[str, tuple[str, bytes]] = {
    "a charset": ("UTF-8", PAID),
    "none": ("none", PAID),
    "binary": ("binary", PAID),
    "gzip, but it is not": ("gzip", PAID),
    "br, but it is not": ("br", PAID),
    "gzip": ("gzip", gzip.compress(PAID)),
    "gzip in two members": ("gzip", gzip.compress(PAID[:50]) + gzip.compress(PAID[50:])),
    "gzip twice": ("gzip, gzip", gzip.compress(gzip.compress(PAID))),
    "gzip, then nothing": ("gzip, identity", gzip.compress(PAID)),
    "deflate": ("deflate", zlib.compress(PAID)),
    "deflate without its header": ("deflate", zlib.compress(PAID)[2:-4]),
}


@pytest.mark.parametrize("name", PACKED)
def test_no_header_about_the_encoding_costs_an_answer(hostile: HostileServer, name: str) -> None:
    encoding, body = PACKED[name]

    read = ask_both_ways(hostile, reply(200, body, ("Content-Encoding", encoding)), "x")

    assert isinstance(read, SeeAnyTask), read
    assert read.video_url == COMPLETED["video_url"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"{" + b" " * 3_000_000) + gzip.compress(b" " * 3_000_000 + b"}")),
        ("gzip, gzip", gzip.compress(gzip.compress(b" " * 50_000_000))),
        ("deflate", zlib.compress(b" " * 50_000_000)[2:-4]),
    ],
    ids=["members", "twice", "without a header"],
)
def test_no_compression_makes_more_than_an_answer_may_have(encoding: str, body: bytes) -> None:
    headers = {"Content-Encoding": encoding}

    with pytest.raises(ApiError, match="larger than 4 MiB"):
        parse_task(Response(status=200, headers=headers, body=body, secret=Secret(KEY)), "x")


OF_THE_REQUEST: dict[str, tuple[dict[str, Any], type[ApiError]]] = {
    "too many requests": ({"status": "error", "code": 429, "message": "Too many requests"}, ThrottledError),
    "an outage": ({"status": "error", "code": "503", "message": "upstream unavailable"}, TransientError),
    "an outage beside success": ({"status": "success", "code": 500, "message": "boom"}, TransientError),
    "no route": ({"status": "completed", "code": 404, "message": "route not found"}, PermanentError),
    "another word": ({"status": "fail", "code": 429, "message": "slow down"}, ThrottledError),
}


@pytest.mark.parametrize("name", OF_THE_REQUEST)
def test_an_error_of_the_request_that_echoes_the_id_is_none_of_the_task(hostile: HostileServer, name: str) -> None:
    body, kind = OF_THE_REQUEST[name]

    trouble = ask_both_ways(hostile, reply(200, {"id": "x", **body}), "x")

    assert isinstance(trouble, kind), trouble


OF_THE_TASK: dict[str, dict[str, Any]] = {
    "a business code": {"status": "failed", "code": 40301, "message": "policy"},
    "a code like an HTTP status": {"status": "failed", "code": 400, "message": "policy"},
    "an error with a code": {"status": "error", "error": {"code": 503, "message": "policy"}},
    "an error with a code, and one beside it": {
        "status": "error",
        "code": 500,
        "error": {"code": 1, "message": "policy"},
    },
    "what was made": {"status": "error", "code": 500, "message": "policy", "object": "video_generation"},
}


@pytest.mark.parametrize("name", OF_THE_TASK)
def test_a_task_that_failed_has_failed_whatever_code_it_has(hostile: HostileServer, name: str) -> None:
    read = ask_both_ways(hostile, reply(200, {"id": "x", **OF_THE_TASK[name]}), "x")

    assert isinstance(read, SeeAnyTask), read
    assert read.is_failed
    assert read.error.message == "policy"


@pytest.mark.parametrize("name", MANGLED)
def test_no_odd_byte_costs_a_paid_answer(hostile: HostileServer, name: str) -> None:
    body, prompt = MANGLED[name]

    read = ask_both_ways(hostile, reply(200, body), "x")

    assert isinstance(read, SeeAnyTask), read
    assert read.is_completed
    assert (read.video_url, read.usage.cost) == (COMPLETED["video_url"], 0.7)
    assert read.payload["prompt"] == prompt
    # As Airflow sends it on, and as PostgreSQL takes it.
    msgspec.msgpack.encode(read.payload)
    assert "\\u0000" not in json.dumps(read.payload)
    json.dumps(read.payload, ensure_ascii=False).encode()
    XCom.serialize_value(read.payload)


@pytest.mark.parametrize("depth", [63, 64, 65, 400, 100_000])
def test_what_is_nested_too_deep_to_be_handed_on_is_left_out_and_told(hostile: HostileServer, depth: int) -> None:
    body = nested(depth, status="completed", object="video_generation", video_url="https://h/v")

    read = ask_both_ways(hostile, reply(200, body), "x")

    assert isinstance(read, SeeAnyTask), read
    assert (read.is_completed, read.video_url) == (True, "https://h/v")
    assert read.unparsed == (() if depth < 64 else ("what is nested more than 64 levels deep",))
    XCom.serialize_value(read.payload)


IDS = {
    "a number": ("20260603001", 20260603001),
    "a number of 25 digits": ("2026060300100000000000001", 2026060300100000000000001),
    "a number written with a point": ("20260603001", 20260603001.0),
    "white space around it": ("x", " x\n"),
}


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_known_by_its_digits_and_without_white_space(hostile: HostileServer, name: str) -> None:
    asked, echoed = IDS[name]

    read = ask_both_ways(hostile, task(id=echoed, status="completed"), asked)

    assert isinstance(read, SeeAnyTask), read
    assert (read.id, read.is_completed) == (asked, True)


@pytest.mark.parametrize("echoed", [8, 70, "7 7", "７", "07", -7, "7.0"])
def test_an_id_of_other_digits_is_another_task(hostile: HostileServer, echoed: object) -> None:
    assert_is(ask_both_ways(hostile, task(id=echoed, status="completed"), "7"), unusable("another task"))


@pytest.mark.parametrize(
    "answer",
    [reply(200, b"[" + b" " * 5 * 1024 * 1024 + b"]"), compressed(b"[" + b" " * 64 * 1024 * 1024 + b"]")],
    ids=["5 MiB", "64 MiB in a small gzip"],
)
def test_an_answer_of_more_than_4_mib_is_not_read(hostile: HostileServer, answer: Answer) -> None:
    assert_is(ask_both_ways(hostile, answer, "x"), bad(INVALID_RESPONSE, 200, "larger than 4 MiB"))


UNREACHABLES = {
    "reset": reset,
    "closed": close,
    "hanging": register,
    "cut short": truncated(),
    "chunk cut short": raw(CHUNKED + b"50\r\n" + OK),
    "chunk of negative length": raw(CHUNKED + b"-1\r\n" + OK + b"\r\n0\r\n\r\n"),
    "chunk of no length": raw(CHUNKED + b"zz\r\n" + OK),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + OK),
    "endless header line": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
    "endless headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 2000 + b"\r\n" + OK),
}


@pytest.mark.parametrize("name", UNREACHABLES)
def test_a_broken_connection_is_a_passing_fault(hostile: HostileServer, name: str) -> None:
    trouble = ask_both_ways(hostile, UNREACHABLES[name], "x", seconds=0.5 if name == "hanging" else 10)

    assert_is(trouble, bad(TRANSIENT, None, "SeeAny could not be reached: "))


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(OK)
MALFORMED = {
    "a header of 20 kB": LENGTH + b"X: " + b"a" * 20_000 + b"\r\n\r\n" + OK,
    "a header of 60 kB": LENGTH + b"X: " + b"a" * 60_000 + b"\r\n\r\n" + OK,
    "a reason of 20 kB": LENGTH.replace(b"OK", b"a" * 20_000) + b"\r\n" + OK,
    "the same length twice": LENGTH + b"Content-Length: %d\r\n\r\n" % len(OK) + OK,
    "a header without a colon": LENGTH + b"bad header line\r\n\r\n" + OK,
    "a header without a colon before the length": LENGTH.replace(b"Content", b"bad header line\r\nContent")
    + b"\r\n"
    + OK,
    "a header without a name": LENGTH + b": x\r\n\r\n" + OK,
    "a folded line after nothing": LENGTH.replace(b"Content", b" x\r\nContent") + b"\r\n" + OK,
    "white space before the colon": LENGTH + b"X-A : b\r\n\r\n" + OK,
    "white space before the colon of the length": LENGTH.replace(b":", b" :") + b"\r\n" + OK,
    "a NUL in a header": LENGTH + b"X: a\0b\r\n\r\n" + OK,
    "letters beyond ASCII in a header's name": LENGTH + b"X-\xe4: b\r\n\r\n" + OK,
    "bytes after the body": LENGTH + b"\r\n" + OK + b"zzz",
    "bytes after the last response": LENGTH + b"Connection: close\r\n\r\n" + OK + b"zzz",
    "early hints of HTTP/1.0": b"HTTP/1.0 103 Early Hints\r\n\r\n" + LENGTH + b"\r\n" + OK,
}


@pytest.mark.parametrize("stays_open", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_no_malformed_header_costs_a_paid_answer_in_either_way(
    hostile: HostileServer, name: str, stays_open: bool
) -> None:
    async def answer(caller: Caller) -> None:
        await caller.send(MALFORMED[name])
        await (caller.gone if stays_open else caller.hang_up)()

    assert isinstance(ask_both_ways(hostile, answer, "x", seconds=3), SeeAnyTask)


ODD = {
    "early hints first": raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(200, OK)),
    "early hints and nothing more": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "another protocol": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "header cut short": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "header without a colon": raw(f"HTTP/1.1 200 OK\r\n{KEY} \r\n\r\n".encode()),
    "header beyond ASCII": reply(500, b"", ("X-Request-Id", "a\xffb")),
    "negative length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + OK),
    "line ends of one byte": raw(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(OK) + OK),
    "header of 20 kB": raw(http(200, OK, ("X", "a" * 20_000))),
    "brotli": reply(200, b"\x01\x02", ("Content-Encoding", "br")),
    "zstandard": reply(200, b"\x01\x02", ("Content-Encoding", "zstd")),
    "unknown compression": reply(200, b"\x01\x02", ("Content-Encoding", "x")),
    "half a gzip": reply(200, gzip.compress(OK)[:-12], ("Content-Encoding", "gzip")),
    "byte order mark": reply(200, b"\xef\xbb\xbf" + OK),
}


@pytest.mark.parametrize("name", ODD)
def test_a_response_that_some_http_libraries_cannot_read_never_ends_a_wait(
    hostile: HostileServer, poll: Look, name: str
) -> None:
    hostile.script(ODD[name])

    reply_ = poll(settings_for(hostile))

    if isinstance(reply_, ApiError):
        assert_fit_to_show(reply_)
        assert type(reply_) in (TRANSIENT, INVALID_RESPONSE)


LATE = b"y" * 80
SLOW = {
    "status line": (b"", b"HTTP/1.1 200 " + LATE),
    "headers": (b"HTTP/1.1 200 OK\r\nX: ", LATE),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n", LATE),
    "compressed body": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0", LATE),
    "chunk size": (CHUNKED + b"5;", LATE),
    "trailers": (CHUNKED + b"%x\r\n%b\r\n0\r\nX: " % (len(OK), OK), LATE),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 80\r\n\r\n", LATE),
    "body of a refusal": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 80\r\n\r\n", LATE),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_trickle_of_bytes_cannot_outlast_the_request_timeout(hostile: HostileServer, poll: Look, name: str) -> None:
    taken: list[bytes] = []
    hostile.script(trickle(*SLOW[name], taken))

    reply_ = poll(settings_for(hostile, request_timeout=0.4))

    assert taken == []
    assert isinstance(reply_, ApiError)
    assert type(reply_) in (TRANSIENT, PERMANENT if "redirect" in name else TRANSIENT)


def test_a_server_that_accepts_no_connection_is_given_up_after_the_connect_timeout(poll: Look) -> None:
    """It never answers the TLS handshake; waiting for the whole request would take longer than a test may."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = ApiSettings(
            base_url=f"https://127.0.0.1:{server.getsockname()[1]}/v1",
            api_key=Secret(KEY),
            request_timeout=3600,
            connect_timeout=0.2,
        )

        reply_ = poll(settings)

    assert isinstance(reply_, TRANSIENT)


@pytest.mark.parametrize("status", [200, 500])
def test_a_key_with_a_slash_is_masked_however_json_spells_it(status: int) -> None:
    key = "sk-abcdefgh/ijklmnop"
    body = rb'{"id": "x", "status": "processing", "quoted": "sk-abcdefgh\/ijklmnop"}'

    try:
        seen = json.dumps(parse_json(Response(status=status, headers={}, body=body, secret=Secret(key))))
    except ApiError as error:
        seen = str(error)

    assert "ijklmnop" not in seen
    assert "***" in seen


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_flood_of_bytes_is_not_read_to_its_end(hostile: HostileServer, poll: Look, status: int) -> None:
    taken: list[int] = []
    head = f"HTTP/1.1 {status} Said\r\nLocation: /\r\nContent-Length: {64 << 20}\r\n\r\n"
    hostile.script(flood(head.encode(), 64, taken))

    assert isinstance(poll(settings_for(hostile)), ApiError)
    hostile.until(lambda: hostile.open == 0)

    # What is on its way when the caller hangs up counts too.
    assert len(taken) < 32


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
FINAL = http(200, b'{"id": "x", "status": "processing"}')
INFORMATIONAL: dict[str, tuple[bytes, type[SeeAnyTask | ApiError]]] = {
    "100": (b"HTTP/1.1 100 Continue\r\n\r\n" + FINAL, SeeAnyTask),
    "102": (b"HTTP/1.1 102 Processing\r\n\r\n" + FINAL, SeeAnyTask),
    "103": (EARLY + FINAL, SeeAnyTask),
    "199": (b"HTTP/1.1 199 Odd\r\n\r\n" + FINAL, SeeAnyTask),
    "several": (EARLY * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + FINAL, SeeAnyTask),
    "and an error": (EARLY + http(502, b"no"), ApiError),
    "and the end": (EARLY, ApiError),
    "and half a response": (EARLY + FINAL[:-10], ApiError),
    "half of one": (EARLY[:30], ApiError),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", ApiError),
    "another protocol, and what looks like a response": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + FINAL,
        ApiError,
    ),
}


@pytest.mark.parametrize("name", INFORMATIONAL)
def test_informational_responses_are_read_past_alike_in_both_ways(hostile: HostileServer, name: str) -> None:
    response, kind = INFORMATIONAL[name]

    reply_ = ask_both_ways(hostile, raw(response), "x")

    assert isinstance(reply_, kind)
    if isinstance(reply_, ApiError):
        assert type(reply_) is TRANSIENT


@pytest.mark.parametrize("between", [EARLY, EARLY * 2, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"])
def test_no_question_gets_the_answer_to_the_one_before(hostile: HostileServer, between: bytes) -> None:
    """Also where the real response comes a good while after the informational one."""

    async def late(caller: Caller) -> None:
        await caller.send(between)
        await asyncio.sleep(0.2)
        await caller.send(http(200, b'{"id": "first"}'))

    hostile.script(late, reply(200, {"id": "second"}))
    client = BlockingClient(settings_for(hostile))

    with contextlib.suppress(ApiError):
        assert client.get_json("tasks/first") == {"id": "first"}
    second = client.get_json("tasks/second")
    client.close()

    assert second == {"id": "second"}


ECHOES: dict[str, Answer] = {
    "plain body": reply(401, f"no such key: {KEY}"),
    "message": reply(401, {"error": {"code": KEY, "message": f"bad header Authorization: Bearer {KEY}"}}),
    "request id": reply(500, b"", ("X-Request-Id", KEY)),
    "page": page(200, f"<p>{KEY}"),
    "wrong id": task(id=KEY),
    "wrong type": task(**{"progress": KEY}),
    "field name": reply(200, {KEY: 1}),
    "envelope": reply(200, {"code": 10001, "msg": KEY}),
    "not JSON": reply(200, f"Bearer {KEY}"),
    "over and over": reply(400, {"message": KEY * 200}),
    "after white space": reply(400, {"message": " " * 4060 + KEY}),
    "after line breaks": reply(400, {"message": "\n" * 4060 + KEY}),
    "far down": reply(400, b"\n" * (65_536 - 30) + KEY.encode()),
    "status line": raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
    "chunk size": raw(CHUNKED + f"{KEY}\r\n".encode()),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_server_that_quotes_the_key_cannot_spread_it(hostile: HostileServer, name: str) -> None:
    # ask_both_ways looks for the key, and for its first part, in everything that could be shown.
    ask_both_ways(hostile, ECHOES[name], "x")


def test_a_servers_text_cannot_forge_log_lines_or_move_the_cursor(hostile: HostileServer) -> None:
    message = "a\r\n[2026] ERROR forged\x1b[31m\x9b2J\u2028\u202edlrow\x07" + "长" * 10_000

    trouble = ask_both_ways(hostile, reply(400, {"error": {"code": message, "message": message}}), "x")

    assert isinstance(trouble, ApiError)
    assert trouble.message is not None
    assert trouble.message.startswith("a [2026] ERROR forged [31m 2J dlrow 长长")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.dictionaries(st.sampled_from([*SeeAnyTask.__struct_fields__, "code", "msg", "url", "urls"]), JSON)
BODIES = st.binary(max_size=200) | (JSON | FIELDS).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "Content-Type", "Location", "X-Request-Id"]), st.text())


@given(status=st.integers(100, 999), headers=HEADERS, body=BODIES)
def test_any_response_at_all_is_a_task_or_typed_trouble(status: int, headers: dict[str, str], body: bytes) -> None:
    response = Response(status=status, headers=headers, body=body, secret=Secret(KEY))
    for read in (lambda: parse_json(response), lambda: parse_task(response, "x")):
        try:
            read()
        except ApiError as error:
            assert_fit_to_show(error.trouble)
