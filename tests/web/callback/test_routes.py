"""The callback route: who may call it, what it rejects, and that it neither echoes nor logs what it receives."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import airflow.settings
import httpx
import pytest
from airflow.providers_manager import ProvidersManager
from fastapi import FastAPI
from fastapi.testclient import TestClient
from itsdangerous import URLSafeSerializer
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from airflow_provider_seeany.callback.token import (
    TokenClaims,
    sign_token,
    verify_token,
)
from airflow_provider_seeany.exceptions import SeeAnyConfigError
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import routes as route
from airflow_provider_seeany.web.callback.body import MAX_BYTES
from airflow_provider_seeany.web.callback.handler import AssetStatus, CallbackResult, CallbackStatus
from airflow_provider_seeany.web.callback.rate_limit import RateLimit
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.hostile import POLL_TIMEOUT

SECRET = "the-secret-of-the-callbacks-0123456789"
WAITING = TaskInstanceKey("dag", "run", "wait", 3)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application of an api-server that started with callbacks on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
        return create_app()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, app: FastAPI) -> Iterator[TestClient]:
    """A client of the application, with callbacks on and a database that cannot be opened."""
    nowhere = create_engine("sqlite:////nowhere/airflow.db")
    monkeypatch.setattr(airflow.settings, "NonScopedSession", sessionmaker(nowhere))
    monkeypatch.setattr(route, "_callbacks", RateLimit())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def _options_known() -> None:
    """Register the options of providers that are secrets, as Airflow's processes do when they start."""
    ProvidersManager().initialize_providers_configuration()


def path(token: str) -> str:
    return f"/callback/{token}"


GOOD = sign_token(TokenClaims("studio"), secret=SECRET)


def serializer(secret: str) -> URLSafeSerializer:
    """Sign claims that no URL of ours has, as its token is signed."""
    return URLSafeSerializer(
        secret, salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )


BAD_TOKENS = {
    "none of ours": "x",
    "forged": sign_token(TokenClaims("studio"), secret=SECRET + "!"),
    "of another use of the same secret": URLSafeSerializer(SECRET, salt="sessions").dumps(["studio", None]),
    "signed, with other claims": serializer(SECRET).dumps({"conn": "studio"}),
    "truncated": GOOD[:-1],
    "without a signature": GOOD.partition(".")[0],
    "another connection under the same signature": (
        sign_token(TokenClaims("other"), secret=SECRET).partition(".")[0] + "." + GOOD.partition(".")[2]
    ),
    "another asset under the same signature": (
        sign_token(TokenClaims("studio", asset="s3://another"), secret=SECRET).partition(".")[0]
        + "."
        + sign_token(TokenClaims("studio", asset="s3://studio/videos"), secret=SECRET).partition(".")[2]
    ),
    "endless": "x" * 5000,
}


