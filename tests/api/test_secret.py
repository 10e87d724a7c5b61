"""The key as a value: it shows nowhere, and is found however a text spells it."""

from __future__ import annotations

import asyncio
import copy
import html
import json
import pickle
import re
import socket
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.traceback import Traceback

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.parse import parse_json
from airflow_provider_seeany.api.request import ApiSettings, checked_api_key
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import MIN_MASKED, Secret
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from tests.conftest import KEY, Poll, settings_for
from tests.hostile import HostileServer, reply, task

SECRET = Secret(KEY)


def bare(text: str) -> str:
    """Return the letters and digits of a text in lower case, as an attacker would read it."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def escaped(letter: Callable[[int], str]) -> str:
    return "".join(letter(ord(char)) for char in KEY)


SPELLINGS = {
    "as it is": KEY,
    "capitals": KEY.upper(),
    "UTF-16, little endian": KEY.encode("utf-16-le").decode(),
    "UTF-16, read as UTF-8": KEY.encode("utf-16").decode("utf-8", "replace"),
    "UTF-16, big endian": KEY.encode("utf-16-be").decode("latin-1"),
    "UTF-32": KEY.encode("utf-32").decode("latin-1"),
    "zero-width spaces": "\u200b".join(KEY),
    "zero-width joiners": "\u200d".join(KEY.upper()),
    "byte order marks": "\ufeff".join(KEY),
    "soft hyphens": "\xad".join(KEY),
    "invisible letters": "\u3164".join(KEY),
    "variation selectors": "\ufe0f".join(KEY),
    "struck through": "\u0336".join(KEY),
    "bidi overrides": "\u202e".join(KEY),
    "what could not be decoded": "\ufffd".join(KEY),
    "control characters": "\x07".join(KEY),
    "lines": "\r\n".join(KEY),
    "folded": f"{KEY[:20]}\r\n  {KEY[20:]}",
    "colours": "\x1b[31m".join(KEY),
    "colours, 8 bits": "\x9b1;32m".join(KEY),
    "colours in JSON": "\\u001b[0m".join(KEY),
    "JSON": escaped(lambda code: f"\\u{code:04x}"),
    "JSON, capitals": escaped(lambda code: f"\\u{code:04X}"),
    "JSON in JSON": escaped(lambda code: f"\\\\u{code:04x}"),
    "JSON, the signs alone": KEY.replace("-", "\\u002d"),
    "JSON, zero-width": "\\u200b".join(KEY),
    "JSON, lines": "\\n".join(KEY),
    "Python": escaped(lambda code: f"\\x{code:02x}"),
    "Python, NULs": "\\x00".join(KEY),
    "URL": escaped(lambda code: f"%{code:02x}"),
    "URL, capitals": escaped(lambda code: f"%{code:02X}"),
    "URL in URL": escaped(lambda code: f"%25{code:02x}"),
    "URL, the signs alone": KEY.replace("-", "%2D"),
    "URL, zero-width": "%E2%80%8B".join(KEY),
    "HTML": escaped(lambda code: f"&#{code};"),
    "HTML, hexadecimal": escaped(lambda code: f"&#x{code:x};"),
    "HTML in HTML": escaped(lambda code: f"&amp;#{code:03};"),
    "mixed": "".join(f"%{ord(c):x}\u200b" if n % 3 else f"\\u{ord(c):04x}\x00" for n, c in enumerate(KEY)),
}


@pytest.mark.parametrize("before", ["", "no such key: ", "x" * 480, "100%", "\\", "&#"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_the_key_is_masked_in_a_text_however_that_spells_it(name: str, before: str) -> None:
    shown = sanitize(f"{before}{SPELLINGS[name]} was given", secret=SECRET)

    assert bare(KEY)[:12] not in bare(html.unescape(shown))
    assert not re.search(r"6d|\b109\b|x6D", shown.partition("***")[2])
    assert "***" in shown or before == "x" * 480
    assert shown.isprintable()


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_key_is_masked_in_a_response_however_that_spells_it(name: str) -> None:
    spelled = SPELLINGS[name]
    honest = {"id": "x", "status": "processing", "url": "https://a.example/%41?b=%2B&c", "text": "生成\u200b \\u002d"}
    for body in (
        json.dumps({**honest, "text_of_it": f"<{spelled}>", spelled: [spelled]}).encode(),
        json.dumps({**honest, "text_of_it": f"<{spelled}>", spelled: [spelled]}, ensure_ascii=False).encode(),
    ):
        payload = parse_json(Response(status=200, headers={}, body=body, secret=SECRET), DEFAULT_DIALECT)

        # The key alone is masked: what is left of a byte order mark or the like stays around it.
        left = {re.sub(r"[^!-~]", "", name): value for name, value in payload.items()}
        assert {name: left[name] for name in honest} == honest
        assert re.sub(r"[^!-~]", "", str(left["text_of_it"])) == "<***>"
        assert [re.sub(r"[^!-~]", "", value) for value in left["***"]] == ["***"]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("where", ["body", "message", "request id", "redirect", "encoding", "envelope"])
def test_the_key_is_masked_failing_however_that_spells_it(name: str, where: str) -> None:
    spelled = SPELLINGS[name]
    status, headers, body = 400, {}, b""
    if where == "body":
        body = spelled.encode()
    elif where == "message":
        body = json.dumps({"error": {"code": spelled, "message": spelled}}).encode()
    elif where == "request id":
        headers = {"X-Request-Id": spelled}
    elif where == "redirect":
        status, headers = 302, {"Location": f"https://{spelled}/x"}
    elif where == "encoding":
        status, headers = 200, {"Content-Encoding": spelled}
    else:
        status, body = 200, json.dumps({"code": spelled, "msg": spelled}).encode()

    with pytest.raises(ApiError) as error:
        parse_json(Response(status=status, headers=headers, body=body, secret=SECRET), DEFAULT_DIALECT)

    assert bare(KEY)[:12] not in bare(str(vars(error.value)))
    assert bare(KEY)[2:12] not in bare(html.unescape(str(error.value)))


@given(
    # Behind a letter that begins the key, half a terminal's code would take the key's own first letter with it.
    st.text(st.characters(exclude_characters="\x1b\x9b"), max_size=40),
    st.lists(st.text("\u200b\x00 \n\ufeff\u0301中", max_size=3), min_size=51, max_size=51),
    st.text(),
)
def test_whatever_stands_between_its_letters_the_key_is_masked_and_the_rest_is_not(
    before: str, between: list[str], after: str
) -> None:
    spelled = "".join(char + noise for char, noise in zip(KEY, between, strict=True)).rstrip(
        "\u200b\x00 \n\ufeff\u0301中"
    )

    masked = SECRET.mask(f"{before} {spelled} {after}")

    assert masked == f"{before} *** {after}"


@given(st.text())
def test_a_text_without_the_key_is_left_alone(text: str) -> None:
    assert SECRET.mask(text) == text


@given(st.integers(0, 4100), st.sampled_from(["", "\u200b", "\x00"]), st.sampled_from([" ", "\n", "\u200b", "x"]))
def test_a_key_that_stands_where_the_text_is_truncated_is_masked_too(length: int, noise: str, filler: str) -> None:
    shown = sanitize("x" + filler * length + noise.join(KEY) + "y" * 9000, secret=SECRET)

    assert bare(KEY)[:6] not in bare(shown)


def test_a_short_key_garbles_no_response() -> None:
    body = b'{"status": "testing", "TEST": "a test"}'

    assert parse_json(
        Response(status=200, headers={}, body=body, secret=Secret("test")), DEFAULT_DIALECT
    ) == json.loads(body)


def test_a_key_with_signs_is_found_as_url_and_json_write_it() -> None:
    key = "sk-abc/def+ghi=jkl~mno"
    for spelled in (key, quote(key, safe=""), quote(quote(key, safe=""), safe=""), key.replace("/", "\\/")):
        assert Secret(key).mask(f"a {spelled} b") == "a *** b"
        assert Secret(key).may_be_in(json.dumps([spelled]).encode())


@pytest.mark.parametrize(
    "flood", ["\\", "%25", "%", "&amp;", "&#0", "\x1b[", "\x1b[0", "\\u", "s", "sk-", KEY[:-1], "\u200b"], ids=repr
)
def test_no_flood_of_half_escapes_takes_long(flood: str) -> None:
    """What takes a time that grows with the square would take hours."""
    text = flood * (200_000 // len(flood))

    SECRET.may_be_in(text.encode())
    assert SECRET.mask(text) == text


def test_the_key_does_not_show() -> None:
    settings = ApiSettings(base_url="https://api.seeany.com/v1", api_key=SECRET)
    response = Response(status=200, headers={"X": KEY}, body=KEY.encode(), secret=SECRET)
    for value in (SECRET, settings, settings.headers, response, [SECRET], SECRET.bearer()[:12], SECRET.bearer()[3:]):
        assert KEY[:9] not in repr(value)
        assert "0123456789" not in repr(value)
    assert f"{SECRET} {SECRET!r} {SECRET!s}" == "*** *** ***"
    assert "%s" % SECRET == "***"  # noqa: UP031
    assert SECRET.bearer() == f"Bearer {KEY}"


def test_the_key_is_equal_to_itself_and_is_not_pickled() -> None:
    assert Secret(KEY) == SECRET
    assert hash(Secret(KEY)) == hash(SECRET)
    assert Secret(KEY + "x") != SECRET
    assert SECRET != KEY
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy([SECRET])[0] is SECRET
    settings = ApiSettings(base_url="https://api.seeany.com/v1", api_key=SECRET)
    for value in (SECRET, SECRET.bearer(), settings, settings.headers):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)
    for encode in (json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            encode(settings)  # type: ignore[operator]


def reports(error: BaseException) -> list[str]:
    """Return what crash reporters make of an exception, with the local variables of every frame."""
    trace = Traceback.extract(type(error), error, error.__traceback__, show_locals=True, locals_max_string=40)
    found = [
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        # What Rich shows of it, but for the source code, which takes long to highlight.
        *(str(stack.exc_value) for stack in trace.stacks),
        *(
            f"{name} = {node.render(max_width=200)}"
            for stack in trace.stacks
            for frame in stack.frames
            for name, node in (frame.locals or {}).items()
        ),
    ]
    # Some reporters show the context although it is suppressed.
    if error.__suppress_context__ and error.__context__ not in (None, error.__cause__):
        found += reports(error.__context__)
    return found


def assert_hidden(error: BaseException) -> None:
    for report in reports(error):
        assert KEY[:9] not in report
        assert "0123456789" not in report
        assert KEY not in report.replace("\n", "")


def test_a_crash_report_shows_a_key_that_is_plain_text() -> None:
    """Else the tests below would prove nothing."""

    def fail_with(settings: object) -> None:
        raise OddError from None

    for held in (KEY, {"headers": [KEY]}):
        with pytest.raises(OddError) as error:
            fail_with(held)
        shown = [report for report in reports(error.value) if KEY[:9] in report]
        assert any(report.startswith("settings = ") for report in shown)
        assert any("Traceback" in report for report in shown)


REQUEST = {
    "blocking": lambda hook: hook.get_task("x"),
    "an endpoint": lambda hook: hook.get("tasks/x"),
    "asynchronous": lambda hook: asyncio.run(hook.aget_task("x")),
}


@pytest.mark.parametrize("way", REQUEST)
@pytest.mark.parametrize(
    ("status", "api"), [(401, "v1"), (404, "v1"), (302, "v1"), (200, "v1"), (200, "developer"), (0, "v1")]
)
def test_a_crash_report_of_a_refusal_does_not_show_the_key(
    hostile: HostileServer, connect: Callable[..., None], way: str, status: int, api: str
) -> None:
    hostile.script(reply(status or 500, {"message": KEY}))
    connect(host=hostile.url if status else "http://127.0.0.1:1", extra={"api": api})

    with pytest.raises(Exception) as error:  # noqa: PT011
        REQUEST[way](SeeAnyHook())

    assert_hidden(error.value)


BAD_FIELDS: dict[str, dict[str, Any]] = {
    "an address": {"host": "https://"},
    "the key as the address": {"host": KEY},
    "the key before the address": {"host": f"https://{KEY}@api.seeany.com"},
    "white space in the key": {"password": f"{KEY[:20]} {KEY[20:]}"},
    "a timeout": {"extra": {"request_timeout": "soon"}},
    "the key as a timeout": {"extra": {"request_timeout": KEY}},
    "the key as the port": {"host": f"api.seeany.com:{KEY}"},
}


@pytest.mark.parametrize("way", REQUEST)
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_crash_report_of_a_bad_connection_does_not_show_the_key(
    connect: Callable[..., None], way: str, name: str
) -> None:
    connect(**BAD_FIELDS[name])

    with pytest.raises(Exception) as error:  # noqa: PT011
        REQUEST[way](SeeAnyHook())

    assert KEY[:9] not in str(error.value)
    assert_hidden(error.value)


def test_a_crash_report_of_a_bad_key_does_not_show_it() -> None:
    with pytest.raises(ValueError, match="white space") as error:
        checked_api_key(f"{KEY[:20]} {KEY[20:]}")

    # The caller's own frame, this test's, is not the provider's.
    assert KEY[:9] not in "".join(
        traceback.TracebackException.from_exception(
            error.value.with_traceback(error.value.__traceback__.tb_next), capture_locals=True
        ).format()
    )


class OddError(Exception):
    """What no library raises."""


def fail(*_: object, **__: object) -> None:
    raise OddError


INNERMOST: dict[str, tuple[object, str]] = {
    "connecting": (socket.socket, "connect"),
    "sending": (socket.socket, "sendall"),
    "reading": (socket.SocketIO, "readinto"),
    "connecting in aiohttp": (aiohttp.TCPConnector, "_create_connection"),
    "writing in aiohttp": (aiohttp.http_writer.StreamWriter, "_write"),
    "reading in aiohttp": (aiohttp.client_proto.ResponseHandler, "read"),
}


@pytest.mark.parametrize("name", INNERMOST)
def test_a_crash_report_of_an_unexpected_error_in_a_library_does_not_show_the_key(
    hostile: HostileServer, poll: Poll, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hostile.script(task())
    settings = settings_for(hostile, request_timeout=2)
    with monkeypatch.context() as patch:
        patch.setattr(*INNERMOST[name], fail, raising=False)
        try:
            poll(settings)
        except OddError as error:
            found: BaseException = error
        except RuntimeError as error:
            found = error
        else:
            # This library does not pass there.
            return

    assert_hidden(found)


def test_a_cancelled_request_shows_no_key(hostile: HostileServer, connect: Callable[..., None]) -> None:
    async def never_respond(caller: Any) -> None:
        await caller.gone()

    hostile.script(never_respond)
    connect(host=hostile.url)

    async def poll() -> None:
        async with asyncio.timeout(0.3):
            await SeeAnyHook().aget_task("x")

    with pytest.raises(TimeoutError) as error:
        asyncio.run(poll())

    assert_hidden(error.value)


def test_the_session_gives_the_key_to_the_apis_host_alone(
    hostile: HostileServer, other_host: HostileServer, connect: Callable[..., None]
) -> None:
    connect(host=hostile.url)
    hostile.script(reply(302, b"", ("Location", f"{other_host.url}/v1/tasks/x")))
    other_host.script(task())
    session = SeeAnyHook().get_conn()

    session.get(f"{hostile.url}/v1/tasks/x", timeout=10)
    session.get(f"{other_host.url}/v1/tasks/x", timeout=10)
    session.get(f"{hostile.url.replace('127.0.0.1', 'localhost')}/v1/tasks/x", timeout=10)

    assert [request.all("Authorization") for request in hostile.requests] == [[f"Bearer {KEY}"], []]
    assert [request.all("Authorization") for request in other_host.requests] == [[]]
    assert len(KEY) >= MIN_MASKED


@pytest.mark.parametrize("code", ["\x9b ", "\x9b", "\x1b[", "\x1b[0;1", "\\u001b["])
def test_a_key_behind_half_a_code_of_a_terminal_is_masked(code: str) -> None:
    shown = Secret(KEY).mask(f"{code}{KEY[:-1]}\u0301{KEY[-1]}")

    assert KEY[2:-1] not in shown
