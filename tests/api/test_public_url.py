"""The promise that a URL is shown and sent without what may be secret in it."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.public_url import public_url, without_user


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@cdn.example:8443/a.mp4?sig=secret#x", "https://cdn.example:8443/a.mp4"),
        ("https://a@b@[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("https://h/任务/%20.mp4?", "https://h/任务/%20.mp4"),
        ("https://h", "https://h"),
    ],
)
def test_a_url_is_shown_without_user_query_and_fragment(url: str, shown: str) -> None:
    assert public_url(url) == shown


@pytest.mark.parametrize("url", ["https://h/a%2Fb?x=%41&y=a+b", "https://h/?"])
def test_a_url_without_a_user_is_sent_as_it_is_written(url: str) -> None:
    assert without_user(url) == url
