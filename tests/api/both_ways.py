"""Sends one request with each transport, and compares what they make of the response."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY, look_async, look_blocking, settings_for
from tests.hostile import (
    Answer,
    HostileServer,
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


def assert_is(trouble: SeeAnyTask | ApiError, expected: Bad) -> None:
    """See that a question brought the expected trouble."""
    assert isinstance(trouble, ApiError), trouble
    assert (type(trouble), trouble.http_status) == (expected.kind, expected.http_status), trouble
    for part in expected.says:
        assert part in str(trouble)
    assert {name: getattr(trouble, name) for name in expected.fields} == expected.fields
