"""What each response means, over a socket with both transports, which must not differ."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT, DIALECTS
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.errors import (
    ApiError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.parse import parse_json, parse_task
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.api.both_ways import (
    BODY,
    CHUNKED,
    INVALID_RESPONSE,
    OK,
    PERMANENT,
    THROTTLED,
    TRANSIENT,
    Bad,
    assert_fit_to_show,
    assert_is,
    bad,
    invalid,
    poll_both_ways,
)
from tests.conftest import KEY, Poll, settings_for
from tests.hostile import (
    COMPLETED,
    FAILED,
    PROCESSING,
    VIDEO,
    HostileServer,
    Responder,
    about,
    compressed,
    http,
    nested,
    page,
    raw,
    reply,
    task,
    truncated,
)

TASKS = {
    "documented processing": (PROCESSING, VIDEO),
    "documented completed": (COMPLETED, VIDEO),
    "documented failed": (FAILED, VIDEO),
    "undocumented status": (BODY | {"status": "paused"}, "x"),
    "new fields": (BODY | {"seed": 7, "extra": {"a": [1, None]}}, "x"),
    "every field null": (BODY | {"progress": None, "usage": None, "error": None}, "x"),
    "a field that databases add": (BODY | {"__v": 0}, "x"),
    "unicode id": (BODY | {"id": "任务 1"}, "任务 1"),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_read_alike_in_both_ways(hostile: HostileServer, dialect: Dialect, name: str) -> None:
    body, task_id = TASKS[name]

    read = poll_both_ways(hostile, about(body), task_id, dialect=dialect)

    assert isinstance(read, SeeAnyTask), read
    assert read.id == task_id
    assert {key: value for key, value in read.payload.items() if key != "task_uuid"} == body


SENT = {
    "another success status": (reply(203, BODY), BODY),
    "no content type": (raw(http(200, OK)), BODY),
    "no length": (raw(b"HTTP/1.1 200 OK\r\n\r\n" + OK), BODY),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + OK), BODY),
    "chunked": (raw(CHUNKED + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (OK[:5], len(OK) - 5, OK[5:])), BODY),
    "gzipped unasked": (compressed(OK), BODY),
    "continue first": (raw(b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, OK)), BODY),
    "duplicate keys": (reply(200, OK[:-1] + b', "status": "completed"}'), BODY | {"status": "completed"}),
    "an integer beyond 64 bits": (task(seed=10**30), BODY | {"seed": str(10**30)}),
    "almost too large": (task(pad="x" * (MAX_RESPONSE_BYTES - 1000)), None),
}


@pytest.mark.parametrize("name", SENT)
def test_a_response_about_the_task_is_read_however_it_is_sent(hostile: HostileServer, name: str) -> None:
    response, body = SENT[name]

    read = poll_both_ways(hostile, response, "x")

    assert isinstance(read, SeeAnyTask), read
    if body is not None:
        assert read.payload == body


STATUSES = {
    **dict.fromkeys((400, 401, 402, 403, 404, 405, 409, 410, 418, 422, 451), PERMANENT),
    **dict.fromkeys((408, 425, 500, 502, 503, 504, 520, 599), TRANSIENT),
    429: THROTTLED,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_alone_decides_whether_another_request_makes_sense(
    hostile: HostileServer, dialect: Dialect, status: int
) -> None:
    body = {"code": "c", "msg": "说明"} if dialect.name == "developer" else {"error": {"code": "c", "message": "说明"}}
    error = poll_both_ways(hostile, reply(status, body), "x", dialect=dialect)

    assert isinstance(error, ApiError)
    assert (type(error), error.http_status) == (STATUSES[status], status)
    assert error.text == f"SeeAny returned HTTP {status}: 说明 (c)"


def refusal_with(body: object, *texts: str, **fields: object) -> tuple[Responder, Bad]:
    """Return a refusal with this body, and the texts and fields that its error must have."""
    return reply(400, body), bad(PERMANENT, 400, "SeeAny returned HTTP 400", *texts, **fields)


REFUSALS = {
    "error object": refusal_with(
        {"error": {"code": "bad_id", "message": "不支持的格式"}},
        "不支持的格式 (bad_id)",
        code="bad_id",
        message="不支持的格式",
    ),
    "error object with msg": refusal_with({"error": {"code": 7, "msg": "no"}}, ": no (7)", code="7", message="no"),
    "error text": refusal_with({"error": "no such thing"}, ": no such thing", message="no such thing"),
    "message": refusal_with({"message": "no"}, ": no", message="no"),
    "detail": refusal_with({"detail": "no"}, ": no", message="no"),
    "code and msg": refusal_with({"code": 40001, "msg": "no"}, ": no (40001)", code="40001", message="no"),
    "no known field": refusal_with({"wrong": True}, '{"wrong": true}'),
    "a list": refusal_with([1, 2], "[1, 2]"),
    "plain text": refusal_with("out of order", ": out of order"),
    "not UTF-8": refusal_with(b"\xff\xfe no", "no"),
    "empty": (reply(400), bad(PERMANENT, 400)),
    "wrong types": refusal_with({"error": {"code": [], "message": {}}}, '"code": []'),
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
    "in a compression that was not requested": (
        reply(502, b"\x01\x02", ("Content-Encoding", "br")),
        bad(TRANSIENT, 502, "HTTP 502"),
    ),
    "in a broken compression": (reply(503, b"no gzip", ("Content-Encoding", "gzip")), bad(TRANSIENT, 503, "HTTP 503")),
    "far too long": (reply(500, b" " * 5 * 1024 * 1024), bad(TRANSIENT, 500, "HTTP 500")),
    "far too long, key refused": (reply(401, b" " * 5 * 1024 * 1024), bad(PERMANENT, 401, "HTTP 401")),
    "truncated": (truncated({"message": "no"}), bad(TRANSIENT, None, "could not be reached")),
    # A success status, but an error in the body.
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
def test_a_refusal_is_reported_in_the_services_own_words(hostile: HostileServer, dialect: Dialect, name: str) -> None:
    response, expected = REFUSALS[name]

    assert_is(poll_both_ways(hostile, response, "x", dialect=dialect), expected)


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

    error = poll_both_ways(hostile, reply(status, b"", ("Retry-After", value)), "x")

    assert isinstance(error, ApiError)
    assert (type(error), error.retry_after) == (kind, seconds)


def test_a_retry_after_date_ahead_is_the_time_until_then(hostile: HostileServer, poll: Poll) -> None:
    hostile.script(reply(429, b"", ("Retry-After", format_datetime(datetime.now(UTC) + timedelta(hours=1)))))

    error = poll(settings_for(hostile))

    assert isinstance(error, ApiError)
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 3600


def test_a_header_that_came_twice_is_read_alike_in_both_ways(hostile: HostileServer) -> None:
    error = poll_both_ways(hostile, reply(503, b"", ("Retry-After", "3"), ("Retry-After", "3")), "x")

    assert isinstance(error, ApiError)
    assert error.retry_after == 3


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(
    hostile: HostileServer, other_host: HostileServer, status: int
) -> None:
    other_host.script(task())

    error = poll_both_ways(hostile, reply(status, b"", ("Location", f"{other_host.url}/v1/tasks/x")), "x")

    assert_is(error, bad(PERMANENT, status, "redirected to localhost", "not followed"))
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
def test_a_redirect_to_nonsense_is_a_refusal_too(hostile: HostileServer, poll: Poll, name: str) -> None:
    hostile.script(reply(302, b"", *LOCATIONS[name]))

    error = poll(settings_for(hostile))

    assert_is(error, bad(PERMANENT, 302, "redirected to", "not followed"))
    assert_fit_to_show(error)
    assert "to  and" not in str(error)


INVALID: dict[str, tuple[Responder, Bad]] = {
    "a page": (page(200, "<!DOCTYPE html><p>Log in"), invalid("HTML", "<!DOCTYPE html><p>Log in")),
    "a page without a type": (reply(200, "<html>hi"), invalid("HTML", "<html>hi")),
    "nothing": (reply(200), invalid("the body is empty")),
    "nothing at all": (reply(204), bad(INVALID_RESPONSE, 204, "the body is empty")),
    "white space": (reply(200, b" \r\n\t "), invalid("the body is empty")),
    "half of it": (reply(200, OK[:20]), invalid("JSON", OK[:20].decode())),
    "two of it": (reply(200, OK + OK), invalid("JSON")),
    "a list": (reply(200, [BODY]), invalid("expected a JSON object, got list")),
    "text": (reply(200, '"x"'), invalid("got str")),
    "null": (reply(200, "null"), invalid("got NoneType")),
    "a number": (reply(200, "1"), invalid("got int")),
    "wrong id": (task(id="y"), invalid("another task, 'y'")),
    "id in another case": (task(id="X"), invalid("another task, 'X'")),
    "id of another type": (task(id=1), invalid("id")),
    "no id": (reply(200, {"status": "processing"}), invalid("id")),
    "no status": (reply(200, {"id": "x"}), invalid("status")),
    "null status": (task(status=None), invalid("status")),
    "empty status": (task(status=""), invalid("no usable `status`")),
    "invisible status": (task(status="\u200b \ufeff"), invalid("status")),
    "status is a number": (task(status=1), invalid("status")),
    "status is true": (task(status=True), invalid("status")),
    "status is an object": (task(status={"value": "completed"}), invalid("status")),
    "id is true": (task(id=True), invalid("id")),
    "id is half a number": (task(id=7.5), invalid("`id`")),
    "null id": (task(id=None), invalid("`id`")),
    "empty id": (task(id=""), invalid("`id`")),
    "id is a list": (task(id=["x"]), invalid("id")),
    "a gateway's own word": (reply(200, {"status": "ok"}), invalid("id")),
    "a gateway's own failure": (reply(200, {"status": "error", "message": "no upstream"}), invalid("id")),
    "a gateway's own success": (reply(200, {"status": "success", "data": COMPLETED}), invalid("id")),
    "a completed task in an envelope": (reply(200, {"status": 200, "data": COMPLETED}), invalid("id")),
    "another completed task": (task(id="x2", status="completed", video_url="https://h/v"), invalid("x2")),
    "a completed task, truncated": (reply(200, json.dumps(COMPLETED)[:-1]), invalid("JSON")),
    "status is a list": (task(status=["completed"]), invalid("status")),
    "broken gzip": (reply(200, b"no gzip", ("Content-Encoding", "gzip")), invalid("compress")),
    "deep nesting, megabytes of it": (reply(200, nested(1_000_000)), invalid()),
    "control characters": (reply(200, b"\x1b[2J\nforged line\x00\x9b31m"), invalid("JSON", "forged line")),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_response_is_reported_with_its_first_bytes(hostile: HostileServer, name: str) -> None:
    response, expected = INVALID[name]

    assert_is(poll_both_ways(hostile, response, "x"), expected)


OF_THE_REQUEST: dict[str, tuple[dict[str, Any], type[ApiError]]] = {
    "too many requests": ({"status": "error", "code": 429, "message": "Too many requests"}, ThrottledError),
    "unavailable": ({"status": "error", "code": "503", "message": "upstream unavailable"}, TransientError),
    "unavailable, beside success": ({"status": "success", "code": 500, "message": "boom"}, TransientError),
    "no route": ({"status": "completed", "code": 404, "message": "route not found"}, PermanentError),
    "another word": ({"status": "fail", "code": 429, "message": "slow down"}, ThrottledError),
}


@pytest.mark.parametrize("name", OF_THE_REQUEST)
def test_an_error_of_the_request_that_echoes_the_id_is_none_of_the_task(hostile: HostileServer, name: str) -> None:
    body, kind = OF_THE_REQUEST[name]

    error = poll_both_ways(hostile, reply(200, {"id": "x", **body}), "x")

    assert isinstance(error, kind), error


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
    read = poll_both_ways(hostile, reply(200, {"id": "x", **OF_THE_TASK[name]}), "x")

    assert isinstance(read, SeeAnyTask), read
    assert read.is_failed
    assert read.error.message == "policy"


IDS = {
    "a number": ("20260603001", 20260603001),
    "a number of 25 digits": ("2026060300100000000000001", 2026060300100000000000001),
    "a number written with a point": ("20260603001", 20260603001.0),
    "white space around it": ("x", " x\n"),
}


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_known_by_its_digits_and_without_white_space(
    hostile: HostileServer, dialect: Dialect, name: str
) -> None:
    task_id, echoed = IDS[name]

    read = poll_both_ways(hostile, task(id=echoed, status="completed"), task_id, dialect=dialect)

    assert isinstance(read, SeeAnyTask), read
    assert (read.id, read.is_completed) == (task_id, True)


@pytest.mark.parametrize("echoed", [8, 70, "7 7", "７", "07", -7, "7.0"])
def test_an_id_of_other_digits_is_another_task(hostile: HostileServer, dialect: Dialect, echoed: object) -> None:
    error = poll_both_ways(hostile, task(id=echoed, status="completed"), "7", dialect=dialect)

    assert_is(error, invalid("another task"))


@pytest.mark.parametrize("status", [200, 500])
def test_a_key_with_a_slash_is_masked_however_json_spells_it(status: int) -> None:
    key = "sk-abcdefgh/ijklmnop"
    body = rb'{"id": "x", "status": "processing", "quoted": "sk-abcdefgh\/ijklmnop"}'

    try:
        seen = json.dumps(
            parse_json(Response(status=status, headers={}, body=body, secret=Secret(key)), DEFAULT_DIALECT)
        )
    except ApiError as error:
        seen = str(error)

    assert "ijklmnop" not in seen
    assert "***" in seen


ECHOES: dict[str, Responder] = {
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
def test_a_key_that_a_server_quotes_is_not_shown(hostile: HostileServer, dialect: Dialect, name: str) -> None:
    # poll_both_ways searches for the key, and for its first part, in everything that could be shown.
    poll_both_ways(hostile, ECHOES[name], "x", dialect=dialect)


def test_a_servers_text_cannot_forge_log_lines_or_move_the_cursor(hostile: HostileServer) -> None:
    message = "a\r\n[2026] ERROR forged\x1b[31m\x9b2J\u2028\u202edlrow\x07" + "长" * 10_000

    error = poll_both_ways(hostile, reply(400, {"error": {"code": message, "message": message}}), "x")

    assert isinstance(error, ApiError)
    assert error.message is not None
    assert error.message.startswith("a [2026] ERROR forged [31m 2J dlrow 长长")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


FIELDS = st.dictionaries(st.sampled_from([*SeeAnyTask.__struct_fields__, "code", "msg", "data", "url", "urls"]), JSON)


BODIES = st.binary(max_size=200) | (JSON | FIELDS).map(lambda value: json.dumps(value).encode())


HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "Content-Type", "Location", "X-Request-Id"]), st.text())


@given(status=st.integers(100, 999), headers=HEADERS, body=BODIES)
def test_any_response_at_all_is_a_task_or_a_typed_error(status: int, headers: dict[str, str], body: bytes) -> None:
    response = Response(status=status, headers=headers, body=body, secret=Secret(KEY))
    for dialect in DIALECTS.values():
        for read in (parse_json, partial(parse_task, seeany_task_id="x")):
            try:
                read(response, dialect=dialect)
            except ApiError as error:
                assert_fit_to_show(error)
