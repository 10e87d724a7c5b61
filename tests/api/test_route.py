"""The way to the API: proxies and certificates, alike for both transports; and who on that way gets the key."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_seeany.api.errors import ApiError, BadSettings
from airflow_provider_seeany.api.request import ApiSettings, base_url
from airflow_provider_seeany.api.route import route_to
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.api.proxies import Certificates, Proxy, TaskServer, serving
from tests.conftest import KEY, Poll
from tests.hostile import HostileServer, reply, task

CREDENTIALS = {
    "": None,
    "user:pass%40w%2Frd@": b"user:pass@w/rd",
    "user:@": b"user:",
    "user@": b"user:",
    "用户:密码@": "用户:密码".encode(),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskServer]:
    """A server called seeany.test behind TLS, which only a proxy finds, and whose certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    server = TaskServer(certificates.server)
    with serving(server):
        yield server


@pytest.fixture
def proxy(server: TaskServer) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    with serving(proxy):
        yield proxy


def settings(url: str = "https://seeany.test/v1") -> ApiSettings:
    return ApiSettings(base_url=url, api_key=Secret(KEY), request_timeout=8, connect_timeout=5)


def sent(head: str, name: str) -> list[str]:
    fields = (line.partition(":") for line in head.split("\r\n")[1:])
    return [value.strip() for key, _, value in fields if key.lower() == name.lower()]


def basic(credentials: bytes | None) -> list[str]:
    return [] if credentials is None else [f"Basic {base64.b64encode(credentials).decode()}"]


