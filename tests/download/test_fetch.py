"""The promises about fetching a file: complete or not at all, from public addresses, and without any key."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from itertools import chain, count, repeat
from typing import Any

import aiohttp
import pytest

from airflow_provider_seeany.api.errors import ApiError, PermanentError, TransientError
from airflow_provider_seeany.download import fetch, rate
from airflow_provider_seeany.download.fetch import open_fetcher
from airflow_provider_seeany.download.fetched import Fetched
from airflow_provider_seeany.download.guard import public_socket
from airflow_provider_seeany.download.rate import WINDOW
from tests.download.cdn import Cdn
from tests.hostile import close, http, never_respond, page, raw, reply, reset

CONTENT = bytes(range(256)) * 4096  # 1 MiB
LIMIT = 4 << 20


class Sink:
    """Where the bytes go; a list of what happened."""

    def __init__(self) -> None:
        self.content = b""
        self.events: list[str] = []
        self.extension = ""

    def open(self, extension: str) -> Sink:
        self.events.append("open")
        self.extension = extension
        return self

    def write(self, data: bytes) -> None:
        self.content += data

    def commit(self) -> None:
        self.events.append("commit")

    def discard(self) -> None:
        self.content = b""
        self.events.append("discard")


def get(url: str, *, private: bool = True, max_size: int = LIMIT, min_rate: int = 1) -> tuple[Sink, Fetched]:
    """Fetch a URL."""
    sink = Sink()
    file = Fetched(url, sink.open, max_size=max_size)

    async def run() -> None:
        async with open_fetcher(allow_private_addresses=private, min_rate=min_rate) as fetcher:
            await fetcher.fetch(file)

    try:
        asyncio.run(run())
    except ApiError:
        assert sink.content == b""
        assert "commit" not in sink.events
        assert sink.events.count("open") == sink.events.count("discard")
        raise
    return sink, file


def redirect(to: str, *headers: tuple[str, str]) -> Any:
    return reply(302, b"", ("Location", to), *headers)


def test_a_file_is_fetched_with_its_size_type_and_checksum(cdn: Cdn) -> None:
    sink, file = get(cdn.add("/a.mp4", CONTENT, content_type="video/mp4; x=y"))

    assert sink.content == CONTENT
    assert sink.events == ["open", "commit"]
    assert (file.size, file.content_type) == (len(CONTENT), "video/mp4")
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("how", "validator"),
    [
        ({}, '"one"'),
        ({"etag": None, "last_modified": "Wed, 03 Jun 2026 01:22:00 GMT"}, "Wed, 03 Jun 2026 01:22:00 GMT"),
    ],
    ids=["ETag", "Last-Modified"],
)
def test_a_connection_that_breaks_off_is_resumed_where_it_was(cdn: Cdn, how: dict[str, Any], validator: str) -> None:
    # More often than anything is retried.
    sink, file = get(cdn.add("/a.mp4", CONTENT, breaks=[100_000] * 8, **how))

    assert sink.content == CONTENT
    assert sink.events == ["open", "commit"]
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert [request.all("Range") for request in cdn.requests[1:]] == [[f"bytes={n}00000-"] for n in range(1, 9)]
    assert {request.all("If-Range")[0] for request in cdn.requests[1:]} == {validator}


@pytest.mark.parametrize(
    "how",
    [
        {"has_ranges": False},
        {"etag": None},
        {"etag": 'W/"weak"'},
        {"headers": (("Accept-Ranges", "none"),)},
    ],
    ids=["ignores ranges", "no validator", "a weak ETag", "says that it has no ranges"],
)
def test_without_ranges_a_file_begins_anew_and_is_still_whole(cdn: Cdn, how: dict[str, Any]) -> None:
    sink, file = get(cdn.add("/a.mp4", CONTENT, breaks=[100_000, 200_000], **how))

    assert sink.content == CONTENT
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_that_changed_meanwhile_is_fetched_anew(cdn: Cdn) -> None:
    url = cdn.add("/a.mp4", CONTENT)
    old = cdn.files.pop("/a.mp4")
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nETag: "zero"\r\n\r\n'.encode()
    cdn.respond("/a.mp4", raw(head + b"x" * 100_000), http_200(CONTENT))

    sink, _ = get(url)

    assert sink.content == old.content
    assert cdn.requests[1].all("If-Range") == ['"zero"']


def http_200(content: bytes) -> Any:
    return reply(200, content, ("Content-Type", "video/mp4"))


def test_a_busy_server_in_the_middle_does_not_lose_what_came(cdn: Cdn) -> None:
    url = cdn.add("/a.mp4", CONTENT)
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nETag: "one"\r\n\r\n'.encode()
    rest = http(206, CONTENT[300_000:], ("Content-Range", f"bytes 300000-{len(CONTENT) - 1}/{len(CONTENT)}"))
    cdn.respond("/a.mp4", raw(head + CONTENT[:300_000]), reply(503, ""), reset, raw(rest))

    sink, _ = get(url)

    assert sink.content == CONTENT
    assert sink.events == ["open", "commit"]


@pytest.mark.parametrize(
    "content_range", ["bytes 5-1048575/1048576", "bytes 300000-1048575/9", "nonsense", None], ids=str
)
def test_another_range_than_the_requested_one_is_not_joined(cdn: Cdn, content_range: str | None) -> None:
    url = cdn.add("/a.mp4", CONTENT)
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\nETag: "one"\r\n\r\n'.encode()
    headers = (("Content-Range", content_range),) if content_range else ()
    cdn.respond("/a.mp4", raw(head + CONTENT[:300_000]), raw(http(206, CONTENT[300_000:], *headers)), http_200(CONTENT))

    sink, _ = get(url)

    assert sink.content == CONTENT


def test_a_range_that_is_shorter_than_what_is_missing_is_not_taken_for_the_end(cdn: Cdn) -> None:
    url = cdn.add("/a.mp4", CONTENT)
    size = len(CONTENT)
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "one"\r\n\r\n'.encode()
    short = http(206, CONTENT[300_000:500_000], ("Content-Range", f"bytes 300000-{size - 1}/{size}"))
    rest = http(206, CONTENT[500_000:], ("Content-Range", f"bytes 500000-{size - 1}/{size}"))
    cdn.respond("/a.mp4", raw(head + CONTENT[:300_000]), raw(short), raw(rest))

    assert get(url)[0].content == CONTENT


@pytest.mark.parametrize(
    ("responses", "text"),
    [
        pytest.param([page(200)], "text/html", id="a web page"),
        pytest.param(
            [reply(200, b"\n<!DOCTYPE html><p>", ("Content-Type", "video/mp4"))], "web page", id="a web page as a video"
        ),
        pytest.param([reply(200, {"code": 1})], "application/json", id="JSON"),
        pytest.param([http_200(b"")], "empty", id="nothing"),
        pytest.param([reply(200, b"x", ("Content-Encoding", "gzip"))], "compressed", id="compressed"),
        pytest.param(
            [raw(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\nhalf a video")], "no length", id="no length"
        ),
        pytest.param([reply(500, "")], "HTTP 500", id="an error"),
        pytest.param([reply(429, "", ("Retry-After", "0"))], "HTTP 429", id="throttled"),
        pytest.param([reset], "broke off|failed", id="a reset"),
        pytest.param([close], "broke off|failed", id="no response"),
        pytest.param([reply(302, "")], "without an address", id="a redirect to nowhere"),
        pytest.param([reply(304, "")], "unexpected HTTP 304", id="not modified"),
    ],
)
def test_what_is_no_file_is_retried_and_then_refused(cdn: Cdn, responses: list[Any], text: str) -> None:
    with pytest.raises(ApiError, match=text):
        get(cdn.respond("/a.mp4", *responses))

    # aiohttp repeats a request of its own accord if the connection closes without a response.
    assert cdn.paths()["/a.mp4"] in (5, 10)


def test_a_file_shorter_than_its_length_is_refused(cdn: Cdn) -> None:
    with pytest.raises(ApiError, match="broke off"):
        get(cdn.add("/a.mp4", b"x" * 1000, length=2000, has_ranges=False))


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_retried(cdn: Cdn, status: int) -> None:
    with pytest.raises(ApiError, match=f"HTTP {status}") as caught:
        get(cdn.respond("/a.mp4", reply(status, "")))

    assert caught.value.http_status == status
    assert len(cdn.requests) == 1


@pytest.mark.parametrize(
    "response",
    [
        http_200(b"x" * 2000),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"),
    ],
    ids=["by its length", "by its bytes"],
)
def test_a_file_larger_than_the_limit_is_refused_at_once(cdn: Cdn, response: Any) -> None:
    with pytest.raises(ApiError, match="larger than max_file_size"):
        get(cdn.respond("/a.mp4", response), max_size=1999)

    assert len(cdn.requests) == 1


def test_a_chunked_file_of_unknown_length_is_fetched(cdn: Cdn) -> None:
    url = cdn.respond("/a", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))

    assert get(url)[0].content == b"abc"


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("video/mp4", ".mp4"),
        ("image/jpeg", ".jpg"),
        ("image/webp", ".webp"),
        ("application/octet-stream", ""),
        (None, ""),
    ],
)
def test_the_content_type_gives_the_extension(cdn: Cdn, content_type: str | None, extension: str) -> None:
    assert get(cdn.add("/a", b"abc", content_type=content_type))[0].extension == extension


def test_a_redirect_is_followed_and_the_range_goes_along(cdn: Cdn) -> None:
    target = cdn.add("/real.mp4", CONTENT, breaks=[100_000])
    url = cdn.respond("/a.mp4", redirect("/b.mp4"))
    cdn.respond("/b.mp4", redirect(target))

    assert get(url)[0].content == CONTENT
    assert cdn.paths() == {"/a.mp4": 2, "/b.mp4": 2, "/real.mp4": 2}


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("file:///etc/passwd", r"not an http\(s\) URL \(file:\)"),
        ("ftp://cdn.example/a", "ftp:"),
        ("data:video/mp4,x", "data:"),
        ("/a.mp4", "more than 5 redirects"),
    ],
)
def test_a_redirect_to_what_is_no_web_address_is_refused(cdn: Cdn, target: str, text: str) -> None:
    with pytest.raises(ApiError, match=text):
        get(cdn.respond("/a.mp4", redirect(target)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1"])
def test_a_private_address_is_refused_however_it_is_written(cdn: Cdn, host: str) -> None:
    url = cdn.add("/a.mp4", CONTENT).replace("127.0.0.1", host)

    with pytest.raises(ApiError, match=r"private address|cannot be requested") as caught:
        get(url, private=False)

    assert "allow_private_addresses" in str(caught.value) or "cannot" in str(caught.value)
    assert cdn.requests == []


@pytest.mark.parametrize("url", ["http://cdn.example:99999/", "http://cdn.example:0x/"])
def test_a_url_that_cannot_be_requested_is_refused_at_once(url: str) -> None:
    with pytest.raises(PermanentError, match="cannot be requested"):
        get(url)


def test_a_name_that_resolves_to_a_private_address_is_refused(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "10.0.0.1")

    with pytest.raises(ApiError, match=r"private address: 10\.0\.0\.1"):
        get("http://cdn.example/a.mp4", private=False)


def test_a_redirect_to_a_private_address_is_refused(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first hop is let through, as a CDN on this machine cannot have a public address.
    monkeypatch.setattr(fetch, "is_loopback", lambda host: False)
    monkeypatch.setattr(fetch, "_is_private_literal", lambda host: False)
    monkeypatch.setattr(fetch, "public_socket", lambda info: socket_to(info, allowed=("127.0.0.1",)))
    for target in ("http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://192.168.0.1:8080/"):
        with pytest.raises(ApiError, match="private address"):
            get(cdn.respond("/a.mp4", redirect(target)), private=False)


def test_through_a_proxy_private_addresses_are_refused_as_far_as_they_can_be_told(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", cdn.url)
    cdn.add("http://cdn.example/a.mp4", CONTENT)

    assert get("http://cdn.example/a.mp4", private=False)[0].content == CONTENT
    for host in (
        "10.0.0.1",
        "10.1",
        "167772161",
        "0x0a.1",
        "[::ffff:10.0.0.1]",
        "10\N{IDEOGRAPHIC FULL STOP}0.0.1",
        "localhost.",
    ):
        with pytest.raises(ApiError, match="private address"):
            get(f"http://{host}/a.mp4", private=False)
    assert [request.target for request in cdn.requests] == ["http://cdn.example/a.mp4"]


def socket_to(info: Any, *, allowed: tuple[str, ...]) -> Any:
    return socket.socket(*info[:3]) if info[4][0] in allowed else public_socket(info)


def resolves_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async def resolve(self: object, host: str, port: int, *args: object, **kwargs: object) -> list[dict[str, Any]]:
        found = {"hostname": host, "host": address, "port": port, "family": 2, "proto": 6, "flags": 0}
        return [found]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)


def test_neither_key_nor_cookie_nor_credentials_of_the_url_are_sent(cdn: Cdn) -> None:
    target = cdn.add("/b.mp4", CONTENT)
    url = cdn.respond("/a.mp4", redirect(target.replace("//", "//user:secret@"), ("Set-Cookie", "a=b")))

    get(url.replace("//", "//user:secret@"))

    for request in cdn.requests:
        assert request.all("Authorization") == request.all("Cookie") == []
        assert request.all("User-Agent")[0].startswith("airflow-provider-seeany/")
        assert request.all("Accept-Encoding") == ["identity"]


def test_a_signed_url_is_sent_as_it_is_written(cdn: Cdn) -> None:
    target = "/a%2Fb%7e.mp4?X-Sig=a%2Bb+c%20d&e=%41"
    cdn.add(target.partition("?")[0], b"abc")

    get(f"{cdn.url}{target}")

    assert cdn.requests[0].target == target


def test_errors_do_not_show_the_signature(cdn: Cdn) -> None:
    for path in ("/a.mp4", "/b c"):
        with pytest.raises(ApiError) as caught:
            get(f"{cdn.url}{path}?X-Signature=secret")
        assert "secret" not in str(caught.value)


def test_a_server_that_falls_silent_is_given_up(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "READ_TIMEOUT", 0.05)

    with pytest.raises(ApiError, match="no byte within"):
        get(cdn.respond("/a.mp4", never_respond))


def test_a_response_that_does_not_begin_is_given_up(cdn: Cdn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "HEAD_TIMEOUT", 0.05)

    with pytest.raises(ApiError, match="no response within"):
        get(cdn.respond("/a.mp4", never_respond))


FAST = 1 << 30  # bytes per second that no connection has


def test_a_connection_that_is_too_slow_is_replaced_by_one_that_continues(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only what comes first takes any time.
    monkeypatch.setattr(rate, "monotonic", chain([0.0], repeat(WINDOW)).__next__)

    sink, file = get(cdn.add("/a.mp4", CONTENT), min_rate=FAST)

    assert sink.content == CONTENT
    assert sink.events == ["open", "commit"]
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert [len(request.all("Range")) for request in cdn.requests] == [0, 1]


@pytest.mark.parametrize("etag", ['"one"', None], ids=["with ranges", "without"])
def test_a_server_that_stays_too_slow_is_given_up(cdn: Cdn, monkeypatch: pytest.MonkeyPatch, etag: str | None) -> None:
    monkeypatch.setattr(rate, "monotonic", count(0, int(WINDOW)).__next__)

    with pytest.raises(TransientError, match=r"3 connections in a row were slower than 1\.0 GiB/s for 30 s"):
        get(cdn.add("/a.mp4", CONTENT, etag=etag), min_rate=FAST)

    assert len(cdn.requests) == 3


def test_connections_that_slow_down_after_they_have_brought_enough_may_be_many(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "monotonic", count(0, 1 << 30).__next__)

    sink, _ = get(cdn.add("/a.mp4", CONTENT), min_rate=1)

    assert sink.content == CONTENT
    assert len(cdn.requests) > 3


def test_what_a_thread_writes_ends_before_it_is_discarded(cdn: Cdn) -> None:
    """The download is cancelled while a write hangs: the discard comes last, so nothing is left."""
    sink, started, go_on = Sink(), threading.Event(), threading.Event()

    def write(data: bytes) -> None:
        started.set()
        assert go_on.wait(10)
        sink.events.append("written")

    sink.write = write  # type: ignore[method-assign]
    url = cdn.add("/a.mp4", CONTENT)

    async def run() -> None:
        async with open_fetcher(allow_private_addresses=True, min_rate=1) as fetcher:
            running = asyncio.ensure_future(fetcher.fetch(Fetched(url, sink.open, max_size=LIMIT)))
            await asyncio.to_thread(started.wait, 10)
            running.cancel()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            await asyncio.wait([running])

    asyncio.run(run())

    assert sink.events == ["open", "written", "discard"]
