"""Callbacks while the database or a secrets backend hangs: a 503, no blocked loop, and a wait that is resumed later."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scripts.run import run_script

SECRETS = ["the secrets hang", "the secrets hang for ever"]
POSTGRES = ["the XComs are locked", "the task instances are locked", "the registrations are locked", *SECRETS]


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of each; SQLite waits for a lock longer than a callback may take."""
    home = tmp_path_factory.mktemp("hangs")
    return run_script("hangs", home / "home", f"sqlite:///{home}/airflow.db?timeout=30")


@pytest.fixture(scope="module")
def on_postgres(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of each."""
    return run_script("hangs", tmp_path_factory.mktemp("hangs") / "home", postgres_url)


@pytest.mark.parametrize("what", ["the file is locked", *SECRETS])
@pytest.mark.xdist_group("hangs_sqlite")
def test_a_hang_requests_another_callback_which_resumes_the_wait(on_sqlite: Any, what: str) -> None:
    _check(on_sqlite[what], what)


@pytest.mark.system
@pytest.mark.large
@pytest.mark.parametrize("what", POSTGRES)
@pytest.mark.xdist_group("hangs_postgres")
def test_a_hang_on_postgres_requests_another_callback_which_resumes_the_wait(on_postgres: Any, what: str) -> None:
    _check(on_postgres[what], what)


def _check(hung: dict[str, Any], what: str) -> None:
    # They were sent while it still hung, or there would be no response at all.
    assert (hung["statuses"], hung["have Retry-After"]) == ([503], True)
    # The loop was free: another request got its response before any of the callbacks.
    status, pending = hung["meanwhile"]
    assert status == 404
    # No more threads than slots.
    assert hung["in threads"] == ([0, 4] if what in SECRETS else [3, 0])
    assert pending == (8 if what in SECRETS else 3)
    assert hung["after it"] == "scheduled"
