"""The hook: Airflow connections of every spelling, and what a user meets when they, or the service, are bad."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
)

from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.invalid_responses import MIN_INVALID_RESPONSES
from airflow_provider_seeany.api.retries import MAX_ATTEMPTS
from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyAuthError,
    SeeAnyConfigError,
    SeeAnyError,
    SeeAnyRepeatedResponseError,
    SeeAnyRequestError,
    SeeAnyResponseError,
    SeeAnyTaskFailed,
    SeeAnyTaskIdError,
    SeeAnyTaskNotFound,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from tests.conftest import KEY
from tests.hooks.conftest import Poll
from tests.hostile import (
    PARTIAL,
    PARTIAL_URLS,
    HostileServer,
    Responder,
    accepting,
    never_respond,
    page,
    reply,
    reset,
    task,
    trickle,
)

Connect = Callable[..., None]


@pytest.fixture
def hook(hostile: HostileServer, connect: Connect) -> SeeAnyHook:
    """A hook that polls the hostile server."""
    connect(host=hostile.url)
    return SeeAnyHook()


@pytest.fixture
def hook_of_dialect(hostile: HostileServer, connect: Connect, dialect: Dialect) -> SeeAnyHook:
    """A hook that polls the hostile server in each dialect."""
    connect(host=hostile.url)
    return SeeAnyHook()


# Sending.


def test_a_post_goes_to_the_api_with_the_key_and_returns_the_decoded_json(
    hook_of_dialect: SeeAnyHook, hostile: HostileServer
) -> None:
    hostile.script(reply(200, {"code": 0, "data": {"task_uuid": "w"}}))

    assert hook_of_dialect.post("/api/ai/smarttask", {"prompt": "猫"}) == {"code": 0, "data": {"task_uuid": "w"}}

    (request,) = hostile.requests
    assert request.line.startswith("POST /")
    assert request.target.endswith("/api/ai/smarttask")
    assert json.loads(request.body) == {"prompt": "猫"}
    assert request.all("Authorization") == [f"Bearer {KEY}"]


def test_a_post_does_not_leave_the_api(hook: SeeAnyHook, hostile: HostileServer, other_host: HostileServer) -> None:
    for endpoint in (f"{other_host.url}/x", "//evil.example/x", "a/../../x"):
        with pytest.raises(SeeAnyConfigError, match="endpoint"):
            hook.post(endpoint, {})
    hostile.script(reply(308, b"", ("Location", f"{other_host.url}/x")))
    with pytest.raises(SeeAnyRequestError, match="redirected to localhost and was not followed") as error:
        hook.post("x", {})

    assert error.value.was_not_carried_out
    assert other_host.connections == 0
    assert len(hostile.requests) == 1


# Connections.


def test_making_a_hook_costs_nothing() -> None:
    assert SeeAnyHook("no_such_connection").seeany_conn_id == "no_such_connection"


# Polling.


@pytest.mark.parametrize("value", ["", None, "None", "{{ x }}", {"id": "x"}, "x" * 513, "..", "\ud800"], ids=ascii)
def test_what_cannot_be_an_id_is_refused_before_any_request(
    hook: SeeAnyHook, hostile: HostileServer, poll: Poll, value: Any
) -> None:
    with pytest.raises(SeeAnyTaskIdError, match="upstream task") as error:
        poll(hook, value)

    assert isinstance(error.value, AirflowFailException)
    assert isinstance(error.value, ValueError)
    assert hostile.connections == 0


@pytest.mark.parametrize("value", [20260603001, " 20260603001\n"])
def test_an_id_is_what_it_spells(hook: SeeAnyHook, hostile: HostileServer, poll: Poll, value: Any) -> None:
    hostile.script(task(id="20260603001"), task_id="20260603001")

    assert poll(hook, value).id == "20260603001"
    hostile.script(reply(404), task_id="20260603001")
    with pytest.raises(SeeAnyTaskNotFound, match="for task '20260603001'"):
        poll(hook, value)


@pytest.mark.parametrize("value", [20260603001, " 20260603001\n"])
def test_waiting_for_an_id_is_waiting_for_what_it_spells(hook: SeeAnyHook, hostile: HostileServer, value: Any) -> None:
    hostile.script(task(id=20260603001, status="Completed"), task_id="20260603001")

    assert hook.wait_for_task(value).id == "20260603001"


def test_a_field_that_cannot_be_parsed_is_logged_once(
    hook: SeeAnyHook, hostile: HostileServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(task(progress="most"))

    monkeypatch.setattr(SeeAnyHook, "log", logging.getLogger("tests.hook"))
    with caplog.at_level("WARNING"):
        assert [hook.get_task("x").progress for _ in range(3)] == [None] * 3

    assert len([line for line in caplog.messages if "left out: progress" in line]) == 1


ERRORS: dict[str, tuple[Responder, type[SeeAnyApiError], int | None, str]] = {
    "401": (reply(401, {"message": "bad key"}), SeeAnyAuthError, 401, "bad key.*API Key"),
    "403": (reply(403, {"message": "不允许"}), SeeAnyAuthError, 403, "不允许.*API Key"),
    "404": (reply(404, {"message": "no task"}), SeeAnyTaskNotFound, 404, "no task.*Check the id"),
    "410": (reply(410), SeeAnyTaskNotFound, 410, "Check the id"),
    "422": (reply(422, {"detail": "odd"}), SeeAnyRequestError, 422, "odd"),
    "302": (reply(302, b"", ("Location", "https://h/")), SeeAnyRequestError, 302, "redirected to h"),
    "429": (reply(429), SeeAnyApiError, 429, "HTTP 429"),
    "500": (reply(500), SeeAnyApiError, 500, "HTTP 500"),
    "reset": (reset, SeeAnyApiError, None, "could not be reached"),
    "401 in the body": (reply(200, {"code": 401, "msg": "密钥错误"}), SeeAnyAuthError, 401, "密钥错误.*API Key"),
    "404 in the body": (
        reply(200, {"code": 404, "msg": "无此任务"}),
        SeeAnyTaskNotFound,
        404,
        "无此任务.*Check the id",
    ),
    "503 in the body": (reply(200, {"code": 503, "msg": "繁忙"}), SeeAnyApiError, 503, "繁忙"),
    "unknown code": (reply(200, {"code": 10001, "msg": "说明"}), SeeAnyResponseError, 200, "说明 .10001"),
    "HTML": (page(200), SeeAnyResponseError, 200, "HTML.*Base URL"),
    "wrong id": (task(id="y"), SeeAnyResponseError, 200, "another task"),
    "truncated": (reply(200, b'{"id": "x"'), SeeAnyResponseError, 200, '{"id": "x"'),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_request_without_a_response_names_the_task_and_the_connection(
    hook_of_dialect: SeeAnyHook, hostile: HostileServer, poll: Poll, name: str
) -> None:
    response, kind, status, says = ERRORS[name]
    hostile.script(response)

    with pytest.raises(SeeAnyApiError, match=says) as error:
        poll(hook_of_dialect, "x")

    assert type(error.value) is kind
    assert error.value.http_status == status
    assert "task 'x'" in str(error.value)
    assert "'seeany_default'" in str(error.value)
    may_pass = not issubclass(kind, AirflowFailException)
    # aiohttp itself sends a request again, once, where a connection broke.
    assert len(hostile.requests) == (MAX_ATTEMPTS if may_pass else 1) or name == "reset"


def test_a_passing_fault_does_not_reach_the_caller(
    hook_of_dialect: SeeAnyHook, hostile: HostileServer, poll: Poll
) -> None:
    hostile.script(reply(500), page(200), reply(429, b"", ("Retry-After", "0")), reset, task())

    assert poll(hook_of_dialect, "x").is_running
    assert len(hostile.requests) == 5


@pytest.mark.parametrize("name", ERRORS)
def test_only_what_may_pass_is_retried_by_airflow(name: str) -> None:
    may_pass = ("429", "500", "503 in the body", "unknown code", "reset", "HTML", "wrong id", "truncated")

    assert issubclass(ERRORS[name][1], AirflowFailException) == (name not in may_pass)


def test_an_api_error_carries_what_the_platforms_support_needs(
    hook: SeeAnyHook, hostile: HostileServer, poll: Poll
) -> None:
    hostile.script(reply(400, {"error": {"code": "c", "message": "说明"}}, ("X-Request-Id", "req_1")))

    with pytest.raises(SeeAnyApiError, match=r"\(request id req_1\)") as error:
        poll(hook, "x")

    assert (error.value.error_code, error.value.server_message, error.value.request_id) == ("c", "说明", "req_1")


def test_a_task_can_be_requested_whatever_its_state(simulator_url: str, connect: Connect, poll: Poll) -> None:
    connect(host=simulator_url)
    hook = SeeAnyHook()

    assert poll(hook, "video-0s").is_completed
    assert poll(hook, "fails-0s").is_failed
    assert poll(hook, "never").is_running
    assert poll(hook, "queued").status == "queued"
    assert len(poll(hook, "images-0s-3x").result_urls) == 3


def test_any_endpoint_can_be_requested_with_the_key(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(reply(200, {"balance": 12.5}))

    assert hook.get("balance", {"currency": "CNY"}) == {"balance": 12.5}
    assert hook.get("/v1/balance") == {"balance": 12.5}

    assert [request.target for request in hostile.requests] == ["/v1/balance?currency=CNY", "/v1/balance"]
    assert {tuple(request.all("Authorization")) for request in hostile.requests} == {(f"Bearer {KEY}",)}


@pytest.mark.parametrize("endpoint", ["https://elsewhere/x", "//elsewhere/x", "../x", "%2e%2e/x", "http://[", "a\nb"])
def test_an_endpoint_outside_the_api_is_refused_before_any_request(
    hook: SeeAnyHook, hostile: HostileServer, endpoint: str
) -> None:
    with pytest.raises(SeeAnyConfigError, match="endpoint"):
        hook.get(endpoint)

    assert hostile.connections == 0


def test_a_request_to_an_endpoint_is_retried_after_a_passing_fault(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(reply(502), reset, reply(200, {"balance": 12.5}))

    assert hook.get("balance") == {"balance": 12.5}


def test_an_endpoint_without_a_response_names_the_connection(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(reply(404, {"message": "no such endpoint"}))

    with pytest.raises(SeeAnyRequestError, match=r"no such endpoint.*'seeany_default'"):
        hook.get("nowhere")


def test_the_session_of_requests_is_authenticated(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(reply(200, {}))

    hook.get_conn().get(f"{hostile.url}/v1/anything", timeout=10)

    assert hostile.requests[0].all("Authorization") == [f"Bearer {KEY}"]


# Waiting.


def test_waiting_returns_the_completed_task(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    task = SeeAnyHook().wait_for_task("video-0.3s-hook", interval=0.05, timeout=20)

    assert task.is_completed
    assert task.usage.cost == 0.7


def test_waiting_for_a_failed_task_raises_the_services_own_words(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)

    with pytest.raises(
        SeeAnyTaskFailed, match=r"fails-0s.*生成内容违反内容安全策略.*content_policy_violation"
    ) as error:
        SeeAnyHook().wait_for_task("fails-0s", interval=0.05, timeout=20)

    assert isinstance(error.value, AirflowFailException)
    assert error.value.task.error.code == "content_policy_violation"


def test_waiting_returns_a_partial_result_unless_it_is_not_accepted(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(reply(200, PARTIAL))

    assert hook.wait_for_task("x").is_partial
    with pytest.raises(SeeAnyTaskFailed, match=PARTIAL_URLS[0]):
        hook.wait_for_task("x", accept_partial=False)


def test_a_timeout_names_the_last_progress(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(task(progress=65, estimated_remaining=42))

    with pytest.raises(SeeAnyTaskTimeout, match=r"within 0.2 s; last seen: processing 65 %, about 42 s left") as error:
        hook.wait_for_task("x", interval=0.05, timeout=0.2)

    assert isinstance(error.value, AirflowSensorTimeout)
    assert "may still finish and cost money" in str(error.value)


@pytest.mark.parametrize("interval", [-1, float("nan")])
def test_waiting_with_an_interval_that_cannot_be_says_so_before_any_request(
    hook: SeeAnyHook, hostile: HostileServer, interval: float
) -> None:
    hostile.script(task())

    with pytest.raises((ValueError, SeeAnyError), match="interval"):
        hook.wait_for_task("x", interval=interval)

    assert hostile.connections == 0


def test_waiting_outlasts_passing_faults_and_a_few_invalid_responses(
    hook_of_dialect: SeeAnyHook, hostile: HostileServer
) -> None:
    hostile.script(
        reset, reply(500), page(200), reply(429, b"", ("Retry-After", "0")), page(502), task(), task(status="completed")
    )

    assert hook_of_dialect.wait_for_task("x", interval=0.01, timeout=20).is_completed
    assert len(hostile.requests) == 7


def test_waiting_ends_at_once_when_the_key_is_refused(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(task(), reply(401, {"message": "expired"}), task(status="completed"))

    with pytest.raises(SeeAnyAuthError, match="expired"):
        hook.wait_for_task("x", interval=0.01, timeout=20)

    assert len(hostile.requests) == 2


@pytest.mark.usefixtures("_invalid_responses_count_at_once")
def test_a_wait_ends_after_several_web_pages_in_a_row(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(page(200))

    with pytest.raises(SeeAnyRepeatedResponseError, match="HTML") as error:
        hook.wait_for_task("x", interval=0.01, timeout=20)

    assert isinstance(error.value, AirflowFailException)
    assert isinstance(error.value, SeeAnyResponseError)
    assert len(hostile.requests) == MIN_INVALID_RESPONSES


def test_a_failed_task_whose_reason_quotes_the_key_does_not_show_it(hook: SeeAnyHook, hostile: HostileServer) -> None:
    hostile.script(task(status="failed", error={"code": KEY, "message": f"bad header Bearer {KEY}"}))

    with pytest.raises(SeeAnyTaskFailed) as error:
        hook.wait_for_task("x", interval=0.01, timeout=20)

    assert KEY not in str(error.value)


# The Test button.


ACCEPTED: dict[str, Responder] = {
    "404": reply(404, {"error": {"code": "task_not_found", "message": "no"}}),
    "404 without a body": reply(404),
    "404 in an envelope": reply(200, {"code": 404, "msg": "no"}),
}
NOT_ACCEPTED: dict[str, tuple[Responder, str]] = {
    "401": (reply(401, {"message": f"bad key {KEY}"}), "HTTP 401.*API Key"),
    "403": (reply(403, {"message": f"bad key {KEY}"}), "HTTP 403.*API Key"),
    "401 in an envelope": (reply(200, {"code": 401, "msg": f"bad key {KEY}"}), "bad key.*API Key"),
    "500": (reply(500, {"message": f"[key] was {KEY}"}), "HTTP 500"),
    "429": (reply(429), "HTTP 429"),
    "a page": (page(200, f"<p>[x]{KEY}"), "HTML.*Base URL"),
    "a page for a wrong address": (page(404, f"<p>{KEY}"), "404"),
    "a redirect": (reply(302, b"", ("Location", f"https://login/?key={KEY}")), "redirected to login"),
    "reset": (reset, "could not be reached"),
    "hanging": (never_respond, "could not be reached"),
    "a trickle": (trickle(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 80, []), "could not be reached"),
}
NOT_ACCEPTED_BY_V1: dict[str, tuple[Responder, str]] = {
    "a task": (task(id="airflow-connection-test"), "cannot exist was found.*Base URL"),
    "another task": (task(id=KEY), "another task"),
}
NOT_ACCEPTED_BY_DEVELOPER: dict[str, tuple[Responder, str]] = {
    "404": (reply(404), "HTTP 404"),
    "a bad key by its text": (reply(200, {"code": 1001, "msg": "API Key 无效"}), "API Key 无效.*Check that connection"),
    "no envelope": (reply(200, {"balance": 5}), "no code of success"),
    "a list": (reply(200, []), "no code of success"),
}
BALANCES: dict[str, tuple[object, str]] = {
    "a number": (12.5, " The balance is 12.50."),
    "an object": ({"balance": 12.5, "currency": "CNY"}, " The balance is ¥12.50."),
    "text": ({"balance": "¥12.50"}, " The balance is ¥12.50."),
    "deeper": ({"account": {"amount": 300, "unit": "credits"}}, " The balance is 300.00 credits."),
    "none": ({"name": "studio"}, ""),
    "null": (None, ""),
    "a list": ([1, 2], ""),
    "brackets": ({"balance": 1, "unit": "[red]"}, " The balance is 1.00 (red)."),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_test_button_takes_not_found_for_an_accepted_key(
    hook: SeeAnyHook, hostile: HostileServer, name: str
) -> None:
    hostile.script(ACCEPTED[name])

    assert hook.test_connection() == (True, "SeeAny accepted the API key.")


@pytest.mark.parametrize("name", BALANCES)
def test_the_test_button_shows_the_balance_where_the_api_tells_it(
    hostile: HostileServer, connect: Connect, name: str
) -> None:
    connect(host=hostile.url, extra={"api": "developer"})
    data, shown = BALANCES[name]
    hostile.script(reply(200, {"code": 0, "msg": "ok", "data": data}))

    assert SeeAnyHook().test_connection() == (True, f"SeeAny accepted the API key.{shown}")
    assert hostile.requests[0].target == "/api/developer/balance"


@pytest.mark.parametrize(
    ("api", "response", "says"),
    [
        *(("v1", *row) for row in (NOT_ACCEPTED | NOT_ACCEPTED_BY_V1).values()),
        *(("developer", *row) for row in (NOT_ACCEPTED | NOT_ACCEPTED_BY_DEVELOPER).values()),
    ],
    ids=[
        *(f"v1, {name}" for name in NOT_ACCEPTED | NOT_ACCEPTED_BY_V1),
        *(f"developer, {name}" for name in NOT_ACCEPTED | NOT_ACCEPTED_BY_DEVELOPER),
    ],
)
def test_the_test_button_says_what_is_wrong_and_never_shows_the_key(
    hostile: HostileServer, connect: Connect, api: str, response: Responder, says: str
) -> None:
    connect(host=hostile.url, extra={"request_timeout": 0.5, "api": api})
    hostile.script(response)

    accepted, message = SeeAnyHook().test_connection()

    assert not accepted
    assert KEY[:12] not in message
    assert message.isprintable()
    assert not set(message) & set("[]")
    assert re.search(says, message)


def test_the_test_button_tests_the_connection_as_it_is_now(
    hook: SeeAnyHook, hostile: HostileServer, connect: Connect
) -> None:
    hostile.script(accepting("sk-new", reply(404), otherwise=reply(401)))
    assert not hook.test_connection()[0]

    connect(host=hostile.url, password="sk-new")

    assert hook.test_connection()[0]


def test_the_test_button_works_against_the_simulator(simulator_url: str, connect: Connect) -> None:
    connect(host=simulator_url)
    connect("refused", host=simulator_url, password="sk-bad")
    connect("unreachable", host="127.0.0.1", port=1)

    assert SeeAnyHook().test_connection()[0]
    assert "HTTP 401" in SeeAnyHook("refused").test_connection()[1]
    assert "could not be reached" in SeeAnyHook("unreachable").test_connection()[1]
