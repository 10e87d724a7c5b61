"""Sends one request with each transport, and compares what they make of the response."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY, poll_async, poll_blocking, settings_for
from tests.hostile import (
    HostileServer,
    Responder,
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
    """What an error must hold."""

    kind: type[ApiError]
    http_status: int | None
    texts: tuple[str, ...]
    fields: dict[str, object]


def bad(kind: type[ApiError], http_status: int | None, *texts: str, **fields: object) -> Bad:
    """Return what must be raised for a response; fields that are not named must not be set."""
    defaults = {"code": None, "message": None, "request_id": None, "retry_after": None, "is_web_page": False}
    return Bad(kind, http_status, texts, defaults | fields)


def invalid(*texts: str) -> Bad:
    """Return what must be raised for an invalid response with a success status."""
    return bad(INVALID_RESPONSE, 200, "is invalid", *texts)


def poll_both_ways(
    server: HostileServer,
    response: Responder,
    task_id: str,
    seconds: float = 10,
    dialect: Dialect = DEFAULT_DIALECT,
) -> SeeAnyTask | ApiError:
    """Poll with both transports, see that they agree, and return the task or the error."""
    server.script(response)
    settings = settings_for(server, dialect, request_timeout=seconds)
    replies = [poll(settings, task_id) for poll in (poll_blocking, poll_async)]
    for reply_ in replies:
        if isinstance(reply_, ApiError):
            assert_fit_to_show(reply_)
    blocking, asynchronous = (_comparable(reply_) for reply_ in replies)
    assert blocking == asynchronous
    return replies[0]


def _comparable(reply_: SeeAnyTask | ApiError) -> object:
    # Without a response each HTTP library has its own words for what happened.
    if isinstance(reply_, ApiError) and reply_.http_status is None:
        return type(reply_), {**vars(reply_), "text": ""}
    return (type(reply_), vars(reply_)) if isinstance(reply_, ApiError) else reply_


def assert_fit_to_show(error: SeeAnyTask | ApiError) -> None:
    """See that no text of the error is long, holds the key or a good part of it, or could forge a log line."""
    assert isinstance(error, ApiError), error
    for text in (str(error), error.code, error.message, error.request_id):
        if text is not None:
            assert len(text) < 1200
            assert KEY[:12] not in text.lower()
            assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text), text
            assert not set(text) & set("\u2028\u2029\u202a\u202e\u2066")


def assert_is(error: SeeAnyTask | ApiError, expected: Bad) -> None:
    """See that a poll raised the expected error."""
    assert isinstance(error, ApiError), error
    assert (type(error), error.http_status) == (expected.kind, expected.http_status), error
    for part in expected.texts:
        assert part in str(error)
    assert {name: getattr(error, name) for name in expected.fields} == expected.fields
