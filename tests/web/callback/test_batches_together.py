"""Simultaneous callbacks about the tasks of one large batch, on the database of a real installation."""

from __future__ import annotations

import pytest

from tests.scripts.run import run_script

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("races")]


def test_each_of_many_simultaneous_callbacks_is_noted_once_and_quickly(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    noted = run_script("batch_callbacks", tmp_path_factory.mktemp("batch_callbacks") / "home", postgres_url)

    print(noted)
    assert noted["numbers"] == [0, 400 + 50, 0, 0, 0]
    assert noted["tasks"] == 400
    # Among five batches of 10 000 tasks; the promise leaves room for a busy machine.
    assert noted["milliseconds"] < 100
