"""A callback that ends a wait leaves one record of it, also if a triggerer had pushed one before it was killed."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY, PROGRESS_KEY
from tests.scripts.run import run_script
from tests.waits import starts_triggers

pytestmark = starts_triggers


def test_the_record_of_a_callback_replaces_the_triggerer_s(tmp_path: Path) -> None:
    xcoms = run_script("second_record", tmp_path / "home", f"sqlite:///{tmp_path}/airflow.db", "values")

    (key,) = [key for key in xcoms if FIRST_KEY <= key < LAST_KEY]
    assert xcoms[PROGRESS_KEY] == {"record": key}


def test_nothing_is_left_of_the_trigger_where_xcoms_are_off(tmp_path: Path) -> None:
    xcoms = run_script("second_record", tmp_path / "home", f"sqlite:///{tmp_path}/airflow.db", "links")

    assert xcoms == {}
