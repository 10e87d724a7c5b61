"""Airflow connections of every spelling, and the errors of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    Connection,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.exceptions import (
    SeeAnyConfigError,
    SeeAnyConnectionNotFound,
    SeeAnyError,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from tests.conftest import KEY
from tests.hooks.conftest import Poll
from tests.hostile import HostileServer, task

Connect = Callable[..., None]


@pytest.mark.parametrize("form", ["bare", "path", "query"])
def test_a_connection_can_be_a_uri(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, poll: Poll, form: str
) -> None:
    hostile.script(task())
    address = hostile.url.removeprefix("http://")
    end = {"bare": "", "path": "/prefix", "query": "/?request_timeout=7"}[form]
    monkeypatch.setenv("AIRFLOW_CONN_SEEANY_DEFAULT", f"seeany://:{KEY}@{address}{end}")

    assert poll(SeeAnyHook(), "x").id == "x"

    (request,) = hostile.requests
    assert request.target == ("/prefix/v1/tasks/x" if form == "path" else "/v1/tasks/x")
    assert request.all("Authorization") == [f"Bearer {KEY}"]


def test_the_shortest_uri_means_the_live_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEEANY_DEFAULT", "seeany://:sk-xxxxx@")

    settings = SeeAnyHook().client.settings

    assert (settings.base_url, settings.api_key) == ("https://api.seeany.com/v1", Secret("sk-xxxxx"))
    assert (settings.request_timeout, settings.connect_timeout, settings.max_connections) == (30, 10, 100)


def test_limits_can_be_set_in_the_extra(connect: Connect) -> None:
    connect(extra={"request_timeout": 5, "connect_timeout": "1.5", "max_connections": 8})

    settings = SeeAnyHook().client.settings

    assert (settings.request_timeout, settings.connect_timeout, settings.max_connections) == (5, 1.5, 8)


@pytest.mark.parametrize(
    ("api", "target"),
    [
        *((api, "/v1/tasks/x") for api in (None, "", " ", "v1", " V1\n")),
        *((api, "/api/developer/task/status?task_uuid=x") for api in ("developer", " Developer ", "DEVELOPER")),
    ],
)
@pytest.mark.parametrize("path", ["", "/v1"])
def test_the_extra_chooses_the_api_whatever_the_address_ends_in(
    hostile: HostileServer, connect: Connect, poll: Poll, path: str, api: str | None, target: str
) -> None:
    hostile.script(task())
    connect(host=f"{hostile.url}{path}", extra={"api": api})

    assert poll(SeeAnyHook(), "x").id == "x"
    assert hostile.requests[0].target == target


def test_a_uri_chooses_the_api_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEEANY_DEFAULT", "seeany://:sk-xxxxx@?api=developer")

    assert SeeAnyHook().client.settings.task_url("wtask_1") == (
        "https://api.seeany.com/api/developer/task/status?task_uuid=wtask_1"
    )


def test_a_key_with_special_characters_survives_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEEANY_DEFAULT", "seeany://:sk-%2F%3A%40%23%25@")

    assert SeeAnyHook().client.settings.api_key == Secret("sk-/:@#%")


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "{address}"},
        {"host": "{url}"},
        {"host": "{url}/v1/"},
        {"host": "127.0.0.1", "port": "{port}"},
        {"host": "{address}", "schema": "http"},
        {"host": "{url}", "extra": {"request_timeout": 5}},
        {"host": "{url}", "extra": '{"request_timeout": "5"}'},
        {"host": "{url}", "extra": {"request_timeout": None}},
        {"host": "{url}", "extra": {"another provider's": "setting"}},
        {"host": "{url}", "extra": ""},
        {"host": "{url}", "password": f" {KEY}\n"},
    ],
    ids=str,
)
def test_a_connection_can_be_json(hostile: HostileServer, connect: Connect, poll: Poll, fields: dict[str, Any]) -> None:
    hostile.script(task())
    address = hostile.url.removeprefix("http://")
    names = {"{address}": address, "{url}": hostile.url, "{url}/v1/": f"{hostile.url}/v1/"}
    filled = {key: names.get(value, value) if isinstance(value, str) else value for key, value in fields.items()}
    if "port" in filled:
        filled["port"] = int(address.partition(":")[2])
    connect(**filled)

    assert poll(SeeAnyHook(), "x").id == "x"

    assert hostile.requests[0].all("Authorization") == [f"Bearer {KEY}"]


def test_a_connection_is_the_same_after_a_round_trip_through_its_uri_and_its_json() -> None:
    given = Connection(
        conn_id="c",
        conn_type="seeany",
        host="https://api.example.com/prefix",
        password="sk-/:@ü",
        extra='{"request_timeout": 5, "allow_http": true}',
    )

    from_uri = Connection.from_uri(given.get_uri(), conn_id="c")
    assert (from_uri.conn_type, from_uri.password) == ("seeany", given.password)
    assert from_uri.extra_dejson == given.extra_dejson
    from_json = Connection.from_json(given.as_json(), conn_id="c")
    assert from_json == given


def test_the_connection_can_have_another_id(hostile: HostileServer, connect: Connect, poll: Poll) -> None:
    hostile.script(task())
    connect("seeany_studio", host=hostile.url, password="sk-studio")

    poll(SeeAnyHook("seeany_studio"), "x")

    assert hostile.requests[0].all("Authorization") == ["Bearer sk-studio"]


BAD_CONNECTIONS: dict[str, tuple[str | None, str]] = {
    "missing": (None, "was not found, or could not be read"),
    "no key in the URI": ("seeany://", "no API key"),
    "no key in the JSON": ('{"conn_type": "seeany"}', "no API key"),
    "empty key": ('{"conn_type": "seeany", "password": ""}', "no API key"),
    "Bearer and key": (f'{{"conn_type": "seeany", "password": "Bearer {KEY}"}}', "without 'Bearer'"),
    "key in the wrong place": (f"seeany://{KEY}@", "no API key"),
    "broken JSON": (f'{{"conn_type": "seeany", "password": "{KEY}"', "was not found, or could not be read"),
    "a password in the address": (
        f'{{"conn_type": "seeany", "password": "{KEY}", "host": "https://:{KEY}@h"}}',
        "Base URL",
    ),
    "a key in the address": (f'{{"conn_type": "seeany", "password": "x", "host": "h/?key={KEY}"}}', "Base URL"),
    "http over a network": (f'{{"conn_type": "seeany", "password": "{KEY}", "host": "http://h"}}', "unencrypted"),
    "allow_http is no boolean": (
        f'{{"conn_type": "seeany", "password": "{KEY}", "host": "http://h", "extra": {{"allow_http": "no"}}}}',
        "unencrypted",
    ),
    "a path prefix with a line break": (
        f'{{"conn_type": "seeany", "password": "{KEY}", "schema": "a\\r\\nX-Injected: 1"}}',
        "",
    ),
    "a port that cannot be": (f'{{"conn_type": "seeany", "password": "{KEY}", "port": 99999}}', "port"),
    "extra is a list": (f'{{"conn_type": "seeany", "password": "{KEY}", "extra": "[1]"}}', "extra"),
    "extra is a number": (f'{{"conn_type": "seeany", "password": "{KEY}", "extra": "5"}}', "extra"),
    **{
        f"request_timeout {value}": (
            f'{{"conn_type": "seeany", "password": "{KEY}", "extra": {{"request_timeout": {value}}}}}',
            "Request timeout",
        )
        for value in ("0", "-1", '"soon"', "true", "[]", "1e999", "86401")
    },
    "no time to connect": (
        f'{{"conn_type": "seeany", "password": "{KEY}", "extra": {{"connect_timeout": 0}}}}',
        "connect_timeout",
    ),
    **{
        f"the key as its {name}": (json.dumps({"conn_type": "seeany", "password": f" {KEY}", **fields}), says)
        for name, fields, says in (
            ("address", {"host": KEY}, "Base URL"),
            ("schema", {"host": "api.seeany.com", "schema": KEY}, "schema"),
            ("timeout", {"extra": {"request_timeout": KEY}}, "extra"),
            ("address in capitals", {"host": f"https://{KEY.upper()}.example.com"}, "Base URL"),
        )
    },
    "a key of another kind as its address": (
        '{"conn_type": "seeany", "password": "marked0123456789abcdef", "host": "marked0123456789abcdef"}',
        "Base URL",
    ),
    **{
        f"api {value}": (
            f'{{"conn_type": "seeany", "password": "{KEY}", "extra": {{"api": {value}}}}}',
            r"API \(api in the extra\) must be v1 or developer",
        )
        for value in ('"v2"', "true", "1", "[]", "{}", '"https://api.seeany.com"')
    },
    "no connections": (
        f'{{"conn_type": "seeany", "password": "{KEY}", "extra": {{"max_connections": 0}}}}',
        "max_connections",
    ),
}


# Airflow before 3.2 does not get as far as to say what is wrong with the extra.
_UNREADABLE = ("extra is a list", "extra is a number") if not AIRFLOW_V_3_2_PLUS else ()


BAD_CONNECTIONS |= {name: (BAD_CONNECTIONS[name][0], "was not found, or could not be read") for name in _UNREADABLE}
NOT_FOUND = ("missing", "broken JSON", *_UNREADABLE)
"""What Airflow cannot distinguish from a secrets backend that is down for a moment, so it has to be retried."""


@pytest.mark.parametrize("name", BAD_CONNECTIONS)
def test_a_connection_that_cannot_be_used_is_named_before_any_request(
    monkeypatch: pytest.MonkeyPatch, poll: Poll, name: str
) -> None:
    connection, says = BAD_CONNECTIONS[name]
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_SEEANY_STUDIO", connection)

    with pytest.raises(SeeAnyError, match=f"'seeany_studio'.*{says}") as error:
        poll(SeeAnyHook("seeany_studio"), "x")

    assert type(error.value) is (SeeAnyConnectionNotFound if name in NOT_FOUND else SeeAnyConfigError)
    assert isinstance(error.value, AirflowNotFoundException) == (name in NOT_FOUND)
    assert isinstance(error.value, AirflowFailException) == (name not in NOT_FOUND)
    assert KEY[:12] not in str(error.value)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "HTTPS_PROXY"])
def test_a_process_that_cannot_reach_any_api_names_the_variable_and_the_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, poll: Poll, variable: str
) -> None:
    connect(host="https://seeany.test")
    monkeypatch.setenv(variable, "socks5://user:proxysecret@no.such.file")

    with pytest.raises(SeeAnyConfigError, match=rf"'seeany_default' cannot be used: {variable}") as error:
        poll(SeeAnyHook(), "x")
    result = SeeAnyHook().test_connection()

    assert result == (False, str(error.value))
    if variable == "HTTPS_PROXY":
        assert "proxysecret" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "means"),
    [
        ("seeany://:sk-demo@[::1]:8765", "http://[::1]:8765/v1"),
        ("seeany://:sk-demo@[2001:db8::1]:8443/https", "https://[2001:db8::1]:8443/v1"),
        ("seeany://:sk-demo@[2001:db8::1]", "https://[2001:db8::1]/v1"),
    ],
)
def test_a_uri_can_hold_an_ipv6_address(monkeypatch: pytest.MonkeyPatch, uri: str, means: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEEANY_DEFAULT", uri)

    assert SeeAnyHook().client.settings.base_url == means


@pytest.mark.parametrize(
    "typed",
    [
        "{key}",
        "https://{key}",
        "https://{key}:8443/v1",
        "https://api.seeany.com/{key}",
        "{wide}",
        "{apart}",
        "{escaped}",
    ],
)
@pytest.mark.parametrize("key", ["marked-without-any-prefix", "sk-marked", "marked8"])
def test_the_connections_own_key_in_its_address_is_refused_and_not_shown(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, key: str, typed: str
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a host was looked up"))
    host = typed.format(
        key=key,
        wide="".join(chr(ord(c) + 0xFEE0) for c in key),
        apart="\u200b".join(key),
        escaped="".join(f"%25{ord(c):02x}" for c in key),
    )
    connect(host=host, password=key)

    with pytest.raises(SeeAnyConfigError, match="holds the API key") as error:
        SeeAnyHook().get_task("x")

    assert "marked" not in str(error.value)


@pytest.mark.parametrize("name", BAD_CONNECTIONS)
def test_the_test_button_never_raises(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    connection = BAD_CONNECTIONS[name][0]
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_SEEANY_STUDIO", connection)

    accepted, message = SeeAnyHook("seeany_studio").test_connection()

    assert not accepted
    assert "'seeany_studio'" in message
    assert KEY[:12] not in message
