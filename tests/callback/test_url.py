"""The callback URL, and why there may be none."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_seeany.callback.token import TokenClaims, verify_token
from airflow_provider_seeany.callback.url import MIN_SECRET, callback_url, why_no_callback
from airflow_provider_seeany.exceptions import SeeAnyConfigError
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.plugins.seeany import callback_url as macro
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

SECRET = "s" * MIN_SECRET
"""Just long enough."""


@pytest.fixture(autouse=True)
def _options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")


def test_a_secret_of_the_minimum_length_is_enough() -> None:
    assert why_no_callback() is None
    assert callback_url(TokenClaims("studio")).startswith("https://airflow.example/seeany/callback/")


@pytest.mark.parametrize("base_url", ["https://", "https:///prefix", "airflow.example.com", "//airflow.example.com"])
def test_a_base_url_without_scheme_or_host_is_rejected(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    with pytest.raises(SeeAnyConfigError, match="base_url"):
        callback_url(TokenClaims("studio"))


def test_a_secret_whose_command_fails_is_a_reason_and_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that logs the reason continues, and the log does not show what the command printed."""
    monkeypatch.delenv("AIRFLOW__SEEANY__CALLBACK_SECRET")
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET_CMD", "sh -c 'echo sk-printed; echo sk-printed >&2; exit 1'")

    reason = why_no_callback()

    assert reason is not None
    # For Airflow 3.1 such an option is not set.
    assert reason.startswith("[seeany] callback_secret ")
    assert "sk-printed" not in reason


@pytest.mark.parametrize("base_url", ["https://airflow.example.com", "https://host/a/prefix/"])
def test_the_url_is_that_of_the_api_server_and_its_token_names_the_connection(
    monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    url = SeeAnyHook("studio").callback_url(dag_id="dag", run_id="run", task_id="wait", map_index=3)

    before, _, token = url.rpartition("/")
    assert before == f"{base_url.rstrip('/')}/seeany/callback"
    assert verify_token(token, secrets=[SECRET]) == TokenClaims("studio", TaskInstanceKey("dag", "run", "wait", 3))


@pytest.mark.parametrize(
    ("secret", "base_url", "named"),
    [
        ("", "https://a", "callback_secret"),
        ("x" * (MIN_SECRET - 1), "https://a", "too short"),
        (SECRET, "", "base_url"),
        (SECRET, "/", "base_url"),
        (SECRET, "ftp://a", "base_url"),
    ],
)
def test_an_option_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, secret: str, base_url: str, named: str
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", secret)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    with pytest.raises(SeeAnyConfigError, match=named):
        SeeAnyHook("studio").callback_url()


def test_a_task_instance_is_named_completely_or_not_at_all() -> None:
    with pytest.raises(ValueError, match="all three"):
        SeeAnyHook("studio").callback_url(task_id="wait")


UNSTORABLE = {"a NUL": "a\0b", "half an emoji": "\ud83d", "nothing": "", "too long": "x" * 251, "no text": 7}
FIELDS = ("seeany_conn_id", "dag_id", "run_id", "task_id")


@pytest.mark.parametrize("index", range(4), ids=FIELDS)
@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_name_that_no_database_holds_is_rejected_when_the_url_is_made(
    monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    given: dict[str, Any] = {**dict.fromkeys(FIELDS, "name"), FIELDS[index]: UNSTORABLE[name]}
    conn_id = given.pop("seeany_conn_id")

    with pytest.raises(ValueError, match=FIELDS[index]):
        SeeAnyHook(conn_id).callback_url(**given)


@pytest.mark.parametrize(
    ("asset", "claimed"),
    [
        ("s3://studio/videos/", "s3://studio/videos"),
        ("promo videos", "promo videos"),
        (Asset(name="videos", uri="s3://studio/videos/"), "s3://studio/videos"),
    ],
    ids=["URI", "name", "Asset"],
)
def test_an_asset_is_named_as_airflow_stores_it(asset: Any, claimed: str) -> None:
    hook_url = SeeAnyHook("studio").callback_url(asset=asset)

    assert verify_token(hook_url.rpartition("/")[2], secrets=[SECRET]) == TokenClaims("studio", asset=claimed)
    assert macro("studio", asset=asset) == hook_url


@pytest.mark.parametrize("asset", ["", " ", "x" * 1501, "airflow://reserved"])
def test_what_cannot_be_an_asset_is_refused(asset: str) -> None:
    with pytest.raises(ValueError, match=r"[Aa]sset"):
        SeeAnyHook("studio").callback_url(asset=asset)
