"""Where a request goes and what it carries, as the server sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany import __version__
from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.request import (
    ApiSettings,
    base_url,
    checked_api_key,
    checked_count,
    checked_seconds,
)
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import MAX_TASK_ID, checked_task_id
from airflow_provider_seeany.api.text import decode_disguised, truncate
from tests.conftest import KEY, Poll, settings_for
from tests.hostile import DEVELOPER_TASK, V1_TASK, HostileServer, reply, task

ODD_IDS = [
    "vid_20260603_001",
    "../x",
    "../../admin",
    "a/b?c=d#e",
    "%2e%2e",
    "%2e%2e%2f",
    "...",
    "a/..",
    "任务 1",
    "a b+c&d",
    "http://elsewhere/",
    "\\..\\x",
    "line\r\nX-Injected: 1",
    "\u202e",
    "~'()*!;:@,$=[]|^`\"<>{}",
    "x" * MAX_TASK_ID,
    "长" * MAX_TASK_ID,
]


@pytest.mark.parametrize("task_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_any_task_id_travels_as_one_part_of_the_url(
    hostile: HostileServer, dialect: Dialect, poll: Poll, task_id: str
) -> None:
    hostile.script(task(id=task_id))

    read = poll(settings_for(hostile, dialect), checked_task_id(task_id))

    assert isinstance(read, SeeAnyTask), read
    (request,) = hostile.requests
    path = DEVELOPER_TASK if dialect.name == "developer" else V1_TASK
    assert request.line == f"GET {path}{quote(task_id, safe='')} HTTP/1.1"
    assert not request.all("X-Injected")


def test_every_request_carries_each_header_exactly_once(hostile: HostileServer, dialect: Dialect, poll: Poll) -> None:
    hostile.script(task())

    poll(settings_for(hostile, dialect))

    (request,) = hostile.requests
    assert request.all("Authorization") == [f"Bearer {KEY}"]
    assert request.all("Accept") == ["application/json"]
    assert request.all("Accept-Encoding") == ["identity"]
    assert request.all("User-Agent") == [f"airflow-provider-seeany/{__version__}"]
    assert request.all("Host") == [hostile.url.removeprefix("http://")]


def test_a_password_in_netrc_does_not_replace_the_key(
    hostile: HostileServer, poll: Poll, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password other\ndefault login user password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hostile.script(task())

    poll(settings_for(hostile))

    assert hostile.requests[0].all("Authorization") == [f"Bearer {KEY}"]


@pytest.mark.parametrize("prefix", ["/api", "/a/b", "/v1", "/%e5%89%8d", "/v2/v1"])
def test_a_path_prefix_stands_before_the_version(hostile: HostileServer, poll: Poll, prefix: str) -> None:
    hostile.script(task())
    url = base_url(f"{hostile.url}{prefix}/")

    poll(ApiSettings(base_url=url, api_key=Secret(KEY)))

    assert hostile.requests[0].target.lower() == f"{prefix.removesuffix('/v1')}/v1/tasks/x"


ADDRESSES = {
    ("",): "https://api.seeany.com/v1",
    (None,): "https://api.seeany.com/v1",
    (" ",): "https://api.seeany.com/v1",
    ("api.example.com",): "https://api.example.com/v1",
    ("api.example.com/",): "https://api.example.com/v1",
    ("api.example.com/v1",): "https://api.example.com/v1",
    ("https://api.example.com",): "https://api.example.com/v1",
    ("https://api.example.com/v1",): "https://api.example.com/v1",
    ("https://api.example.com/v1/",): "https://api.example.com/v1",
    ("https://api.example.com/v12",): "https://api.example.com/v12/v1",
    ("HTTPS://API.example.com",): "https://api.example.com/v1",
    (" https://api.example.com\n",): "https://api.example.com/v1",
    ("https://api.example.com/seeany",): "https://api.example.com/seeany/v1",
    ("https://api.example.com/seeany/v1/",): "https://api.example.com/seeany/v1",
    ("https://api.example.com:8443",): "https://api.example.com:8443/v1",
    ("api.example.com:8443",): "https://api.example.com:8443/v1",
    ("127.0.0.1",): "http://127.0.0.1/v1",
    ("127.8.9.10:8765",): "http://127.8.9.10:8765/v1",
    ("localhost:8765",): "http://localhost:8765/v1",
    ("seeany.localhost",): "http://seeany.localhost/v1",
    ("http://localhost",): "http://localhost/v1",
    ("https://localhost",): "https://localhost/v1",
    ("[::1]",): "http://[::1]/v1",
    ("[::1]:8765",): "http://[::1]:8765/v1",
    ("https://[2001:db8::1]:8443/p",): "https://[2001:db8::1]:8443/p/v1",
    # As Airflow hands over the host of a URI, without brackets.
    ("::1",): "http://[::1]/v1",
    ("::1", 8765): "http://[::1]:8765/v1",
    ("2001:db8::1", 8443): "https://[2001:db8::1]:8443/v1",
    ("2001:DB8::1", None, "seeany"): "https://[2001:db8::1]/seeany/v1",
    ("::1", 8765, "https"): "https://[::1]:8765/v1",
    ("::ffff:127.0.0.1", 8765): "http://[::ffff:127.0.0.1]:8765/v1",
    ("[::ffff:127.0.0.1]:8765",): "http://[::ffff:127.0.0.1]:8765/v1",
    # Names that begin as keys do.
    ("sk-east-1.example.com",): "https://sk-east-1.example.com/v1",
    ("api.task-queue.example.com/poll-me",): "https://api.task-queue.example.com/poll-me/v1",
    ("desk-0123456789abcdef.example.com",): "https://desk-0123456789abcdef.example.com/v1",
    ("sk-api-gateway-prod.sktelecom.com",): "https://sk-api-gateway-prod.sktelecom.com/v1",
    ("sk-api-gateway-prod-2.example.com",): "https://sk-api-gateway-prod-2.example.com/v1",
    ("sk-infrastructure-gateway",): "https://sk-infrastructure-gateway/v1",
    ("sk-mock",): "https://sk-mock/v1",
    ("sk-proxy:8080",): "https://sk-proxy:8080/v1",
    ("https://gw.example.com/sk-east",): "https://gw.example.com/sk-east/v1",
    ("gw.example.com", None, "sk_east-2"): "https://gw.example.com/sk_east-2/v1",
    # How a connection's other fields join in.
    ("api.example.com", "8443"): "https://api.example.com:8443/v1",
    ("api.example.com", 8443): "https://api.example.com:8443/v1",
    ("api.example.com:1", 8443): "https://api.example.com:1/v1",
    ("127.0.0.1", 8765): "http://127.0.0.1:8765/v1",
    ("", 8443): "https://api.seeany.com:8443/v1",
    ("api.example.com", None, "https"): "https://api.example.com/v1",
    ("localhost", None, "https"): "https://localhost/v1",
    ("api.example.com", None, "seeany"): "https://api.example.com/seeany/v1",
    ("api.example.com", None, "/seeany/v1/"): "https://api.example.com/seeany/v1",
    ("api.example.com", None, "v1"): "https://api.example.com/v1",
}


@pytest.mark.parametrize("given", ADDRESSES)
def test_a_base_url_may_be_typed_in_many_ways(given: tuple[str, object, str | None]) -> None:
    host, port, schema = (*given, None, None)[:3]

    assert base_url(host, port=port, schema=schema) == ADDRESSES[given]


DEVELOPER_ADDRESSES = {
    "": "https://api.seeany.com",
    "api.seeany.com/v1": "https://api.seeany.com",
    "https://api.seeany.com/api": "https://api.seeany.com",
    "https://api.seeany.com/api/developer/": "https://api.seeany.com",
    "https://api.example.com/seeany": "https://api.example.com/seeany",
    "https://api.example.com/seeany/api/developer": "https://api.example.com/seeany",
    "https://api.example.com/seeany/api/v1": "https://api.example.com/seeany/api",
    "127.0.0.1:8765": "http://127.0.0.1:8765",
}


@pytest.mark.parametrize("host", DEVELOPER_ADDRESSES)
def test_a_base_url_of_the_other_dialect_may_have_what_belongs_to_its_paths(host: str) -> None:
    assert base_url(host, dialect=DIALECTS["developer"]) == DEVELOPER_ADDRESSES[host]


NO_ADDRESSES = [
    "https://",
    "https:///v1",
    "//api.example.com",
    "https://user@api.example.com",
    "https://:sk-marked-1@api.example.com",
    "user:sk-marked-1@api.example.com",
    "https://api.example.com/?key=sk-marked-1",
    "https://api.example.com#v1",
    "api.example.com/a b",
    "api.example.com\nX-Injected: 1",
    "api.example.com\r\n\r\nGET /",
    "api\\example.com",
    "https://api.example.com:port",
    "https://api.example.com:99999",
    "localhost:0",
    "[::1",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("host", NO_ADDRESSES)
def test_what_is_no_address_is_refused_without_showing_a_password(host: str) -> None:
    with pytest.raises(BadSettings) as refusal:
        base_url(host)

    assert "marked" not in str(refusal.value)
    assert str(refusal.value).isprintable()


KEYS = [
    "sk-marked-0123456789abcdef",
    "SK-MARKED-0123456789ABCDEF",
    "sk_live_marked0123456789",
    "sk-123e4567-e89b-12d3-a456-42661marked0",
    "sk-proj-x-markedABCDEFGH0-_",
]
WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "host": {"host": "{key}"},
    "host after white space": {"host": " {key}\n"},
    "host behind Bearer": {"host": "Bearer {key}"},
    "host of a URL": {"host": "https://{key}"},
    "host of a URL with a path": {"host": "https://{key}/v1"},
    "host with a port": {"host": "{key}:8443"},
    "last label": {"host": "api.seeany.com.{key}"},
    "path": {"host": "https://api.seeany.com/{key}"},
    "path before the version": {"host": "https://api.seeany.com/{key}/v1/"},
    "query": {"host": "https://api.seeany.com/v1?key={key}"},
    "fragment": {"host": "https://api.seeany.com#{key}"},
    "user": {"host": "https://{key}@api.seeany.com"},
    "password": {"host": "https://:{key}@api.seeany.com"},
    "port in the host": {"host": "api.seeany.com:{key}"},
    "scheme": {"host": "{key}://api.seeany.com"},
    "schema": {"host": "api.seeany.com", "schema": "{key}"},
    "port": {"host": "api.seeany.com", "port": "{key}"},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", WRONG_FIELDS)
def test_a_key_in_the_wrong_field_is_refused_and_not_shown(name: str, key: str) -> None:
    fields = {field: value.format(key=key) for field, value in WRONG_FIELDS[name].items()}

    with pytest.raises(BadSettings) as refusal:
        base_url(**fields)

    assert "marked" not in str(refusal.value).lower()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("host", ["{key}.seeany.com", "api.{key}.com", "seeany.com/{key}/x", "seeany.com/{quoted}"])
def test_a_long_key_is_refused_anywhere_in_an_address(host: str, key: str) -> None:
    with pytest.raises(BadSettings, match="API key") as refusal:
        base_url(host.format(key=key, quoted=key.replace("-", "%2d").replace("_", "%5F")))

    assert "marked" not in str(refusal.value).lower()


ODD_SPELLINGS: dict[str, Callable[[str], str]] = {
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) for c in key),
    "full width hyphens": lambda key: key.replace("-", "－"),
    "mathematical letters": lambda key: key.replace("k", "𝐤").replace("s", "𝖘"),
    "another hyphen": lambda key: key.replace("-", "‐"),
    "a dash": lambda key: key.replace("-", "–"),
    "zero-width spaces": "\u200b".join,
    "byte order marks": "\ufeff".join,
    "soft hyphens": "\xad".join,
    "variation selectors": "\ufe0f".join,
    "struck through": "\u0336".join,
    "invisible letters": "\u3164".join,
    "control characters": "\x07".join,
    "percent": lambda key: "".join(f"%{ord(c):02x}" for c in key),
    "percent, twice": lambda key: "".join(f"%25{ord(c):02X}" for c in key),
    "percent, one letter five times": lambda key: key.replace("k", "%252525256b"),
    "percent in percent": lambda key: key.replace("k", "%%36b"),
    "percent and width": lambda key: "%E2%80%8B".join(key),
    "percent, full width": lambda key: quote("".join(chr(ord(c) + 0xFEE0) for c in key)),
}


@pytest.mark.parametrize("name", ODD_SPELLINGS)
@pytest.mark.parametrize("where", ["{key}", "https://{key}.example.com", "https://api.seeany.com/{key}", "{key}:8080"])
def test_an_invalid_key_is_refused_before_any_request_and_not_shown(name: str, where: str) -> None:
    spelled = ODD_SPELLINGS[name]("sk-marked-0123456789abcdef")

    for fields in ({"host": where.format(key=spelled)}, {"host": "api.seeany.com", "schema": spelled}):
        with pytest.raises(BadSettings, match="API key") as refusal:
            base_url(**fields)
        assert "0123456789abcdef" not in decode_disguised(str(refusal.value))


@pytest.mark.parametrize("name", ODD_SPELLINGS)
def test_an_invalid_key_is_not_quoted(name: str) -> None:
    spelled = ODD_SPELLINGS[name]("sk-marked-0123456789abcdef")

    for text in (spelled, f"not {spelled} at all", f"{'x' * 70} {spelled}"):
        quoted = decode_disguised(truncate(text))
        assert "marked" not in quoted.lower()
        assert "0123" not in quoted


@given(st.text() | st.text("%2536bskSK-\u200b－ｓ"))
def test_a_text_is_read_plainly_once_and_for_all(text: str) -> None:
    assert decode_disguised(decode_disguised(text)) == decode_disguised(text)
    assert len(truncate(text)) <= 80


def test_an_honest_text_is_quoted_as_it_is() -> None:
    for text in ("https://ä.example.com/%2541", "生成视频—１", "a\u200bb", "desk-1"):
        assert truncate(text) == text


@pytest.mark.parametrize(
    "host", ["fe80::1%eth0", "[fe80::1%eth0]", "[fe80::1%25eth0]:8765", "https://[fe80::1%25eth0]"]
)
def test_an_ipv6_address_with_a_zone_is_refused_as_such(host: str) -> None:
    with pytest.raises(BadSettings, match="zone"):
        base_url(host)


@pytest.mark.parametrize("typed", ["sk-marked-1", "x sk-marked-0123456789abcdef y", "SK_marked"])
def test_a_key_among_the_limits_or_endpoints_does_not_show(typed: str) -> None:
    settings = ApiSettings(base_url="https://api.seeany.com/v1", api_key=Secret(KEY))
    for check in (
        lambda: checked_seconds(typed, name="x"),
        lambda: checked_count(typed, name="x"),
        lambda: settings.url(f"https://{typed}"),
        lambda: settings.url(f"{typed} "),
    ):
        with pytest.raises(BadSettings) as refusal:
            check()
        assert "marked" not in str(refusal.value)


@pytest.mark.parametrize("port", [-1, 0, 65_536, 99_999, "many", True, 8443.5])
def test_a_port_that_cannot_be_is_refused(port: object) -> None:
    with pytest.raises(BadSettings, match="port"):
        base_url("api.example.com", port=port)


@pytest.mark.parametrize("schema", ["a b", "a\r\nX-Injected: 1", "a?b", "#a", "a\\b"])
def test_a_path_prefix_that_no_url_can_hold_is_refused(schema: str) -> None:
    with pytest.raises(BadSettings):
        base_url("api.example.com", schema=schema)


@pytest.mark.parametrize("host", ["http://api.seeany.com", "http://10.0.0.1", "http://localhost.example.com"])
def test_the_key_is_sent_unencrypted_over_a_network_only_if_that_is_allowed(host: str) -> None:
    with pytest.raises(BadSettings, match=r'unencrypted.*"allow_http": true'):
        base_url(host)
    with pytest.raises(BadSettings, match="unencrypted"):
        base_url(host.removeprefix("http://"), schema="http")

    assert base_url(host, allow_http=True) == f"{host}/v1"


@given(
    host=st.text(),
    schema=st.none() | st.text(),
    port=st.none() | st.integers(),
    dialect=st.sampled_from(list(DIALECTS.values())),
)
def test_any_address_at_all_is_https_or_this_machine_or_refused(
    host: str, schema: str | None, port: int, dialect: Dialect
) -> None:
    try:
        url = base_url(host, schema=schema, port=port, dialect=dialect)
    except BadSettings as refusal:
        text = str(refusal)
    else:
        text = url
        assert url.startswith(("https://", "http://"))
        assert url.endswith(dialect.base_path)
        assert not set(url) & set(" ?#@\\")
    assert text.isprintable()


@pytest.mark.parametrize("typed", ["sk-x", " sk-x", "sk-x\n", "\r\n\tsk-x\r\n"])
def test_white_space_around_a_pasted_key_does_not_matter(typed: str) -> None:
    assert checked_api_key(typed) == Secret("sk-x")


@pytest.mark.parametrize("typed", [None, "", " \n"])
def test_a_missing_key_says_where_to_paste_one(typed: str | None) -> None:
    with pytest.raises(BadSettings, match=r"no API key.*API Key, the password"):
        checked_api_key(typed)


@pytest.mark.parametrize(
    "typed",
    ["Bearer sk-marked", "sk-mar ked", "sk-marked\nX-Injected: 1", "sk-mar\x00ked", "sk-markéd", "sk-marked\u200b"],
)
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(typed: str) -> None:
    with pytest.raises(BadSettings, match="without 'Bearer'") as refusal:
        checked_api_key(typed)

    assert "mar" not in str(refusal.value)


def test_the_key_is_not_in_the_repr_of_the_settings() -> None:
    settings = ApiSettings(base_url="https://api.seeany.com/v1", api_key=Secret(KEY))

    assert KEY not in repr(settings)
    assert KEY not in str(settings)


@pytest.mark.parametrize(
    ("typed", "seconds"), [(30, 30.0), (0.5, 0.5), ("30", 30.0), (" 1.5 ", 1.5), (86_400, 86_400.0)]
)
def test_a_request_timeout_may_be_a_number_or_its_text(typed: object, seconds: float) -> None:
    assert checked_seconds(typed, name="Request timeout") == seconds


@pytest.mark.parametrize(
    "typed",
    [0, -1, "", "soon", True, None, [], {}, "nan", "inf", float("nan"), 86_401, 10**400],
    ids=lambda v: str(v)[:9],
)
def test_a_request_timeout_that_is_none_is_refused_by_its_name(typed: object) -> None:
    with pytest.raises(BadSettings, match="Request timeout must be a number of seconds above 0"):
        checked_seconds(typed, name="Request timeout")


@pytest.mark.parametrize(("typed", "count"), [(1, 1), ("100", 100), (" 7 ", 7), (10_000, 10_000)])
def test_a_count_may_be_a_number_or_its_text(typed: object, count: int) -> None:
    assert checked_count(typed, name="max_connections") == count


@pytest.mark.parametrize(
    "typed", [0, -1, "", "many", True, None, [], 1.5, "1e3", 10_001, 10**400], ids=lambda v: str(v)[:9]
)
def test_a_count_that_is_none_is_refused_by_its_name(typed: object) -> None:
    with pytest.raises(BadSettings, match="max_connections must be a whole number from 1 to 10000"):
        checked_count(typed, name="max_connections")


ENDPOINTS = {
    "tasks/x": "/v1/tasks/x",
    "/tasks/x": "/v1/tasks/x",
    "v1/tasks/x": "/v1/tasks/x",
    "/v1/tasks/x": "/v1/tasks/x",
    "tasks/x?full=1": "/v1/tasks/x?full=1",
    "tasks/任务": "/v1/tasks/%E4%BB%BB%E5%8A%A1",
}
NO_ENDPOINTS = [
    "https://elsewhere.example/x",
    "//elsewhere.example/x",
    "///elsewhere.example/x/..",
    "../x",
    "v1/../x",
    "tasks/../../x",
    "%2e%2e/x",
    "tasks/%2E%2e/%2e%2E/x",
    "/\\elsewhere.example/x",
    "tasks\r\nX-Injected: 1",
    "http://[",
    "//[",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_is_found_below_the_version(hostile: HostileServer, endpoint: str) -> None:
    hostile.script(reply(200, {"ok": True}))
    client = BlockingClient(settings_for(hostile))

    assert client.get_json(endpoint) == {"ok": True}

    client.close()
    assert hostile.requests[0].target == ENDPOINTS[endpoint]


@pytest.mark.parametrize("endpoint", ["api/developer/balance?a=b", "/api/developer/balance?a=b"])
def test_an_endpoint_of_the_other_dialect_is_found_below_the_host(hostile: HostileServer, endpoint: str) -> None:
    hostile.script(reply(200, {"code": 0, "data": {}}))
    client = BlockingClient(settings_for(hostile, DIALECTS["developer"]))

    assert client.get_json(endpoint) == {"code": 0, "data": {}}

    client.close()
    assert hostile.requests[0].target == "/api/developer/balance?a=b"


@pytest.mark.parametrize("endpoint", NO_ENDPOINTS)
def test_an_endpoint_that_would_leave_the_api_is_refused(dialect: Dialect, endpoint: str) -> None:
    url = base_url("https://api.seeany.com", dialect=dialect)
    settings = ApiSettings(base_url=url, api_key=Secret(KEY), dialect=dialect)

    with pytest.raises(BadSettings, match="endpoint"):
        settings.url(endpoint)


def test_equal_settings_are_one_and_another_key_or_dialect_makes_others() -> None:
    settings = ApiSettings(base_url="https://api.seeany.com/v1", api_key=Secret(KEY))

    assert settings == ApiSettings(base_url="https://api.seeany.com/v1", api_key=Secret(KEY))
    assert hash(settings) == hash(ApiSettings(base_url="https://api.seeany.com/v1", api_key=Secret(KEY)))
    assert settings != msgspec.structs.replace(settings, api_key=Secret("sk-other"))
    assert settings != msgspec.structs.replace(settings, dialect=DIALECTS["developer"])
