"""What the workers of a wait import, each of which Airflow forks from a process that its scheduler forked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.conftest import FinishedRun

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]


@pytest.mark.parametrize("worker", ["first", "second"])
def test_a_worker_imports_nothing_of_the_provider_that_its_scheduler_has_not(
    run_dag: Callable[[str], FinishedRun], worker: str
) -> None:
    assert run_dag("imports").xcoms("wait")[worker] == []
