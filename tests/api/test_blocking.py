"""What is particular to the blocking client."""

from __future__ import annotations

import json
import re
import threading

import pytest

from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.errors import PermanentError, TransientError
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY, poll_blocking, settings_for
from tests.hostile import POLL_TIMEOUT, HostileServer, Responder, close, never_respond, raw, reply, task, trickle


def test_one_connection_serves_many_requests_and_is_closed_at_the_end(hostile: HostileServer) -> None:
    hostile.script(task())
    client = BlockingClient(settings_for(hostile))

    for _ in range(3):
        assert isinstance(client.get_task("x"), SeeAnyTask)

    assert (hostile.connections, len(hostile.requests)) == (1, 3)
    client.close()
    hostile.until(lambda: hostile.open == 0)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(hostile: HostileServer) -> None:
    hostile.script(reply(200, {"id": "x", "status": "queued"}, ("Connection", "close")), task())
    client = BlockingClient(settings_for(hostile))

    replies = [client.get_task("x") for _ in range(2)]

    client.close()
    assert [type(reply_) for reply_ in replies] == [SeeAnyTask, SeeAnyTask]


@pytest.mark.parametrize("fault", [close, never_respond])
def test_a_client_works_after_a_fault(hostile: HostileServer, fault: Responder) -> None:
    hostile.script(fault, task())
    client = BlockingClient(settings_for(hostile, request_timeout=2))

    with pytest.raises(TransientError):
        client.get_task("x")
    assert isinstance(client.get_task("x"), SeeAnyTask)
    client.close()


TRICKLES = {
    "the headers": b"HTTP/1.1 200 OK\r\nX: ",
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n",
    "a body up to the end of the connection": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", TRICKLES)
def test_a_server_that_trickles_holds_neither_a_thread_nor_a_socket(hostile: HostileServer, name: str) -> None:
    before = set(threading.enumerate())
    taken: list[bytes] = []
    hostile.script(trickle(TRICKLES[name], b"y" * 80, taken))
    client = BlockingClient(settings_for(hostile, request_timeout=0.3))

    with pytest.raises(TransientError):
        client.get_task("x")

    for thread in set(threading.enumerate()) - before:
        thread.join(POLL_TIMEOUT)
    assert not set(threading.enumerate()) - before
    hostile.until(lambda: hostile.open == 0)
    assert taken == []
    client.close()


def test_any_endpoint_can_be_requested_with_parameters(hostile: HostileServer) -> None:
    hostile.script(reply(200, [1, {"a": None}]))
    client = BlockingClient(settings_for(hostile))

    assert client.get_json("balance", {"q": "a b&c", "n": 1}) == [1, {"a": None}]

    client.close()
    assert hostile.requests[0].target == "/v1/balance?q=a+b%26c&n=1"
    assert hostile.requests[0].all("Authorization") == [f"Bearer {KEY}"]


def test_any_endpoint_that_fails_raises_the_error(hostile: HostileServer) -> None:
    hostile.script(reply(403, {"message": "不允许"}))
    client = BlockingClient(settings_for(hostile))

    with pytest.raises(PermanentError, match="HTTP 403: 不允许"):
        client.get_json("balance")

    client.close()


def test_a_cookie_that_the_server_sets_is_not_sent_back(other_host: HostileServer) -> None:
    other_host.script(reply(200, {"id": "x", "status": "queued"}, ("Set-Cookie", "route=a; Path=/")))
    client = BlockingClient(settings_for(other_host))

    client.get_task("x")
    client.get_task("x")

    client.close()
    assert other_host.requests[0].headers == other_host.requests[1].headers


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:1/v1", "https://no-such-host.invalid/v1", "https://a..b/v1", f"https://{'a' * 70}/v1"],
)
def test_a_server_that_is_not_there_is_a_passing_fault(base_url: str) -> None:
    client = BlockingClient(ApiSettings(base_url=base_url, api_key=Secret(KEY)))

    with pytest.raises(TransientError) as error:
        client.get_task("x")

    assert KEY not in str(error.value)


def test_a_server_that_speaks_no_tls_is_a_passing_fault(hostile: HostileServer) -> None:
    hostile.script(task())
    client = BlockingClient(ApiSettings(base_url=hostile.url.replace("http:", "https:"), api_key=Secret(KEY)))

    with pytest.raises(TransientError):
        client.get_task("x")


MALFORMED = {
    "no colon": "bad line with {key}\r\n",
    "no colon, apart": "bad line with {apart}\r\n",
    "space before the colon": "{key} : x\r\n",
    "folded from nothing": " {key}\r\n",
    "multipart": "Content-Type: multipart/mixed; boundary={key}\r\n{key}\r\n",
}


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("name", MALFORMED)
def test_no_library_logs_a_malformed_header_that_quotes_the_key(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture, name: str, status: int
) -> None:
    line = MALFORMED[name].format(key=KEY, apart="\u200b".join(KEY)).encode()
    ok = json.dumps({"id": "x", "status": "processing"}).encode()
    hostile.script(raw(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(ok), line) + ok))

    with caplog.at_level("DEBUG"):
        poll_blocking(settings_for(hostile))

    logged = caplog.text + "".join(str(record.exc_info) for record in caplog.records)
    assert KEY[3:] not in re.sub("[^!-~]", "", logged)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
