"""Foreign text made fit for a log line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.errors import TransientError
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.text import MAX_TEXT, format_count, sanitize

TEXTS = {
    "生成内容违反内容安全策略": "生成内容违反内容安全策略",
    "émoji 🎬": "émoji 🎬",
    "two\nlines": "two lines",
    "win\r\ndows": "win dows",
    "\x1b[31mred\x1b[0m": "[31mred [0m",
    "c1 \x9b2J": "c1  2J",
    "nul\x00": "nul",
    "para\u2029graph": "para graph",
    "over\u202eride": "over ride",
    "lone\ud800": "lone",
    " padded ": "padded",
    "": "",
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_keeps_its_language_and_loses_what_controls_a_terminal(text: str) -> None:
    assert sanitize(text) == TEXTS[text]


def test_long_text_is_truncated_and_shows_that_it_was() -> None:
    assert sanitize("长" * MAX_TEXT) == "长" * MAX_TEXT
    assert sanitize("长" * (MAX_TEXT + 1)) == "长" * (MAX_TEXT - 1) + "…"
    assert sanitize("abcdef", limit=4) == "abc…"


@pytest.mark.parametrize("text", ["sk-1", "a sk-1 b", "sk-1sk-1", "Bearer sk-1\n", "SK-1"])
def test_a_secret_in_it_does_not_show(text: str) -> None:
    assert "sk-1" not in sanitize(text, secret=Secret("sk-1")).lower()
    assert "***" in sanitize(text, secret=Secret("sk-1"))


@given(st.text(), st.integers(1, 50))
def test_any_text_becomes_one_short_line(text: str, limit: int) -> None:
    shown = sanitize(text, limit=limit)

    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_a_request_id_is_named_for_the_platforms_support() -> None:
    error = TransientError("SeeAny returned HTTP 500", request_id="req_1")

    assert str(error) == "SeeAny returned HTTP 500 (request id req_1)"


def test_counts_are_grouped() -> None:
    assert [format_count(number) for number in (0, 999, 1240, 10_000)] == ["0", "999", "1 240", "10 000"]
