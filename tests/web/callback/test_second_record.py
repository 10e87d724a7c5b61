"""A callback that ends a wait leaves one record of it, also if a triggerer had pushed one before it was killed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY
from tests.scripts.run import run_script
from tests.waits import starts_triggers

pytestmark = [starts_triggers, pytest.mark.xdist_group("second_record")]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The UI's own XComs by key, with the user's XComs on and off."""
    folder = tmp_path_factory.mktemp("second_record")
    return run_script("second_record", folder / "home", f"sqlite:///{folder}/airflow.db")


def test_the_record_of_a_callback_replaces_the_triggerer_s(left: Any) -> None:
    (key,) = [key for key in left["on"] if FIRST_KEY <= key < LAST_KEY]
    assert left["on"][PROGRESS_KEY] == {"record": key}


def test_nothing_is_left_of_the_trigger_where_xcoms_are_off(left: Any) -> None:
    assert left["off"] == {}
