"""The route at which SeeAny rings: who gets in, what is refused, and that nothing is told or kept of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import airflow.settings
import httpx
import pytest
from airflow.providers_manager import ProvidersManager
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from airflow_provider_seeany.callback.token import (
    MAX_NAME,
    MAX_TOKEN,
    TaskInstanceKey,
    TokenClaims,
    sign_token,
    verify_token,
)
from airflow_provider_seeany.callback.url import MIN_SECRET
from airflow_provider_seeany.exceptions import SeeAnyConfigError
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import routes as route
from airflow_provider_seeany.web.callback.body import MAX_BYTES, seeany_ids
from airflow_provider_seeany.web.callback.handler import CallbackResult, CallbackStatus
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from tests.hostile import POLL_TIMEOUT

SECRET = "the-secret-of-the-callbacks-0123456789"
WAITING = TaskInstanceKey("dag", "run", "wait", 3)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the application, with callbacks on and a database that cannot be opened."""
    nowhere = create_engine("sqlite:////nowhere/airflow.db")
    monkeypatch.setattr(airflow.settings, "NonScopedSession", sessionmaker(nowhere))
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setattr(route, "_rate", RateLimit())
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def _options_known() -> None:
    """Tell Airflow which options of providers are secrets, as its processes do when they start."""
    ProvidersManager().initialize_providers_configuration()


def path(token: str) -> str:
    return f"/callback/{token}"


GOOD = sign_token(TokenClaims("studio"), secret=SECRET)


def serializer(secret: str) -> URLSafeSerializer:
    """Sign what no URL of ours says, as its token is signed."""
    return URLSafeSerializer(
        secret, salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )


BAD_TOKENS = {
    "none of ours": "x",
    "forged": sign_token(TokenClaims("studio"), secret=SECRET + "!"),
    "of another use of the same secret": URLSafeSerializer(SECRET, salt="sessions").dumps(["studio", None]),
    "signed, but says something else": serializer(SECRET).dumps({"conn": "studio"}),
    "truncated": GOOD[:-1],
    "without a signature": GOOD.partition(".")[0],
    "another connection under the same signature": (
        sign_token(TokenClaims("other"), secret=SECRET).partition(".")[0] + "." + GOOD.partition(".")[2]
    ),
    "endless": "x" * 5000,
}


