"""Decoding a body: whatever its bytes, a paid result is not lost, and Airflow can store it."""

from __future__ import annotations

import gzip
import json
import zlib

import msgspec
import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.errors import (
    ApiError,
)
from airflow_provider_seeany.api.parse import parse_task
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.api.both_ways import INVALID_RESPONSE, assert_is, bad, poll_both_ways
from tests.conftest import KEY, Poll, settings_for
from tests.hostile import (
    COMPLETED,
    HostileServer,
    Responder,
    compressed,
    nested,
    reply,
    task,
)

PAID = json.dumps({**COMPLETED, "id": "x", "prompt": "?"}).encode()
"""The payload of a completed task, with a field that is never read."""


MANGLED: dict[str, tuple[bytes, object]] = {
    "half an emoji": (PAID.replace(b"?", rb"a cat \ud83d"), "a cat \ufffd"),
    "the other half": (PAID.replace(b"?", rb"\udc31 a cat"), "\ufffd a cat"),
    "two halves in the wrong order": (PAID.replace(b"?", rb"\udc31\ud83d"), "\ufffd\ufffd"),
    "half an emoji in bytes": (PAID.replace(b"?", b"\xed\xa0\xbd"), "\ufffd\ufffd\ufffd"),
    "half an emoji in a name": (PAID.replace(b'"prompt"', rb'"prompt": 1, "\ud83d"'), 1),
    "no UTF-8": (PAID.replace(b"?", "视频".encode("gbk")), "\ufffd\ufffdƵ"),
    "truncated inside a character": (PAID.replace(b"?", "视频".encode()[:-1]), "视\ufffd"),
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
def test_a_backslash_inside_a_character_costs_no_response(hostile: HostileServer, name: str) -> None:
    body, content_type, prompt = BACKSLASHES[name]

    read = poll_both_ways(hostile, reply(200, body, ("Content-Type", content_type or "application/json")), "x")

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
def test_no_header_about_the_encoding_costs_a_response(hostile: HostileServer, name: str) -> None:
    encoding, body = PACKED[name]

    read = poll_both_ways(hostile, reply(200, body, ("Content-Encoding", encoding)), "x")

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
def test_no_compression_makes_more_than_a_response_may_have(encoding: str, body: bytes) -> None:
    headers = {"Content-Encoding": encoding}

    with pytest.raises(ApiError, match="larger than 4 MiB"):
        parse_task(Response(status=200, headers=headers, body=body, secret=Secret(KEY)), "x", DEFAULT_DIALECT)


@pytest.mark.parametrize("name", MANGLED)
def test_no_invalid_byte_costs_a_paid_result(hostile: HostileServer, name: str) -> None:
    body, prompt = MANGLED[name]

    read = poll_both_ways(hostile, reply(200, body), "x")

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
def test_what_is_nested_too_deep_to_be_handed_on_is_left_out_and_named(hostile: HostileServer, depth: int) -> None:
    body = nested(depth, status="completed", object="video_generation", video_url="https://h/v")

    read = poll_both_ways(hostile, reply(200, body), "x")

    assert isinstance(read, SeeAnyTask), read
    assert (read.is_completed, read.video_url) == (True, "https://h/v")
    assert read.unparsed == (() if depth < 64 else ("what is nested more than 64 levels deep",))
    XCom.serialize_value(read.payload)


@pytest.mark.parametrize(
    "response",
    [reply(200, b"[" + b" " * 5 * 1024 * 1024 + b"]"), compressed(b"[" + b" " * 64 * 1024 * 1024 + b"]")],
    ids=["5 MiB", "64 MiB in a small gzip"],
)
def test_a_response_of_more_than_4_mib_is_not_read(hostile: HostileServer, response: Responder) -> None:
    assert_is(poll_both_ways(hostile, response, "x"), bad(INVALID_RESPONSE, 200, "larger than 4 MiB"))


def test_a_short_key_garbles_no_response(hostile: HostileServer, poll: Poll) -> None:
    """A key such as ``test`` is found in many an address, so it cannot be masked there."""
    hostile.script(task(status="completed", url="https://cdn/test/1.mp4"))

    read = poll(msgspec.structs.replace(settings_for(hostile), api_key=Secret("test")))

    assert isinstance(read, SeeAnyTask)
    assert read.result_urls == ("https://cdn/test/1.mp4",)
