"""The words of the UI for what the rest of the provider names."""

from __future__ import annotations

import re

import pytest

from airflow_provider_seeany import exceptions
from airflow_provider_seeany.web.app import STATIC

WORDS = (STATIC / "words.js").read_text("utf-8")


def kinds(error: type[exceptions.SeeAnyError]) -> set[str]:
    """Return the kinds of an exception and of all that are derived from it."""
    return {error.kind}.union(*(kinds(each) for each in error.__subclasses__()))


@pytest.mark.parametrize("kind", sorted({*kinds(exceptions.SeeAnyError), "timed_out_unclear"}))
def test_each_error_that_ends_a_wait_has_words_in_both_languages(kind: str) -> None:
    assert len(re.findall(rf"^    {kind}: \(", WORDS, re.MULTILINE)) == 2