@pytest.mark.parametrize("credentials", ["", "user:pass%40w%2Frd@", "user:@", "user@", "用户:密码@"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_tunnels_proxy_gets_its_own_credentials_and_never_the_key(
    server: TaskServer, proxy: Proxy, poll: Poll, monkeypatch: pytest.MonkeyPatch, credentials: str, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://{credentials}{proxy.address}")

    assert isinstance(poll(settings()), SeeAnyTask)

    (head,) = proxy.heads
    assert head.startswith("CONNECT seeany.test:443 HTTP/1.")
    assert sent(head, "Proxy-Authorization") == basic(CREDENTIALS[credentials])
    assert sent(head, "Authorization") == []
    assert KEY.encode() not in proxy.seen
    ((path, headers),) = server.seen
    assert (path, headers["Authorization"]) == ("/v1/tasks/x", f"Bearer {KEY}")
    assert "Proxy-Authorization" not in headers


@pytest.mark.parametrize("scheme", ["", "http://"])
@pytest.mark.parametrize("credentials", ["", "user:pass%40w%2Frd@"])
def test_without_a_tunnel_the_proxy_gets_its_credentials_beside_the_request(
    poll: Poll, monkeypatch: pytest.MonkeyPatch, credentials: str, scheme: str
) -> None:
    """The key goes unencrypted there, as the connection's extra has to allow."""
    with serving(server := TaskServer()), serving(proxy := Proxy(server.port)):
        monkeypatch.setenv("http_proxy", f"{scheme}{credentials}{proxy.address}")

        assert isinstance(poll(settings(base_url("http://seeany.test", allow_http=True))), SeeAnyTask)

    (head,) = proxy.heads
    assert head.startswith("GET http://seeany.test/v1/tasks/x HTTP/1.1\r\n")
    assert sent(head, "Authorization") == [f"Bearer {KEY}"]
    assert sent(head, "Proxy-Authorization") == basic(CREDENTIALS[credentials])


@pytest.mark.parametrize("url", ["https://seeany.test/v1", "http://seeany.test/v1"])
def test_a_proxy_may_itself_be_reached_by_tls(
    server: TaskServer, certificates: Certificates, poll: Poll, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    behind = server if url.startswith("https") else TaskServer()
    with serving(proxy := Proxy(behind.port, certificates.server)):
        monkeypatch.setenv("ALL_PROXY", f"https://user:word@{proxy.address}")
        if behind is server:
            replies = [poll(settings(url))]
        else:
            with serving(behind):
                replies = [poll(settings(url))]

    assert isinstance(replies[0], SeeAnyTask), replies
    (head,) = proxy.heads
    assert sent(head, "Proxy-Authorization") == basic(b"user:word")
    assert (KEY.encode() in proxy.seen) == url.startswith("http:")


def test_a_proxy_by_tls_that_is_not_trusted_gets_nothing(
    server: TaskServer, certificates: Certificates, poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(proxy := Proxy(server.port, certificates.server)):
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("HTTPS_PROXY", f"https://user:word@{proxy.address}")

        assert isinstance(poll(settings()), ApiError)

    assert proxy.seen == b""


@pytest.mark.parametrize("status", ["407 who are you?", "403 user:prox-ysecret", "500 no", "200"])
def test_neither_the_proxys_password_nor_the_key_is_in_what_is_said_of_a_refusal(
    hostile: HostileServer, poll: Poll, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    hostile.script(reply(int(status[:3]), "no"))
    monkeypatch.setenv("HTTPS_PROXY", hostile.url.replace("://", "://user:proxysecret@"))

    error = poll(settings())

    assert isinstance(error, ApiError)
    assert "proxysecret" not in str(error)
    assert KEY not in str(error)
    assert KEY not in str(hostile.requests)


LOOPBACK = [
    "http://localhost:1",
    "http://seeany.localhost:1",
    "http://127.0.0.1:1",
    "http://127.8.9.10:1",
    "http://[::1]:1",
    "http://[::ffff:127.0.0.1]:1",
    "https://localhost:1",
    "https://[::1]:1",
    "LOCALHOST:1",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_what_may_go_unencrypted_as_it_stays_on_this_machine_stays_there(
    hostile: HostileServer, poll: Poll, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, hostile.url)

    assert isinstance(poll(settings(base_url(host))), ApiError)

    assert hostile.connections == 0


ENVIRONMENTS: dict[str, tuple[dict[str, str], str, bool]] = {
    "http": ({"http_proxy": "{proxy}"}, "http://seeany.test", True),
    "of the other scheme": ({"https_proxy": "{proxy}"}, "http://seeany.test", False),
    "upper case": ({"HTTPS_PROXY": "{proxy}"}, "https://seeany.test", True),
    "all": ({"all_proxy": "{proxy}"}, "https://seeany.test", True),
    "all, upper case": ({"ALL_PROXY": "{proxy}"}, "http://seeany.test", True),
    "the scheme's own before all": (
        {"all_proxy": "http://127.0.0.1:1", "http_proxy": "{proxy}"},
        "http://a.test",
        True,
    ),
    "no scheme": ({"https_proxy": "{bare}"}, "https://seeany.test", True),
    "empty": ({"https_proxy": ""}, "https://seeany.test", False),
    "exempt": ({"all_proxy": "{proxy}", "no_proxy": "seeany.test"}, "https://seeany.test", False),
    "exempt, upper case": ({"all_proxy": "{proxy}", "NO_PROXY": "a, .test"}, "https://seeany.test", False),
    "exempt with its port": (
        {"all_proxy": "{proxy}", "no_proxy": "seeany.test:8443"},
        "https://seeany.test:8443",
        False,
    ),
    "another port": ({"all_proxy": "{proxy}", "no_proxy": "seeany.test:1"}, "https://seeany.test:8443", True),
    "another host": ({"all_proxy": "{proxy}", "no_proxy": "other.test"}, "https://seeany.test", True),
    "exempt network": ({"all_proxy": "{proxy}", "no_proxy": "203.0.113.0/24"}, "http://203.0.113.9", False),
    "another network": ({"all_proxy": "{proxy}", "no_proxy": "198.51.100.0/24"}, "http://203.0.113.9", True),
    "all exempt": ({"all_proxy": "{proxy}", "no_proxy": "*"}, "https://seeany.test", False),
    "IPv6": ({"all_proxy": "{proxy}"}, "http://[2001:db8::1]", True),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_means_the_same_to_both_transports(
    hostile: HostileServer, poll: Poll, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    environment, url, through = ENVIRONMENTS[name]
    hostile.script(task() if url.startswith("http:") else reply(502))
    for variable, value in environment.items():
        shown = value.format(proxy=hostile.url, bare=hostile.url.removeprefix("http://"))
        monkeypatch.setenv(variable, shown)
    api_settings = settings(base_url(url, allow_http=True))
    if not through:
        # No server is there: what matters is that the proxy gets no request.
        api_settings = ApiSettings(
            base_url=api_settings.base_url, api_key=api_settings.api_key, request_timeout=0.5, connect_timeout=0.5
        )

    poll(api_settings)

    assert (len(hostile.requests) > 0) == through


BAD_PROXIES = {
    "socks5://user:proxysecret@127.0.0.1:1080": "socks5://",
    "socks5h://127.0.0.1:1080": "socks5h://",
    "SOCKS4://127.0.0.1:1080": "socks4://",
    "ftp://user:proxysecret@127.0.0.1": "ftp://",
    "http://user:proxysecret@": "is not the URL",
    "http://user:proxysecret@proxy:port": "is not the URL",
    "http://[::1": "is not the URL",
    "user:proxysecret@proxy:99999": "is not the URL",
}


@pytest.mark.parametrize("value", BAD_PROXIES)
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    poll: Poll, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)

    with pytest.raises(BadSettings, match=rf"HTTPS_PROXY.*{BAD_PROXIES[value]}") as refusal:
        poll(settings())

    assert "proxysecret" not in str(refusal.value)


def bundles(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return certificates that cannot be used, and the error's text."""
    (empty := folder / "empty.pem").touch()
    (garbage := folder / "garbage.pem").write_bytes(b"\x00\xff no certificate")
    (broken := folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return {
        "missing": (folder / "missing.pem", "No such file"),
        "empty": (empty, "no certificates"),
        "garbage": (garbage, "no certificates"),
        "broken": (broken, "no certificates"),
        "below a file": (garbage / "x.pem", "Not a directory"),
    }


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("name", ["missing", "empty", "garbage", "broken", "below a file"])
def test_certificates_that_cannot_be_read_are_refused_by_variable_and_path(
    poll: Poll, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str
) -> None:
    path, says = bundles(tmp_path)[name]
    monkeypatch.setenv(variable, str(path))

    with pytest.raises(BadSettings, match=rf"{variable}.*{path}.*{says}"):
        poll(settings())


def test_certificates_matter_only_where_something_is_encrypted(
    hostile: HostileServer, poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    hostile.script(task())

    assert isinstance(poll(settings(f"{hostile.url}/v1")), SeeAnyTask)


@pytest.mark.parametrize("variable", [None, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_both_transports_trust_those_that_are_named_and_no_others(
    server: TaskServer, certificates: Certificates, poll: Poll, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    if variable:
        monkeypatch.setenv(variable, str(certificates.bundle))

    reply_ = poll(settings(f"https://127.0.0.1:{server.port}/v1"))

    assert isinstance(reply_, SeeAnyTask if variable else ApiError), reply_


def test_certificates_that_are_named_are_trusted_alone(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorities of the whole web are not added to a company's own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))

    tls = route_to("https://seeany.test/v1").tls

    assert tls is not None
    assert len(tls.get_ca_certs()) == 1


def test_a_folder_of_certificates_can_be_named(
    server: TaskServer, certificates: Certificates, poll: Poll, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hashed").mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(tmp_path / "hashed"))

    error = poll(settings(f"https://127.0.0.1:{server.port}/v1"))

    assert isinstance(error, ApiError)
    assert "certificate" in str(error).lower()


def test_a_mended_bundle_is_found_by_the_next_client(
    server: TaskServer, certificates: Certificates, poll: Poll, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(path := tmp_path / "bundle.pem"))
    with pytest.raises(BadSettings):
        poll(settings(f"https://127.0.0.1:{server.port}/v1"))
    path.write_bytes(certificates.bundle.read_bytes())

    assert isinstance(poll(settings(f"https://127.0.0.1:{server.port}/v1")), SeeAnyTask)