def test_a_callback_signed_with_another_secret_is_logged_rarely(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(route, "_warnings", RateLimit(per_second=1 / 600, burst=1))
    for _ in range(5):
        client.post(path(BAD_TOKENS["forged"]), json={"id": "x"})

    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_seeany")]
    assert "was not signed with this process's callback_secret" in line
    assert BAD_TOKENS["forged"] not in line


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_ours_gets_a_404(client: TestClient, name: str) -> None:
    response = client.post(path(BAD_TOKENS[name]), json={"id": "x"})

    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    assert response.json() == client.get("/no-such-page").json()


@pytest.mark.parametrize("secret", [None, "", "short"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO"])
def test_without_a_secret_there_is_no_route(monkeypatch: pytest.MonkeyPatch, secret: str | None, method: str) -> None:
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
def test_a_secret_that_cannot_be_read_disables_callbacks_and_is_not_logged(
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
def test_it_accepts_post_only(client: TestClient, method: str) -> None:
    response = as_sent(client, method, path(GOOD))

    assert (response["status"], response["headers"]["allow"]) == (405, "POST")


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
def test_any_request_without_a_token_of_ours_gets_the_response_of_a_missing_page(
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
def test_a_body_that_is_too_large_is_rejected(client: TestClient, in_chunks: bool) -> None:
    body = b'{"id": "' + b"x" * MAX_BYTES + b'"}'
    content = iter([body[:1000], body[1000:]]) if in_chunks else body

    assert client.post(path(GOOD), content=content).status_code == 413


async def test_a_body_that_does_not_arrive_times_out(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    monkeypatch.setattr(route, "BODY_TIMEOUT", 0.1)
    transport = httpx.ASGITransport(client.app)
    async with (
        asyncio.timeout(POLL_TIMEOUT),
        httpx.AsyncClient(transport=transport, base_url="http://airflow") as caller,
    ):
        response = await caller.post(path(GOOD), content=never_ending())

    assert response.status_code == 408


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
def test_a_body_without_an_id_is_rejected_unless_the_token_names_a_task_instance(
    client: TestClient, body: bytes
) -> None:
    assert client.post(path(GOOD), content=body).status_code == 400
    named = client.post(path(sign_token(TokenClaims("studio", WAITING), secret=SECRET)), content=body)
    assert named.status_code == 503  # from the database


def test_a_database_error_requests_another_callback(client: TestClient) -> None:
    response = client.post(path(GOOD), json={"id": "x"})

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("result", "status", "retry_after", "payload"),
    [
        (CallbackResult(retry_after=10), 503, "10", {"detail": "Try again"}),
        (CallbackResult(retry_after=1.2, is_rate_limited=True), 429, "2", {"detail": "Too many callbacks"}),
        (
            CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10),
            503,
            "10",
            {"detail": "Try again", "status": "resumed", "task_instances": 1},
        ),
    ],
)
def test_an_error_or_a_rate_limit_requests_another_callback(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    result: CallbackResult,
    status: int,
    retry_after: str,
    payload: object,
) -> None:
    async def handle_callback(*_: Any) -> CallbackResult:
        return result

    monkeypatch.setattr(route, "handle_callback", handle_callback)
    response = client.post(path(GOOD), json={"id": "x"})

    assert (response.status_code, response.headers["Retry-After"], response.json()) == (status, retry_after, payload)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (CallbackResult(asset=AssetStatus.EVENT), 202),
        (CallbackResult(asset=AssetStatus.STILL_RUNNING), 202),
        (CallbackResult(asset=AssetStatus.DUPLICATE), 200),
        (CallbackResult(asset=AssetStatus.FAILED), 200),
        (CallbackResult(asset=AssetStatus.TOO_OLD), 200),
        (CallbackResult(CallbackStatus.RESUMED, 1, asset=AssetStatus.DUPLICATE), 202),
        (CallbackResult(asset=AssetStatus.NO_ASSET), 409),
        (CallbackResult(CallbackStatus.RESUMED, 1, asset=AssetStatus.NO_ASSET), 409),
        (CallbackResult(CallbackStatus.RESUMED, 1, retry_after=10, asset=AssetStatus.NO_TASK), 503),
    ],
    ids=str,
)
def test_the_response_tells_what_a_callback_did_for_an_asset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, result: CallbackResult, status: int
) -> None:
    async def handle_callback(*_: Any) -> CallbackResult:
        return result

    monkeypatch.setattr(route, "handle_callback", handle_callback)
    response = client.post(path(GOOD), json={"id": "x"})

    told = {"status": result.status, "task_instances": result.task_instances, "asset": result.asset}
    assert response.status_code == status
    assert response.json() == ({"detail": "Try again"} if status == 503 else {}) | told


def test_a_url_that_names_only_an_asset_needs_an_id_in_the_body(client: TestClient) -> None:
    token = sign_token(TokenClaims("studio", asset="s3://studio/videos"), secret=SECRET)

    assert client.post(path(token), content=b"{}").status_code == 400


def test_nothing_that_a_caller_sends_is_echoed_or_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="airflow_provider_seeany")
    responses = [
        client.post(path(GOOD), json={"id": "MARKED\nforged line"}),
        client.post(path(sign_token(TokenClaims("studio", asset="videos"), secret=SECRET)), json={"id": "MARKED"}),
        client.post(path(GOOD), content=b"MARKED"),
        client.post(path("MARKED"), json={"id": "MARKED"}),
    ]

    assert all("MARKED" not in response.text + str(response.headers) for response in responses)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_seeany")]
    assert ours
    assert not any("MARKED" in line or GOOD in line for line in ours)


def test_a_flood_is_rate_limited_for_its_own_token_only(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "_callbacks", RateLimit(per_second=0.1, burst=2))

    statuses = [client.post(path(GOOD), content=b"").status_code for _ in range(3)]
    limited = client.post(path(GOOD), content=b"")
    other = client.post(path(sign_token(TokenClaims("other"), secret=SECRET)), content=b"")

    assert statuses == [400, 400, 429]
    assert 0 < int(limited.headers["Retry-After"]) <= 10
    assert other.status_code == 400


def test_a_token_that_is_written_in_another_way_has_the_same_rate_limit(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_callbacks", RateLimit(per_second=0.1, burst=1))
    claims, _, signature = GOOD.partition(".")
    # What is no base64 is skipped when a signature is read.
    again = f"{claims}.****{signature}"

    assert verify_token(again, secrets=[SECRET]) == TokenClaims("studio")
    assert [client.post(path(token), content=b"").status_code for token in (GOOD, again)] == [400, 429]


async def test_a_caller_that_disconnects_is_no_error(client: TestClient) -> None:
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await client.app(
        {"type": "http", "method": "POST", "path": path(GOOD), "headers": [], "query_string": b""}, receive, send
    )

    assert sent[0]["status"] == 408


OLD, NEW = "old-secret-0123456789", "new-secret-9876543210"


@pytest.mark.parametrize(
    "option", [f"{NEW},{OLD}", f"{NEW} {OLD}", f"{NEW}\n{OLD}\n", f" {NEW} ,\r\n\t{OLD},", f"{NEW}\n\n,{OLD}"]
)
def test_a_secret_is_rotated_without_invalidating_older_urls(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
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
def test_of_several_secrets_the_one_that_is_too_short_is_named_by_its_number_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, option: str, which: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", option)

    with pytest.raises(SeeAnyConfigError, match=f"^{which} in .* is too short") as raised:
        SeeAnyHook("studio").callback_url()
    assert not any(secret in str(raised.value) for secret in (NEW, OLD, "short\n"))
    # A short one is not ignored: it may be half of a secret.
    client = TestClient(create_app())
    assert client.post(path(sign_token(TokenClaims("studio"), secret=NEW)), content=b"").status_code == 404
    assert which in caplog.text
