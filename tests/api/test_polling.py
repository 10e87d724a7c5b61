"""When to ask again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.polling import LONGEST_BACKOFF, Polling
from airflow_provider_seeany.api.trouble import Kind, Trouble


def trouble(kind: Kind = Kind.TRANSIENT, retry_after: float | None = None) -> Trouble:
    """Return trouble of a kind."""
    return Trouble(kind=kind, text="trouble", retry_after=retry_after)


@pytest.mark.parametrize("poll_interval", [0, -1, float("nan")])
def test_an_interval_that_cannot_be_is_refused(poll_interval: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        Polling(poll_interval=poll_interval)


def test_a_running_task_is_asked_for_at_the_given_interval() -> None:
    assert Polling(poll_interval=10).after_answer() == 10


def test_the_service_is_asked_less_and_less_often_while_in_trouble_but_at_least_once_a_minute() -> None:
    pauses = [Polling(poll_interval=10).after_trouble(trouble(), in_a_row=n) for n in range(1, 40)]

    assert pauses[:3] == [10, 15, 22.5]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF == 60


def test_trouble_does_not_make_a_slow_wait_faster() -> None:
    polling = Polling(poll_interval=300)

    assert {polling.after_trouble(trouble(), in_a_row=n) for n in (1, 5, 100)} == {300}


def test_a_throttled_question_waits_as_long_as_the_service_asked() -> None:
    polling = Polling(poll_interval=10)

    assert polling.after_trouble(trouble(Kind.THROTTLED, 90), in_a_row=1) == 90
    assert polling.after_trouble(trouble(Kind.THROTTLED, 3), in_a_row=1) == 10
    assert polling.after_trouble(trouble(Kind.THROTTLED), in_a_row=1) == 10


@pytest.mark.parametrize("seconds", [86_400 * 365, 1e300])
def test_an_absurd_retry_after_cannot_put_a_wait_to_sleep_for_good(seconds: float) -> None:
    assert Polling(poll_interval=10).after_trouble(trouble(Kind.THROTTLED, seconds), in_a_row=1) <= 3600


@given(
    st.floats(0.1, 86_400),
    st.sampled_from(Kind),
    st.none() | st.floats(0, 1e300),
    st.integers(1, 10**9),
)
def test_a_pause_is_never_shorter_than_the_interval(
    poll_interval: float, kind: Kind, retry_after: float | None, in_a_row: int
) -> None:
    pause = Polling(poll_interval=poll_interval).after_trouble(trouble(kind, retry_after), in_a_row=in_a_row)

    assert pause >= poll_interval
