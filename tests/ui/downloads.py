"""The files that a page lets the browser download."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Page

PATIENCE = 100
"""How many times to look, 100 ms apart, for downloads that the page has begun and the browser has not reported."""


def noted(page: Page) -> list[str]:
    """Return a list to which the name of each download of this page is appended."""
    names: list[str] = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    return names


def expect_downloads(page: Page, names: list[str], wanted: Sequence[str]) -> None:
    """Expect these downloads, in this order, and no others."""
    for _ in range(PATIENCE):
        if len(names) >= len(wanted):
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)  # in which the browser would report others
    assert names == list(wanted)
