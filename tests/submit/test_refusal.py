"""Which exceptions of a `create` callable mean that no task was created; in doubt one may have been."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import RemoteDisconnected
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError as UrllibError

import aiohttp
import httpx
import pytest
import requests
import urllib3
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_seeany import exceptions
from airflow_provider_seeany.api.errors import ApiError, PermanentError, TransientError
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import api_error
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.submit.refusal import is_refusal
from tests.api.proxies import Certificates, Proxy, TaskServer, serving
from tests.hostile import FAILED, HostileServer, reply
from tests.waits import each_dialect


def of_requests(status: int, method: str = "POST", body: str = "", **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response.request = requests.Request(method, "http://h/").prepare()
    return requests.HTTPError("no", response=response)


def of_httpx(status: int, method: str = "POST", body: str = "") -> httpx.HTTPStatusError:
    request = httpx.Request(method, "http://h/")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request, text=body))


def given_up(error: Exception) -> urllib3.exceptions.MaxRetryError:
    """Return what urllib3 raises without a second attempt."""
    with pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
        urllib3.Retry(0).increment("POST", "/", error=error)
    return raised.value


def of_aiohttp(status: int, method: str = "POST") -> aiohttp.ClientResponseError:
    info: Any = aiohttp.RequestInfo("http://h/", method, {}, "http://h/")  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(info, (), status=status)


def of_http_hook(error: Exception, text: str) -> AirflowException:
    """Return what Airflow's HttpHook raises, in an `except` block."""
    try:
        try:
            raise error
        except Exception:
            raise AirflowException(text)  # noqa: B904  as the hook does
    except AirflowException as raised:
        return raised


def of_our_hook(error: ApiError) -> Exception:
    """Return what the hook's `post` raises."""
    raised = api_error(error, seeany_conn_id="c")
    raised.was_not_carried_out = error.was_not_carried_out
    return raised


