"""The tables of errors: none is missing, and what they say of retries is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_seeany import exceptions
from airflow_provider_seeany.exceptions import SeeAnyError

DOCS = Path(__file__).parents[1] / "docs"
RETRIED = {"errors.md": {"yes": True, "never": False}, "errors.zh.md": {"是": True, "从不": False}}


def raised() -> dict[str, bool]:
    """Return the name of every exception, and whether Airflow retries it."""
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, SeeAnyError)]
    return {kind.__name__: not issubclass(kind, AirflowFailException | AirflowSensorTimeout) for kind in kinds}


@pytest.mark.parametrize("name", RETRIED)
def test_every_error_that_a_user_can_meet_is_explained(name: str) -> None:
    rows = re.findall(r"^\| `(SeeAny\w+)` \|.*?\| (\S+) \|[^|]+\|$", (DOCS / name).read_text(), re.MULTILINE)

    assert {kind: RETRIED[name][word] for kind, word in rows} == raised()