def test_a_ring_for_another_secret_is_told_in_the_log_once_in_a_while(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(route, "_told_of_strangers", RateLimit(per_second=1 / 600, burst=1))
    for _ in range(5):
        client.post(path(BAD_TOKENS["forged"]), json={"id": "x"})

    (line,) = caplog.messages
    assert "was not given out with this process's callback_secret" in line
    assert BAD_TOKENS["forged"] not in line


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_ours_finds_nothing_there(client: TestClient, name: str) -> None:
    answer = client.post(path(BAD_TOKENS[name]), json={"id": "x"})

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert answer.json() == client.get("/no-such-page").json()


@pytest.mark.parametrize("secret", [None, "", "short"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO"])
def test_without_a_secret_there_is_nothing_at_all(
    monkeypatch: pytest.MonkeyPatch, secret: str | None, method: str
) -> None:
    if secret is not None:
        monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", secret)
    client = TestClient(create_app())
    # Not even with the token that an empty or short secret would sign.
    for token in (GOOD, sign_token(TokenClaims("studio"), secret=secret or "x")):
        for there in (path(token), f"{path(token)}/"):
            assert client.request(method, there, follow_redirects=False).status_code == 404


@pytest.mark.usefixtures("_options_known")
def test_a_secret_that_a_command_prints_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "secret.sh"
    command.write_text(f"#!/bin/sh\necho read >> {tmp_path}/log\necho {SECRET}\n")
    command.chmod(0o700)
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET_CMD", str(command))
    client = TestClient(create_app())

    assert [client.post(path(token), content=b"").status_code for token in (GOOD, GOOD, "x")] == [400, 400, 404]
    assert (tmp_path / "log").read_text() == "read\n"


@pytest.mark.usefixtures("_options_known")
def test_a_secret_that_cannot_be_read_turns_callbacks_off_and_is_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET_CMD", "ls /MARKED")
    client = TestClient(create_app())

    assert client.post(path(GOOD), content=b"").status_code == 404
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_seeany")]
    assert "callback_secret could not be read" in line
    assert "MARKED" not in line


METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "FOO", "post"]


@pytest.mark.parametrize("method", METHODS)
def test_it_is_rung_at_by_post_only(client: TestClient, method: str) -> None:
    answer = as_sent(client, method, path(GOOD))

    assert (answer["status"], answer["headers"]["allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["POST", *METHODS])
@pytest.mark.parametrize(
    "there",
    [
        path("x"),
        path(BAD_TOKENS["forged"]),
        "/callback",
        "/callback/",
        f"{path(GOOD)}/",
        f"{path(GOOD)}/x",
        f"/callback/x/{GOOD}",
        f"/callback//{GOOD}",
        f"//callback/{GOOD}",
        path(f"{GOOD}\0"),
        path("..") + f"/callback/{GOOD}",
        path("任务"),
    ],
)
def test_whatever_is_asked_without_a_token_of_ours_is_answered_as_where_nothing_is(
    client: TestClient, method: str, there: str
) -> None:
    assert as_sent(client, method, there) == as_sent(client, "GET", "/no-such-page")


def as_sent(client: TestClient, method: str, there: str) -> dict[str, Any]:
    """Make a request with exactly this method and, already decoded, this path; return the whole response."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": there, "headers": [], "query_string": b""}
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    start, *chunks = sent
    return {
        "status": start["status"],
        "headers": {name.decode(): value.decode() for name, value in start["headers"]},
        "body": b"".join(chunk.get("body", b"") for chunk in chunks),
    }


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_body_that_is_too_large_is_refused(client: TestClient, in_chunks: bool) -> None:
    body = b'{"id": "' + b"x" * MAX_BYTES + b'"}'
    content = iter([body[:1000], body[1000:]]) if in_chunks else body

    assert client.post(path(GOOD), content=content).status_code == 413


async def test_a_body_that_does_not_arrive_is_not_waited_for_for_ever(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    monkeypatch.setattr(route, "BODY_TIMEOUT", 0.1)
    transport = httpx.ASGITransport(client.app)
    async with (
        asyncio.timeout(POLL_TIMEOUT),
        httpx.AsyncClient(transport=transport, base_url="http://airflow") as caller,
    ):
        answer = await caller.post(path(GOOD), content=never_ending())

    assert answer.status_code == 408


NO_ID = [
    b"",
    b"hello",
    b"[]",
    b'{"id": ""}',
    b'{"id": null}',
    b'{"data": "x"}',
    b'{"id": {"a": 1}}',
    b"\xff",
    b"[" * 9999,
]


@pytest.mark.parametrize("body", NO_ID)
def test_a_body_without_an_id_is_refused_unless_the_token_names_who_waits(client: TestClient, body: bytes) -> None:
    assert client.post(path(GOOD), content=body).status_code == 400
    named = client.post(path(sign_token(TokenClaims("studio", WAITING), secret=SECRET)), content=body)
    assert named.status_code == 503  # it went on to the database


def test_trouble_with_the_database_asks_to_ring_again(client: TestClient) -> None:
    answer = client.post(path(GOOD), json={"id": "x"})

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("received", "status", "retry_after", "told"),
    [
        (CallbackResult(retry_after=10), 503, "10", {"detail": "Try again"}),
        (CallbackResult(retry_after=1.2, is_rate_limited=True), 429, "2", {"detail": "Too many rings"}),
        (
            CallbackResult(CallbackStatus.WOKEN, 1, retry_after=10),
            503,
            "10",
            {"detail": "Try again", "happened": "woken", "task_instances": 1},
        ),
    ],
)
def test_what_could_not_be_done_asks_to_ring_again(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    received: CallbackResult,
    status: int,
    retry_after: str,
    told: object,
) -> None:
    async def handle_callback(*_: Any) -> CallbackResult:
        return received

    monkeypatch.setattr(route, "handle_callback", handle_callback)
    answer = client.post(path(GOOD), json={"id": "x"})

    assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (status, retry_after, told)


def test_nothing_that_a_caller_sends_is_told_or_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="airflow_provider_seeany")
    answers = [
        client.post(path(GOOD), json={"id": "MARKED\nforged line"}),
        client.post(path(GOOD), content=b"MARKED"),
        client.post(path("MARKED"), json={"id": "MARKED"}),
    ]

    assert all("MARKED" not in answer.text + str(answer.headers) for answer in answers)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_seeany")]
    assert ours
    assert not any("MARKED" in line or GOOD in line for line in ours)


def test_a_flood_is_slowed_down_for_its_own_token_only(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "_rate", RateLimit(per_second=0.1, burst=2))

    statuses = [client.post(path(GOOD), content=b"").status_code for _ in range(3)]
    slowed = client.post(path(GOOD), content=b"")
    other = client.post(path(sign_token(TokenClaims("other"), secret=SECRET)), content=b"")

    assert statuses == [400, 400, 429]
    assert 0 < int(slowed.headers["Retry-After"]) <= 10
    assert other.status_code == 400


def test_a_token_that_is_written_in_another_way_is_slowed_down_with_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_rate", RateLimit(per_second=0.1, burst=1))
    said, _, signature = GOOD.partition(".")
    # What is no base64 is skipped when a signature is read.
    again = f"{said}.****{signature}"

    assert verify_token(again, secrets=[SECRET]) == TokenClaims("studio")
    assert [client.post(path(token), content=b"").status_code for token in (GOOD, again)] == [400, 429]


async def test_a_caller_who_goes_away_is_no_error(client: TestClient) -> None:
    came = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    answered: list[Any] = []

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        answered.append(message)

    await client.app(
        {"type": "http", "method": "POST", "path": path(GOOD), "headers": [], "query_string": b""}, receive, send
    )

    assert answered[0]["status"] == 408


def test_a_bucket_fills_up_again_and_old_ones_are_forgotten() -> None:
    now = [0.0]
    rate = RateLimit(per_second=2, burst=1, clock=lambda: now[0])

    assert rate.wait("a") == 0
    assert rate.wait("a") == 0.5
    now[0] = 0.5
    assert rate.wait("a") == 0
    for number in range(rate.MAX_KEYS + 5):
        rate.wait(str(number))
    assert len(rate._left) == rate.MAX_KEYS


@pytest.mark.parametrize(
    "ringer",
    [TokenClaims("任务"), TokenClaims("studio", WAITING), TokenClaims("studio", TaskInstanceKey("d", "r", "t"))],
)
def test_a_token_says_what_was_signed(ringer: TokenClaims) -> None:
    assert verify_token(sign_token(ringer, secret=SECRET), secrets=[SECRET]) == ringer


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = st.text(LETTERS, min_size=1, max_size=MAX_NAME) | st.text(LETTERS, min_size=240, max_size=MAX_NAME)


@given(NAMES, NAMES, NAMES, NAMES, st.integers(-1, 2**31 - 1))
def test_every_name_that_airflow_stores_fits_into_a_token(
    conn_id: str, dag_id: str, run_id: str, task_id: str, map_index: int
) -> None:
    ringer = TokenClaims(conn_id, TaskInstanceKey(dag_id, run_id, task_id, map_index))

    assert verify_token(sign_token(ringer, secret=SECRET), secrets=[SECRET]) == ringer


def test_a_token_for_the_longest_names_is_read() -> None:
    # Of characters that take most room, without anything that compression could save.
    chance = random.Random(1)
    conn_id, *names = ("".join(chr(chance.randint(0x10000, 0x10FFFF)) for _ in range(MAX_NAME)) for _ in range(4))
    ringer = TokenClaims(conn_id, TaskInstanceKey(*names, map_index=2**31 - 1))

    assert verify_token(sign_token(ringer, secret=SECRET), secrets=[SECRET]) == ringer


UNSTORABLE = {"a NUL": "a\0b", "half an emoji": "\ud83d", "nothing": "", "too long": "x" * 251, "no text": 7}
PLACES = ("seeany_conn_id", "dag_id", "run_id", "task_id")


@pytest.mark.parametrize("place", range(4), ids=PLACES)
@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_name_that_no_database_holds_is_refused_when_the_url_is_made(
    monkeypatch: pytest.MonkeyPatch, name: str, place: int
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    given: dict[str, Any] = {**dict.fromkeys(PLACES, "name"), PLACES[place]: UNSTORABLE[name]}
    conn_id = given.pop("seeany_conn_id")

    with pytest.raises(ValueError, match=PLACES[place]):
        SeeAnyHook(conn_id).callback_url(**given)


@pytest.mark.parametrize("map_index", ["3", 1.0, True, None, -2, 2**31])
def test_a_map_index_that_no_task_instance_has_is_refused_when_the_url_is_made(map_index: Any) -> None:
    with pytest.raises(ValueError, match="map_index"):
        TaskInstanceKey("dag", "run", "task", map_index)


GOOD_NAMES = ("studio", "dag", "run", "task", 3)
BAD_PARTS = [
    *((at, value) for at in range(4) for value in ("a\0b", "", "x" * 251, 7, None)),
    *((4, value) for value in ("3", 1.5, True, None, -2, 2**31, 2**64)),
]


@pytest.mark.parametrize(("at", "value"), BAD_PARTS, ids=ascii)
def test_a_token_of_a_name_that_no_database_holds_is_none_of_ours(client: TestClient, at: int, value: object) -> None:
    said = [value if at == place else good for place, good in enumerate(GOOD_NAMES)]
    token = serializer(SECRET).dumps([said[0], said[1:]])

    assert client.post(path(token), json={"id": "x"}).status_code == 404


def test_a_token_is_signed_with_sha_256() -> None:
    said, _, signature = GOOD.partition(".")
    key = hashlib.sha256(b"airflow-provider-seeany.callback" + b"signer" + SECRET.encode()).digest()
    expected = hmac.new(key, said.encode(), hashlib.sha256).digest()

    assert signature == base64.urlsafe_b64encode(expected).decode().rstrip("=")


@pytest.mark.parametrize(("length", "expected"), [(MAX_TOKEN, TokenClaims("studio")), (MAX_TOKEN + 1, None)])
def test_a_token_is_read_up_to_its_longest_length(length: int, expected: TokenClaims | None) -> None:
    said, _, signature = GOOD.partition(".")
    # What is no base64 is skipped when a signature is read; with its padding, at any length.
    token = f"{said}.{f'{signature}='.rjust(length - len(said) - 1, '*')}"
    assert len(token) == length

    assert verify_token(token, secrets=[SECRET]) == expected


OLD, NEW = "old-secret-0123456789", "new-secret-9876543210"


@pytest.mark.parametrize(
    "option", [f"{NEW},{OLD}", f"{NEW} {OLD}", f"{NEW}\n{OLD}\n", f" {NEW} ,\r\n\t{OLD},", f"{NEW}\n\n,{OLD}"]
)
def test_a_secret_is_replaced_without_making_older_urls_void(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    before = sign_token(TokenClaims("studio"), secret=OLD)
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", option)
    url = SeeAnyHook("studio").callback_url()
    client = TestClient(create_app())

    # The first one signs, so that the others can go in time.
    assert url.endswith(sign_token(TokenClaims("studio"), secret=NEW))
    tokens = [
        before,
        sign_token(TokenClaims("studio"), secret=NEW),
        sign_token(TokenClaims("studio"), secret=option),
        GOOD,
    ]
    assert [client.post(path(token), content=b"").status_code for token in tokens] == [400, 400, 404, 404]


@pytest.mark.parametrize(("option", "which"), [(f"{NEW},short", "Secret 2"), (f"short\n{NEW}\n{OLD}", "Secret 1")])
def test_of_several_secrets_the_one_that_is_too_short_is_named_by_its_place_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, option: str, which: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", option)

    with pytest.raises(SeeAnyConfigError, match=f"^{which} in .* is too short") as raised:
        SeeAnyHook("studio").callback_url()
    assert not any(secret in str(raised.value) for secret in (NEW, OLD, "short\n"))
    # A short one is not left out: it may be half of a secret that was meant to be one.
    client = TestClient(create_app())
    assert client.post(path(sign_token(TokenClaims("studio"), secret=NEW)), content=b"").status_code == 404
    assert which in caplog.text


BODIES: dict[str, tuple[object, list[str]]] = {
    "the answer itself": ({"id": "vid_1", "status": "completed"}, ["vid_1"]),
    "an event about it": ({"event": "task.completed", "id": "evt_1", "data": {"id": "vid_1"}}, ["evt_1", "vid_1"]),
    "other names": ({"task_uuid": "a", "data": {"task_id": "b", "task_uuid": "a"}}, ["a", "b"]),
    "a number": ({"task_id": 42}, ["42"]),
    "a number of 25 digits": ({"id": 2026060300100000000000001}, ["2026060300100000000000001"]),
    "white space around it": ({"id": " x\n", "task_id": "x"}, ["x"]),
    "no text": ({"id": True, "task_id": 1.5, "data": [1]}, []),
    "odd ones": ({"id": "../x?y", "task_id": "\0", "data": {"id": "x" * 2000}}, ["../x?y"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_id_is_found_where_senders_put_it(name: str) -> None:
    body, ids = BODIES[name]

    assert seeany_ids(json.dumps(body).encode()) == ids


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"id": "x"}',
        b"\xff\xfe" + '{"id": "x"}'.encode("utf-16-le"),
        rb'{"id": "x", "prompt": "a cat \ud83d"}',
        b'{"id": "x", "prompt": "\xca\xd3\xc6\xb5"}',
        b'{"id": "x", "cost": NaN, "big": 1e999}',
        b'{"id": "x", "prompt": "a\nb\0"}\0',
        b'{"id": "x", "deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
    ids=range(7),
)
def test_no_odd_byte_hides_the_id(body: bytes) -> None:
    assert seeany_ids(body) == ["x"]


@pytest.mark.parametrize("base_url", ["https://airflow.example.com", "https://host/a/prefix/"])
def test_the_url_is_that_of_the_api_server_and_its_token_names_the_connection(
    monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    url = SeeAnyHook("studio").callback_url(dag_id="dag", run_id="run", task_id="wait", map_index=3)

    before, _, token = url.rpartition("/")
    assert before == f"{base_url.rstrip('/')}/seeany/callback"
    assert verify_token(token, secrets=[SECRET]) == TokenClaims("studio", WAITING)


@pytest.mark.parametrize(
    ("secret", "base_url", "told"),
    [
        ("", "https://a", "callback_secret"),
        ("x" * (MIN_SECRET - 1), "https://a", "too short"),
        (SECRET, "", "base_url"),
        (SECRET, "/", "base_url"),
        (SECRET, "ftp://a", "base_url"),
    ],
)
def test_an_option_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, secret: str, base_url: str, told: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", secret)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    with pytest.raises(SeeAnyConfigError, match=told):
        SeeAnyHook("studio").callback_url()


def test_who_waits_is_named_in_full_or_not_at_all() -> None:
    with pytest.raises(ValueError, match="all three"):
        SeeAnyHook("studio").callback_url(task_id="wait")
