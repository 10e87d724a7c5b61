"""The settings of a wait, as one value that the operator makes and its trigger stores."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Self

import msgspec

from airflow_provider_seeany.api.errors import BadSettings

DEFER_GRACE = timedelta(minutes=5)
"""
Time from a wait's deadline to Airflow's own limit of the deferral. The trigger reports the timeout first, with a
better message; the limit is for a trigger that never runs because there is no triggerer. A wait that began without a
worker reads its deadline from the limit.
"""

MAX_SECONDS = 100 * 366 * 24 * 3600.0  # so that Airflow can add them to the time of day


def to_seconds(value: timedelta | float, *, name: str) -> float:
    """
    Return a duration in seconds.

    :raises BadSettings: if it is not above 0, as polling would then never pause, or never begin.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        raise BadSettings(f"{name} must be a number of seconds above 0, or a timedelta; got {value!r}")
    return float(seconds)


class WaitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of every wait. They are stored with its trigger, so a field that is added later needs a default."""

    poll_interval: float
    """Seconds between two polls of a task while its end cannot be estimated."""
    max_poll_interval: float
    """Maximum seconds between two polls of a task."""
    timeout: float
    """Seconds until the wait gives up."""
    do_xcom_push: bool
    """Whether the Airflow task pushes XComs."""
    accept_partial: bool = True
    """Whether a partial result is a success."""

    def __post_init__(self) -> None:
        for name in ("poll_interval", "max_poll_interval", "timeout"):
            to_seconds(getattr(self, name), name=name)

    @classmethod
    def of(cls, operator: object) -> Self:
        """Return the settings in an operator's attributes, which have the fields' names; a switch may be any object."""
        values = {name: getattr(operator, name) for name in cls.__struct_fields__}
        values |= {name: bool(values[name]) for name in _switches(cls)}
        return msgspec.convert(values, cls, strict=False)

    @property
    def defer_timeout(self) -> timedelta:
        """The limit for Airflow to set on the deferral."""
        return timedelta(seconds=self.timeout) + DEFER_GRACE


@cache
def _switches(kind: type[WaitSettings]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if field.type is bool]


class TaskSettings(WaitSettings, frozen=True, kw_only=True):
    """The settings of the wait for one task."""

    expect_callback: bool
    """Whether SeeAny calls back when the task has ended."""
    callback_poll_interval: float
    """Seconds between two polls in the triggerer in that case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        to_seconds(self.callback_poll_interval, name="callback_poll_interval")


class BatchSettings(WaitSettings, frozen=True, kw_only=True):
    """The settings of the wait for a batch."""

    max_requests_per_second: float
    max_concurrent_requests: int
    fail_fast: bool
    """End at the first failure."""
    allow_failures: bool
    """Succeed also if tasks failed."""
    expect_callback: bool = False
    """Whether SeeAny calls back when a task has ended."""
    callback_poll_interval: float = 120.0
    """Seconds between two samples that are polled in that case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        to_seconds(self.callback_poll_interval, name="callback_poll_interval")
        if not self.max_requests_per_second > 0:
            raise BadSettings(f"max_requests_per_second must be above 0, got {self.max_requests_per_second!r}")
        if not self.max_concurrent_requests >= 1:
            raise BadSettings(f"max_concurrent_requests must be at least 1, got {self.max_concurrent_requests!r}")
        if self.fail_fast and self.allow_failures:
            raise BadSettings("fail_fast and allow_failures contradict each other: choose one")
