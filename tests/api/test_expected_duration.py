"""The expected duration, however a template has rendered it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_seeany.api.expected_duration import expected_seconds
from tests.conftest import KEY
from tests.recorded_log import RecordedLog


@pytest.mark.parametrize("value", [40, 40.0, "40", " 40.0 ", "40 s", "00:40", timedelta(seconds=40)], ids=repr)
def test_a_number_of_seconds_is_read_from_whatever_a_template_renders_to(value: Any) -> None:
    log = RecordedLog()

    assert expected_seconds(value, log) == 40
    assert log.warnings == []


@pytest.mark.parametrize("value", [None, "", " ", "None"], ids=repr)
def test_no_value_is_no_expected_duration_and_nothing_to_warn_of(value: Any) -> None:
    log = RecordedLog()

    assert expected_seconds(value, log) is None
    assert log.warnings == []


UNUSABLE = ["soon", "{{ x }}", -5, "-5", float("nan"), "nan", float("inf"), 1e20, 10**400, "9" * 5000, True, [], {}]


@pytest.mark.parametrize("value", [*UNUSABLE, timedelta(seconds=-1)], ids=lambda value: repr(value)[:20])
def test_a_value_that_cannot_be_one_is_logged_once_and_does_without(value: Any) -> None:
    log = RecordedLog()

    assert expected_seconds(value, log) is None
    (line,) = log.warnings
    assert "expected_duration" in line
    assert len(line) < 200


def test_a_key_in_the_wrong_place_does_not_show() -> None:
    log = RecordedLog()

    expected_seconds(f"Bearer {KEY}", log)

    assert KEY not in "".join(log.warnings)
