"""Rings while the database or a secrets backend hangs: told to come again, in nobody's way, and heard after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scripts.run import run_script

SECRETS = ["the secrets hang", "the secrets hang for ever"]
POSTGRES = ["the XComs are locked", "the task instances are locked", "the marks are locked", *SECRETS]


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of each."""
    home = tmp_path_factory.mktemp("hangs")
    return run_script("hangs", home / "home", f"sqlite:///{home}/airflow.db")


@pytest.fixture(scope="module")
def on_postgres(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of each."""
    return run_script("hangs", tmp_path_factory.mktemp("hangs") / "home", postgres_url)


@pytest.mark.parametrize("what", ["the file is locked", *SECRETS])
@pytest.mark.xdist_group("hangs_sqlite")
def test_what_hangs_asks_to_ring_again_and_is_over_when_it_is_over(on_sqlite: Any, what: str) -> None:
    _check(on_sqlite[what], what)


@pytest.mark.system
@pytest.mark.parametrize("what", POSTGRES)
@pytest.mark.xdist_group("hangs_postgres")
def test_what_hangs_on_postgres_asks_to_ring_again_and_is_over_when_it_is_over(on_postgres: Any, what: str) -> None:
    _check(on_postgres[what], what)


def _check(hung: dict[str, Any], what: str) -> None:
    # Answered while it still hung, or there would be no answer at all.
    assert (hung["statuses"], hung["may be repeated"]) == ([503], True)
    # The loop was free: another request was answered before any of the rings.
    status, rings = hung["meanwhile"]
    assert status == 404
    # No more threads than there are places.
    assert hung["in threads"] == ([0, 4] if what in SECRETS else [3, 0])
    assert rings == (8 if what in SECRETS else 3)
    assert hung["after it"] == "scheduled"
