"""The callback URL, and why there may be none."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.callback.url import MIN_SECRET, callback_url, why_no_callback
from airflow_provider_seeany.exceptions import SeeAnyConfigError

SECRET = "s" * MIN_SECRET
"""Just long enough."""


@pytest.fixture(autouse=True)
def _options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")


def test_a_secret_of_the_length_that_is_asked_for_is_enough() -> None:
    assert why_no_callback() is None
    assert callback_url(TokenClaims("studio")).startswith("https://airflow.example/seeany/callback/")


@pytest.mark.parametrize("base_url", ["https://", "https:///prefix", "airflow.example.com", "//airflow.example.com"])
def test_an_address_that_nobody_can_reach_is_no_base_of_a_url(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)

    with pytest.raises(SeeAnyConfigError, match="base_url"):
        callback_url(TokenClaims("studio"))


def test_a_secret_whose_command_fails_is_a_reason_and_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is asked for the reason must go on, and the log must not show what the command printed."""
    monkeypatch.delenv("AIRFLOW__SEEANY__CALLBACK_SECRET")
    monkeypatch.setenv("AIRFLOW__SEEANY__CALLBACK_SECRET_CMD", "sh -c 'echo sk-printed; echo sk-printed >&2; exit 1'")

    reason = why_no_callback()

    assert reason is not None
    # Airflow 3.1 itself takes such an option for one that is not set.
    assert reason.startswith("[seeany] callback_secret ")
    assert "sk-printed" not in reason
