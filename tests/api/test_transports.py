"""Broken connections, malformed headers and slow servers: both transports agree."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket

import pytest

from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.errors import (
    ApiError,
)
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.api.both_ways import (
    CHUNKED,
    INVALID_RESPONSE,
    OK,
    PERMANENT,
    TRANSIENT,
    assert_fit_to_show,
    assert_is,
    bad,
    poll_both_ways,
)
from tests.conftest import KEY, Poll, settings_for
from tests.hostile import (
    Caller,
    HostileServer,
    close,
    flood,
    http,
    never_respond,
    raw,
    reply,
    reset,
    trickle,
    truncated,
)

UNREACHABLES = {
    "reset": reset,
    "closed": close,
    "hanging": never_respond,
    "truncated": truncated(),
    "truncated chunk": raw(CHUNKED + b"50\r\n" + OK),
    "chunk of negative length": raw(CHUNKED + b"-1\r\n" + OK + b"\r\n0\r\n\r\n"),
    "chunk of no length": raw(CHUNKED + b"zz\r\n" + OK),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + OK),
    "endless header line": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
    "endless headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 2000 + b"\r\n" + OK),
}


@pytest.mark.parametrize("name", UNREACHABLES)
def test_a_broken_connection_is_a_passing_fault(hostile: HostileServer, name: str) -> None:
    error = poll_both_ways(hostile, UNREACHABLES[name], "x", seconds=0.5 if name == "hanging" else 10)

    assert_is(error, bad(TRANSIENT, None, "SeeAny could not be reached: "))


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
def test_no_malformed_header_costs_a_paid_result_in_either_way(
    hostile: HostileServer, name: str, stays_open: bool
) -> None:
    async def respond(caller: Caller) -> None:
        await caller.send(MALFORMED[name])
        await (caller.gone if stays_open else caller.hang_up)()

    assert isinstance(poll_both_ways(hostile, respond, "x", seconds=3), SeeAnyTask)


ODD = {
    "early hints first": raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(200, OK)),
    "early hints and nothing more": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "another protocol": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "truncated header": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
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
    hostile: HostileServer, poll: Poll, name: str
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
def test_a_trickle_of_bytes_cannot_outlast_the_request_timeout(hostile: HostileServer, poll: Poll, name: str) -> None:
    taken: list[bytes] = []
    hostile.script(trickle(*SLOW[name], taken))

    reply_ = poll(settings_for(hostile, request_timeout=0.4))

    assert taken == []
    assert isinstance(reply_, ApiError)
    assert type(reply_) in (TRANSIENT, PERMANENT if "redirect" in name else TRANSIENT)


def test_a_server_that_accepts_no_connection_is_given_up_after_the_connect_timeout(poll: Poll) -> None:
    """It never completes the TLS handshake; waiting for the whole request would take longer than a test may."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = ApiSettings(
            base_url=f"https://127.0.0.1:{server.getsockname()[1]}/v1",
            api_key=Secret(KEY),
            request_timeout=3600,
            connect_timeout=0.2,
        )

        reply_ = poll(settings)

    assert isinstance(reply_, TRANSIENT)


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_flood_of_bytes_is_not_read_to_its_end(hostile: HostileServer, poll: Poll, status: int) -> None:
    taken: list[int] = []
    head = f"HTTP/1.1 {status} Reason\r\nLocation: /\r\nContent-Length: {64 << 20}\r\n\r\n"
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
    "199": (b"HTTP/1.1 199 Unknown\r\n\r\n" + FINAL, SeeAnyTask),
    "several": (EARLY * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + FINAL, SeeAnyTask),
    "and an error": (EARLY + http(502, b"no"), ApiError),
    "and the end": (EARLY, ApiError),
    "and half a response": (EARLY + FINAL[:-10], ApiError),
    "half of one": (EARLY[:30], ApiError),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", ApiError),
    "another protocol, and bytes like a response": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + FINAL,
        ApiError,
    ),
}


@pytest.mark.parametrize("name", INFORMATIONAL)
def test_informational_responses_are_read_past_alike_in_both_ways(hostile: HostileServer, name: str) -> None:
    response, kind = INFORMATIONAL[name]

    reply_ = poll_both_ways(hostile, raw(response), "x")

    assert isinstance(reply_, kind)
    if isinstance(reply_, ApiError):
        assert type(reply_) is TRANSIENT


@pytest.mark.parametrize("between", [EARLY, EARLY * 2, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"])
def test_no_request_gets_the_response_to_the_one_before(hostile: HostileServer, between: bytes) -> None:
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