NOTHING_CREATED: dict[str, BaseException] = {
    "author's word": exceptions.SeeAnyNotCreated("quota of our own"),
    "author's word, not retried": AirflowFailException("no prompt"),
    "skip": AirflowSkipException("nothing to do"),
    "no connection": exceptions.SeeAnyConnectionNotFound("seeany_default"),
    "bad connection": exceptions.SeeAnyConfigError("no key"),
    "our hook, never sent": of_our_hook(TransientError("refused", was_not_carried_out=True)),
    "our hook, refused": of_our_hook(PermanentError("no", http_status=400, was_not_carried_out=True)),
    **{f"requests {status}": of_requests(status) for status in (400, 401, 403, 404, 422, 429, 307)},
    "requests 503, come back later": of_requests(503, Retry_After="5"),
    "httpx 400": of_httpx(400),
    "aiohttp 400": of_aiohttp(400),
    "urllib 400": UrllibError("http://h/", 400, "no", {}, None),  # type: ignore[arg-type]
    "HttpHook": of_http_hook(of_requests(400), "400:Bad Request"),
    "connect timeout": requests.ConnectTimeout(),
    "no address": socket.gaierror(-2, "Name or service not known"),
    "nobody listens": ConnectionRefusedError(111, "refused"),
    "httpx connect": httpx.ConnectError("refused"),
    "httpx pool": httpx.PoolTimeout("full"),
    **{
        f"proxy, {why}": requests.exceptions.ProxyError(given_up(urllib3.exceptions.ProxyError("no", why)))
        for why in (
            OSError("Tunnel connection failed: 407 Proxy Authentication Required"),
            urllib3.exceptions.NewConnectionError(None, "refused"),  # type: ignore[arg-type]
            urllib3.exceptions.ConnectTimeoutError("late"),
            urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self")),
        )
    },
    "a certificate": requests.exceptions.SSLError(
        given_up(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self")))
    ),
}

ABOUT_AN_EARLIER_REQUEST = (
    '{"error": {"code": "duplicate_request", "message": "no"}}',
    '{"code": 400, "msg": "\\u4efb\\u52a1\\u5df2\\u5b58\\u5728"}',  # 任务已存在
    '{"msg": "请勿重复提交"}',
    '{"detail": [{"msg": "Task already exists"}]}',
    "The task is already being processed",
)

IN_DOUBT: dict[str, BaseException] = {
    **{f"requests, {body}": of_requests(400, body=body) for body in ABOUT_AN_EARLIER_REQUEST},
    "requests 429, duplicate": of_requests(429, body="duplicate"),
    "httpx, duplicate": of_httpx(422, body=ABOUT_AN_EARLIER_REQUEST[0]),
    "urllib, duplicate": UrllibError("http://h/", 400, "no", {}, io.BytesIO(b"duplicate")),  # type: ignore[arg-type]
    "its own text, duplicate": UrllibError("http://h/", 400, "Duplicate", {}, None),  # type: ignore[arg-type]
    "read timeout": requests.ReadTimeout(),
    "reset": requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted", ConnectionResetError())),
    **{
        f"proxy, {type(why).__name__}": requests.exceptions.ProxyError(
            given_up(urllib3.exceptions.ProxyError("no", why))
        )
        for why in (RemoteDisconnected("closed"), ConnectionResetError(104, "reset"), OSError("no"))
    },
    "broken TLS": requests.exceptions.SSLError(ssl.SSLError("decryption failed")),
    "any connection error": requests.ConnectionError("?"),
    "builtin reset": ConnectionResetError(),
    "builtin timeout": TimeoutError(),
    "httpx read": httpx.ReadTimeout("slow"),
    **{f"requests {status}": of_requests(status) for status in (302, 303, 408, 409, 425, 499, 500, 502, 503, 504)},
    "httpx 500": of_httpx(500),
    "aiohttp 502": of_aiohttp(502),
    "a look after it": of_requests(404, method="GET"),
    "a look after it, httpx": of_httpx(404, method="HEAD"),
    "no connection for a look after it": requests.ConnectTimeout(
        request=requests.Request("GET", "http://h/").prepare()
    ),
    "no connection for a look after it, httpx": httpx.ConnectError("no", request=httpx.Request("GET", "http://h/")),
    "HttpHook 500": of_http_hook(of_requests(500), "500:Internal Server Error"),
    "while another error was handled": of_http_hook(of_requests(404), "no id in the response"),
    "no JSON in a success": requests.exceptions.JSONDecodeError("?", "", 0),
    "a bug": KeyError("task_uuid"),
    "our hook": of_our_hook(TransientError("reset")),
    "it waited as well, in vain": exceptions.SeeAnyTaskFailed(SeeAnyTask.from_payload(FAILED)),
    "it waited too long": exceptions.SeeAnyTaskTimeout("x"),
    "killed": SystemExit(1),
}


@pytest.mark.parametrize("name", NOTHING_CREATED)
def test_a_refusal_and_a_request_that_never_left_create_nothing(name: str) -> None:
    assert is_refusal(NOTHING_CREATED[name])


@pytest.mark.parametrize("name", IN_DOUBT)
def test_after_anything_else_a_task_may_exist(name: str) -> None:
    assert not is_refusal(IN_DOUBT[name])


def test_a_look_after_it_by_our_hook_tells_nothing(hostile: HostileServer, connect: Callable[..., None]) -> None:
    """Such as for a task that was just created, and is not visible yet."""
    connect(host=hostile.url)
    hostile.script(reply(404))
    for look in (SeeAnyHook().get_task, SeeAnyHook().get):
        with pytest.raises(exceptions.SeeAnyApiError) as error:
            look("w")
        assert not is_refusal(error.value)


def post_by_requests(url: str) -> None:
    requests.post(url, timeout=5).raise_for_status()


def post_by_httpx(url: str) -> None:
    httpx.post(url, timeout=5).raise_for_status()


def post_by_aiohttp(url: str) -> None:
    async def post() -> None:
        async with aiohttp.ClientSession() as session, session.post(url) as response:
            response.raise_for_status()

    asyncio.run(post())


@pytest.mark.parametrize("post", [post_by_requests, post_by_httpx, post_by_aiohttp])
@pytest.mark.parametrize("where", ["nobody listens", "no such host", "400", "500", "reset"])
def test_it_is_told_from_what_the_clients_really_raise(
    hostile: HostileServer, post: Callable[[str], None], where: str
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = hostile.url
        if where == "nobody listens":
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        elif where == "no such host":
            url = "http://nowhere.invalid"
        elif where == "reset":
            hostile.script(_reset)
        else:
            hostile.script(reply(int(where)))

        with pytest.raises(Exception) as error:  # noqa: PT011
            post(url)

    assert is_refusal(error.value) == (where not in ("500", "reset"))


@each_dialect
@pytest.mark.parametrize("body", ABOUT_AN_EARLIER_REQUEST)
def test_our_hook_says_the_same_of_an_error_about_an_earlier_request_and_repeats_nothing(
    hostile: HostileServer, connect: Callable[..., None], body: str
) -> None:
    connect(host=hostile.url)
    hostile.script(reply(429, body.encode()))

    with pytest.raises(exceptions.SeeAnyApiError) as error:
        SeeAnyHook().post("x", {})

    assert not is_refusal(error.value)
    assert len(hostile.requests) == 1


@pytest.mark.parametrize(
    ("responses", "options", "is_refused"),
    [
        (["reset", "closed"], {}, False),
        (["reset", "closed"], {"connect": False}, False),
        (["500", "closed"], {}, False),
        (["reset", "400"], {}, False),
        (["500", "400"], {}, False),
        (["closed"], {}, True),
        (["closed"], {"connect": 0}, True),
        (["400"], {}, True),
    ],
)
def test_a_session_that_repeats_a_post_by_itself_may_have_created_a_task(
    responses: list[str], options: dict[str, Any], is_refused: bool
) -> None:
    """As with a `Retry` that has `allowed_methods=None`."""
    retry = urllib3.Retry(2, allowed_methods=None, status_forcelist=[500], **options)
    with answering(responses) as url, requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        with pytest.raises(Exception) as error:  # noqa: PT011
            session.post(url, timeout=5).raise_for_status()

    assert is_refusal(error.value) == is_refused


def post_by_hook(_: str) -> None:
    SeeAnyHook().post("x", {})


@pytest.mark.parametrize(("scheme", "post"), [("http", post_by_requests), ("https", post_by_hook)])
def test_a_post_that_a_proxy_passed_on_is_not_taken_for_one_that_never_left(
    scheme: str,
    post: Callable[[str], None],
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """After a hang-up urllib3 says that it could not connect to the proxy."""
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    url = f"{scheme}://seeany.test"
    connect(host=url)
    server = TaskServer(certificates.server if scheme == "https" else None)
    with serving(server), serving(proxy := Proxy(server.port)):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{proxy.address}")
        with pytest.raises(Exception) as error:  # noqa: PT011
            post(url)

    assert len(server.seen) == 1
    assert not is_refusal(error.value)


@contextmanager
def answering(responses: list[str]) -> Iterator[str]:
    """Answer one connection after the other, and none after that: nobody listens then."""
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}"

    def answer() -> None:
        with server:
            for response in responses:
                if response == "closed":
                    return
                connection, _ = server.accept()
                with connection:
                    if response == responses[-1] or responses[responses.index(response) + 1] == "closed":
                        server.close()
                    connection.recv(65536)
                    if response != "reset":
                        connection.sendall(f"HTTP/1.1 {response} No\r\nContent-Length: 0\r\n\r\n".encode())

    thread = Thread(target=answer)
    thread.start()
    if responses[0] == "closed":
        thread.join()
    yield url
    thread.join()


async def _reset(caller: Any) -> None:
    caller.reset()
