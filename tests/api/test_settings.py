"""The settings of a wait: values that cannot be are refused, and what is stored comes back as it was."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api.settings import BatchSettings, TaskSettings, WaitSettings, to_seconds

SHARED: dict[str, Any] = {
    "poll_interval": 10,
    "max_poll_interval": 30.5,
    "timeout": 90,
    "do_xcom_push": False,
    "accept_partial": False,
    "expect_callback": True,
    "callback_poll_interval": 150,
}
TASK: dict[str, Any] = SHARED
BATCH: dict[str, Any] = {
    **SHARED,
    "max_requests_per_second": 7.5,
    "max_concurrent_requests": 3,
    "fail_fast": True,
    "allow_failures": False,
}
each_kind = pytest.mark.parametrize(("kind", "given"), [(TaskSettings, TASK), (BatchSettings, BATCH)])


@each_kind
def test_settings_are_stored_as_plain_json_and_read_back_as_they_were(
    kind: type[WaitSettings], given: dict[str, Any]
) -> None:
    stored = json.loads(json.dumps(msgspec.to_builtins(kind(**given))))

    assert stored == given
    assert msgspec.convert(stored, kind) == kind(**given)


@each_kind
def test_settings_of_a_newer_version_can_be_read(kind: type[WaitSettings], given: dict[str, Any]) -> None:
    assert msgspec.convert({**given, "of_a_newer_version": 1}, kind) == kind(**given)


@each_kind
def test_a_wait_that_was_stored_before_partial_results_were_a_choice_accepts_them(
    kind: type[WaitSettings], given: dict[str, Any]
) -> None:
    stored = {name: value for name, value in given.items() if name != "accept_partial"}

    assert msgspec.convert(stored, kind).accept_partial


@each_kind
@pytest.mark.parametrize("name", ["poll_interval", "max_poll_interval", "timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e10, True, "10"], ids=repr)
def test_seconds_that_cannot_be_are_refused_by_name(
    kind: type[WaitSettings], given: dict[str, Any], name: str, seconds: Any
) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number of seconds above 0"):
        kind(**{**given, name: seconds})


class Number(float):
    """A number of another library."""


@each_kind
def test_settings_are_read_from_attributes_whose_types_airflow_does_not_check(
    kind: type[WaitSettings], given: dict[str, Any]
) -> None:
    switches = {name: 1 if value else None for name, value in given.items() if isinstance(value, bool)}
    numbers = {"max_concurrent_requests": 3.0} if kind is BatchSettings else {}

    assert kind.of(SimpleNamespace(**{**given, **switches, **numbers})) == kind(**given)


def test_a_number_of_another_library_becomes_one_that_can_be_stored() -> None:
    assert type(to_seconds(Number(10), name="timeout")) is float


@pytest.mark.parametrize(
    "bad",
    [
        {"max_requests_per_second": 0},
        {"max_requests_per_second": float("nan")},
        {"max_concurrent_requests": 0},
        {"allow_failures": True},
    ],
    ids=str,
)
def test_limits_of_a_batch_that_cannot_be_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        BatchSettings(**{**BATCH, **bad})


def test_an_interval_for_callbacks_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^callback_poll_interval must be"):
        TaskSettings(**{**TASK, "callback_poll_interval": 0})


def test_airflow_may_end_a_deferral_only_well_after_the_trigger_has() -> None:
    assert TaskSettings(**TASK).defer_timeout == timedelta(seconds=90) + timedelta(minutes=5)


class Seconds(float):
    """A number as a DAG may compute it: NumPy's are subclasses of float, too."""


def test_seconds_of_any_kind_become_a_plain_float_that_can_be_stored() -> None:
    assert type(to_seconds(Seconds(7.5), name="timeout")) is float
    assert type(to_seconds(7, name="timeout")) is float


@each_kind
def test_settings_are_the_attributes_of_an_operator(kind: type[WaitSettings], given: dict[str, Any]) -> None:
    assert kind.of(SimpleNamespace(**given, task_id="wait")) == kind(**given)


@each_kind
def test_an_integer_may_stand_for_a_bool_and_a_whole_float_for_a_count(
    kind: type[WaitSettings], given: dict[str, Any]
) -> None:
    loose = {name: _loose(value) for name, value in given.items()}

    assert kind.of(SimpleNamespace(**loose)) == kind(**given)


def _loose(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else float(value)


@each_kind
def test_attributes_that_cannot_be_settings_are_refused_by_name(
    kind: type[WaitSettings], given: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be a number of seconds above 0"):
        kind.of(SimpleNamespace(**{**given, "timeout": 0}))
    with pytest.raises(ValueError, match="max_poll_interval"):
        kind.of(SimpleNamespace(**{**given, "max_poll_interval": None}))
