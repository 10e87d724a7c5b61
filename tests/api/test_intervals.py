"""The pause until the next poll."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_seeany.api.errors import (
    ApiError,
    InvalidResponseError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from airflow_provider_seeany.api.intervals import (
    BACKOFF_MAX,
    MAX_ESTIMATE,
    AdaptiveInterval,
    ExpectedEnd,
    JitteredInterval,
    PollPolicy,
    with_jitter,
)

WITHOUT_JITTER: dict[str, Any] = {"jitter": lambda: 0.5}


ERRORS = (PermanentError, ThrottledError, TransientError, InvalidResponseError)


def fixed(poll_interval: float = 10) -> PollPolicy:
    """Return the rule of a wait that holds a process."""
    return PollPolicy(poll_interval=poll_interval)


def trusting(poll_interval: float = 10, max_poll_interval: float = 30, **more: Any) -> AdaptiveInterval:
    """Return the rule of the trigger."""
    return AdaptiveInterval(poll_interval=poll_interval, max_poll_interval=max_poll_interval, **more)


Rule = Callable[[float], PollPolicy]


@pytest.mark.parametrize("rule", [fixed, trusting])
@pytest.mark.parametrize("poll_interval", [0, -1, float("nan")])
def test_an_interval_that_cannot_be_is_refused(rule: Rule, poll_interval: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        rule(poll_interval)


def test_a_wait_that_holds_a_process_polls_at_the_given_interval_whatever_the_response() -> None:
    polling = fixed()

    pauses = [
        polling.after_response(estimated_remaining=100 - age, progress=age, now=age) for age in (10.0, 20.0, 90.0, 99.0)
    ]

    assert pauses == [10, 10, 10, 10]


# The estimate and the progress of a task of 100 s at an age.
Report = Callable[[float], tuple[float | None, float | None]]


def polled_at(report: Report, *, until: float = 100, **more: Any) -> list[float]:
    """Return the ages at which a task is polled, from 10 s on, up to the first poll that finds it done."""
    polling = trusting(**{**WITHOUT_JITTER, **more})
    ages = [10.0]
    while ages[-1] < until:
        estimate, progress = report(ages[-1])
        ages.append(ages[-1] + polling.after_response(estimated_remaining=estimate, progress=progress, now=ages[-1]))
    return ages


def intervals(ages: list[float]) -> set[float]:
    """Return the different pauses between the polls."""
    return {round(after - before, 6) for before, after in itertools.pairwise(ages)}


def test_an_estimate_that_falls_as_time_passes_is_aimed_at() -> None:
    assert polled_at(lambda age: (100 - age, None)) == [10, 20, 50, 80, 94, 100.5]


def test_an_estimate_is_not_followed_before_a_second_one_confirms_it() -> None:
    assert polled_at(lambda age: (100 - age, None))[:2] == [10, 20]


@pytest.mark.parametrize("factor", [0.5, 2])
def test_an_estimate_in_seconds_of_another_length_is_put_right(factor: float) -> None:
    ages = polled_at(lambda age: (factor * (100 - age), None))

    assert len(ages) <= 7
    assert ages[-1] - 100 <= 2


UNBELIEVABLE: dict[str, Report] = {
    "stuck": lambda age: (90, None),
    "stuck at the end": lambda age: (0, 99),
    "absent": lambda age: (None, None),
    "rising": lambda age: (age, None),
    "negative": lambda age: (-age, None),
    "endless": lambda age: (float("inf"), None),
    "no number": lambda age: (float("nan"), float("nan")),
    "not even a float": lambda age: (10**400 - int(age), 10**400),
    "progress that stands still": lambda age: (None, 40),
    "progress that goes back": lambda age: (None, 100 - age),
    "progress out of bounds": lambda age: (None, 100 + age),
}


@pytest.mark.parametrize("name", UNBELIEVABLE)
def test_what_cannot_be_followed_leaves_the_interval_as_it_is(name: str) -> None:
    assert intervals(polled_at(UNBELIEVABLE[name])) == {10}


def test_an_estimate_that_no_longer_falls_is_no_longer_followed() -> None:
    ages = polled_at(lambda age: (max(300 - age, 200), None), until=400)

    assert intervals(ages[:4]) == {10, 30}
    assert intervals(ages[-10:]) == {10}


def test_an_estimate_that_stops_falling_costs_one_more_long_pause_and_no_others() -> None:
    # It falls up to an age of 100 s, then says 200 s for good.
    ages = polled_at(lambda age: (max(300 - age, 200), None), until=200)

    assert ages == [10, 20, 50, 80, 110, 140, 170, 180, 190, 200]


def test_one_rise_of_a_noisy_estimate_does_not_cost_the_belief() -> None:
    noise = {10.0: 290, 20.0: 280, 50.0: 285}

    assert polled_at(lambda age: (noise.get(age, 300 - age), None), until=100)[:5] == [10, 20, 50, 80, 110]


def test_a_task_that_outlives_its_estimate_is_polled_at_growing_pauses_up_to_the_interval() -> None:
    ages = polled_at(lambda age: (max(30 - age, 1), None), until=90)

    pauses = [after - before for before, after in itertools.pairwise(ages)]
    assert pauses[2:] == [2, 3, 4.5, 6.75, 10, 10, 10, 10, 10]


def test_a_response_without_the_estimate_now_and_then_does_not_cost_the_belief() -> None:
    assert polled_at(lambda age: (None if age == 50 else 300 - age, None))[:5] == [10, 20, 50, 60, 90]


def test_progress_alone_finds_the_end() -> None:
    ages = polled_at(lambda age: (None, int(age)))

    assert ages[-1] - 100 < 2
    assert len(ages) <= 10


def test_steady_progress_unmasks_an_estimate_that_has_nothing_to_do_with_the_end() -> None:
    """The estimate promises the end at 400 s, the task ends at 100 s."""
    followed = polled_at(lambda age: (400 - age, None))
    doubted = polled_at(lambda age: (400 - age, int(age)))

    assert followed[-1] - 100 > 5
    assert doubted[-1] - 100 < 2


def test_an_estimate_that_jumps_beside_steady_progress_is_not_followed() -> None:
    chance = random.Random(1)

    ages = polled_at(lambda age: ((300 - age) * chance.uniform(0.4, 1.6), int(age / 3)), until=300)

    assert ages[-1] - 300 < 3


def test_two_responses_of_one_moment_prove_nothing() -> None:
    polling = trusting(**WITHOUT_JITTER)

    for left, done in ((90, 10), (80, 20)):
        assert polling.after_response(estimated_remaining=left, progress=done, now=10) == 10
    by_progress_alone = trusting(**WITHOUT_JITTER)
    for done in (10, 20):
        by_progress_alone.after_response(estimated_remaining=None, progress=done, now=10)
    # Nor that the task should have ended by now.
    assert by_progress_alone.seconds_left is None


def test_an_estimate_that_begins_wild_and_then_is_right_is_not_polled_more_often() -> None:
    wild = {10: 9e6, 20: 2e6, 50: 5e5, 80: 1e5, 110: 2e4}

    ages = polled_at(lambda age: (wild.get(age, 300 - age), None), until=200)

    assert ages[:8] == [10, 20, 50, 80, 110, 140, 170, 200]


def test_a_task_that_the_service_begins_anew_is_soon_aimed_at_again() -> None:
    """It fails at an age of 40 s with nearly all done, and then takes 400 s."""
    ages = polled_at(lambda age: (None, min(4.5 * age - 35, 98) if age < 40 else (age - 40) / 4), until=440)

    assert intervals([age for age in ages if 80 < age < 400]) == {30}
    assert ages[-1] - 440 < 2


def test_a_second_estimate_that_runs_out_is_polled_as_often_as_the_first() -> None:
    ages = polled_at(lambda age: (30 - age if age <= 30 else 1 if age <= 50 else max(120 - age, 0), None), until=140)

    pauses = [after - before for before, after in itertools.pairwise(ages) if before > 118]
    assert pauses[:4] == pytest.approx([2, 3, 4.5, 6.75])


def test_a_task_that_outlives_its_estimate_by_many_hours_is_still_polled() -> None:
    polling = trusting(**WITHOUT_JITTER)
    for count in range(5000):
        pause = polling.after_response(estimated_remaining=max(50 - 10 * count, 0), progress=None, now=10.0 * count)

    assert pause == 10


@pytest.mark.parametrize(("step", "takes"), [(10, 35), (10, 45), (20, 60)])
def test_progress_in_great_steps_is_followed_without_long_pauses(step: int, takes: int) -> None:
    ages = polled_at(lambda age: (None, min(step + step * int(age / takes), 99)), until=100 / step * takes)

    assert max(intervals(ages)) == 10


def test_progress_that_slows_down_all_the_time_is_not_followed() -> None:
    """Each second takes less than half a second off what seems to be left."""
    assert intervals(polled_at(lambda age: (None, 100 * age / (200 + 0.55 * age)), until=400)) == {10}


def test_an_estimate_that_has_run_out_gives_way_to_progress_that_continues() -> None:
    """The estimate promises the end at 60 s, the task ends at 100 s."""
    ages = polled_at(lambda age: (max(60 - age, 0), age))

    assert min(after - before for before, after in itertools.pairwise(age for age in ages if 60 < age < 94)) > 5
    assert ages[-1] - 100 < 2


def test_a_task_that_is_all_done_and_still_runs_may_end_at_any_moment() -> None:
    """As when the service still uploads the video."""
    ages = polled_at(lambda age: (None, min(1.25 * age, 100)))

    pauses = [after - before for before, after in itertools.pairwise(ages) if before > 80]
    assert pauses == pytest.approx([2, 3, 4.5, 6.75, 10])


@pytest.mark.parametrize(("estimate", "left"), [(70, 70), (None, 80)])
def test_while_nothing_is_proved_the_end_is_where_anything_says_it_is(estimate: float | None, left: float) -> None:
    """A batch polls those first that should have ended, so that a forecast is of use before it is confirmed."""
    polling = trusting()

    polling.after_response(estimated_remaining=None, progress=10, now=10)
    polling.after_response(estimated_remaining=estimate, progress=20, now=20)

    assert polling.seconds_left == left


def expecting(duration: float, began: float = 0) -> dict[str, Any]:
    """Return the argument for a task that should take so long."""
    return {"expected_end": ExpectedEnd(began=began, duration=duration)}


def silent(age: float) -> tuple[None, None]:
    """Return neither an estimate nor a progress."""
    return None, None


def test_an_expected_end_is_polled_just_after_and_hardly_before_a_third_of_it() -> None:
    ages = polled_at(silent, until=300, **expecting(300))

    assert ages[:4] == [10, 40, 70, 90]
    assert max(intervals(ages[3:])) <= 10
    assert ages[-1] == pytest.approx(300.5)
    assert len(ages) < len(polled_at(silent, until=300))


def test_a_task_that_outlives_its_expected_end_is_polled_at_growing_pauses_while_saved_polls_last() -> None:
    ages = polled_at(silent, until=600, **expecting(300))

    assert [after - before for before, after in itertools.pairwise(ages) if before > 300][:5] == pytest.approx(
        [2, 3, 4.5, 6.75, 10]
    )
    assert len(ages) <= len(polled_at(silent, until=600))


def test_a_task_that_outlives_a_short_expected_end_is_polled_at_the_interval() -> None:
    # Nothing was saved before it.
    assert polled_at(silent, until=60, **expecting(20)) == pytest.approx([10, 20.5, 30.5, 40.5, 50.5, 60.5])


@pytest.mark.parametrize("report", [(90, None), (None, 1)], ids=["estimate", "progress"])
def test_what_the_service_says_about_the_end_replaces_the_expected_one_for_good(
    report: tuple[float | None, float | None],
) -> None:
    ages = polled_at(lambda age: report if age == 10 else (None, None), until=300, **expecting(300))

    assert intervals(ages) == {10}


def test_a_progress_of_zero_says_nothing_about_the_end() -> None:
    assert polled_at(lambda age: (None, 0), until=300, **expecting(300)) == polled_at(
        silent, until=300, **expecting(300)
    )


def estimates() -> st.SearchStrategy[float | None]:
    """Return any JSON value for an estimate, the usual ones more often."""
    return (
        st.none()
        | st.floats(0, 600)
        | st.integers(-10, 600)
        | st.floats(allow_nan=True, allow_infinity=True)
        | st.sampled_from([10**400, -(10**400), 1e308, 5e-324, 0])
    )


def progresses() -> st.SearchStrategy[float | None]:
    """Return the same for a progress."""
    return st.none() | st.integers(0, 100) | st.floats(0, 100) | st.floats() | st.sampled_from([10**400, -(10**400)])


def expectations() -> st.SearchStrategy[ExpectedEnd | None]:
    """Return the expected end of a task whose wait began before its first response, or after it by another clock."""
    return st.none() | st.builds(
        ExpectedEnd,
        began=st.floats(1_748_899_000, 1_748_900_010),
        duration=st.floats(0, 600) | st.floats(0, MAX_ESTIMATE),
    )


def check_pauses(polling: AdaptiveInterval, responses: Iterable[tuple[float | None, float | None, float]]) -> None:
    """Give it the responses, each so late after its pause, and see that every pause is within its bounds."""
    shortest = min(2, polling.poll_interval) * 0.97
    # In this order, so that what is no number does not count.
    maximum = max(polling.poll_interval, polling.max_poll_interval) * 1.05
    now = 1_748_900_000.0
    for estimate, progress, late in responses:
        pause = polling.after_response(estimated_remaining=estimate, progress=progress, now=now)
        assert shortest <= pause <= maximum
        # Late may be early: clocks are put back now and then, and machines differ in theirs.
        now += pause + late


@settings(max_examples=300)
@given(
    st.floats(0.01, 3600),
    st.floats(0, 7200) | st.just(float("nan")),
    st.lists(st.tuples(estimates(), progresses(), st.floats(-5, 60)), max_size=12),
    st.floats(0, 1, exclude_max=True),
    expectations(),
)
def test_whatever_the_response_the_next_request_comes_neither_at_once_nor_later_than_allowed(
    poll_interval: float,
    max_poll_interval: float,
    responses: list[tuple[float | None, float | None, float]],
    jitter: float,
    expected_end: ExpectedEnd | None,
) -> None:
    polling = trusting(poll_interval, max_poll_interval, jitter=lambda: jitter, expected_end=expected_end)
    check_pauses(polling, responses)


def test_ten_thousand_waits_that_believe_and_doubt_keep_within_the_bounds_too() -> None:
    """Estimates that hypothesis makes up are rarely followed; these fall, jump, stick and vanish."""
    chance = random.Random(1)
    for _ in range(10_000):
        slope, end = chance.choice([-1, 0, 0.2, 0.5, 1, 3, 1e300]), chance.choice([1, 60, 600, 1e306, 10**400])
        responses = [
            (
                chance.choice([end - slope * 10 * step, end - slope * 10 * step, 0, None]) if end < 1e307 else end,
                chance.choice([7 * step, 7 * step, 99, None]),
                chance.choice([0, 0, 5, -20]),
            )
            for step in range(12)
        ]
        polling = trusting(chance.choice([0.1, 1, 10, 300]), chance.choice([0, 10, 30, 600]), jitter=chance.random)
        check_pauses(polling, responses)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(estimates(), progresses(), st.floats(0, 60)), max_size=12),
    st.sampled_from([1, 10]),
    st.none() | st.floats(0, 600),
)
def test_with_a_maximum_no_longer_than_the_interval_it_is_never_slower_than_the_interval(
    responses: list[tuple[float | None, float | None, float]], max_poll_interval: float, expected: float | None
) -> None:
    polling = trusting(10, max_poll_interval, **WITHOUT_JITTER, expected_end=ExpectedEnd.of(expected, began=0))
    now = 0.0
    for estimate, progress, late in responses:
        pause = polling.after_response(estimated_remaining=estimate, progress=progress, now=now)
        assert pause <= 10
        now += pause + late


def test_a_thousand_waits_that_began_together_do_not_continue_to_poll_together() -> None:
    chance = random.Random(1)
    waits = [trusting(jitter=chance.random) for _ in range(1000)]

    pauses = [polling.after_response(estimated_remaining=None, progress=None, now=10) for polling in waits]

    assert 9.75 <= min(pauses) < 9.8
    assert 10.2 < max(pauses) <= 10.25
    assert sum(pauses) / 1000 == pytest.approx(10, abs=0.02)


def test_a_pause_is_as_long_as_it_was_on_average() -> None:
    assert with_jitter(10, lambda: 0.5) == 10


@pytest.fixture(params=[fixed, lambda poll_interval=10: trusting(poll_interval, jitter=lambda: 0.0)])
def rule(request: pytest.FixtureRequest) -> Rule:
    """Both rules, since they share the backoff after errors."""
    made: Rule = request.param
    return made


def test_the_service_is_polled_less_and_less_often_while_failing_but_at_least_once_a_minute(rule: Rule) -> None:
    pauses = [rule(10).after_error(TransientError("no"), in_a_row=n) for n in range(1, 40)]

    assert pauses[:3] == [10, 15, 22.5]
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_MAX == 60


def test_an_error_does_not_make_a_slow_wait_faster(rule: Rule) -> None:
    polling = rule(300)

    assert {polling.after_error(TransientError("no"), in_a_row=n) for n in (1, 5, 100)} == {300}


def test_a_throttled_wait_pauses_for_the_retry_after(rule: Rule) -> None:
    polling = rule(10)

    assert polling.after_error(ThrottledError("no", retry_after=90), in_a_row=1) == 90
    assert polling.after_error(ThrottledError("no", retry_after=3), in_a_row=1) == 10
    assert polling.after_error(ThrottledError("no"), in_a_row=1) == 10


def test_a_retry_after_is_obeyed_only_of_a_service_that_is_too_busy(rule: Rule) -> None:
    """A gateway's page for a broken service may carry a Retry-After of its own."""
    for kind in (TransientError, InvalidResponseError):
        assert rule(10).after_error(kind("no", retry_after=3600), in_a_row=1) == 10


@pytest.mark.parametrize("seconds", [86_400 * 365, 1e300])
def test_an_absurd_retry_after_cannot_put_a_wait_to_sleep_for_good(rule: Rule, seconds: float) -> None:
    assert rule(10).after_error(ThrottledError("no", retry_after=seconds), in_a_row=1) <= 3600


def pauses_after_errors(jitter: float) -> Iterator[float]:
    """Yield pauses of the trigger's rule after several kinds of errors."""
    polling = trusting(jitter=lambda: jitter)
    yield polling.after_error(TransientError("no"), in_a_row=1)
    yield polling.after_error(ThrottledError("no", retry_after=90), in_a_row=1)


def test_the_jitter_makes_no_request_earlier_than_its_retry_after() -> None:
    assert list(pauses_after_errors(0.0)) == [10, 90]
    assert list(pauses_after_errors(1.0)) == [10.5, 94.5]


@given(
    st.floats(0.1, 86_400),
    st.sampled_from(ERRORS),
    st.none() | st.floats(0, 1e300),
    st.integers(1, 10**9),
    st.sampled_from([fixed, trusting]),
)
def test_a_pause_after_an_error_is_never_shorter_than_the_interval(
    poll_interval: float, kind: type[ApiError], retry_after: float | None, in_a_row: int, rule: Rule
) -> None:
    pause = rule(poll_interval).after_error(kind("no", retry_after=retry_after), in_a_row=in_a_row)

    assert pause >= poll_interval


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 117.0), (0.5, 120.0), (1.0, 123.0)])
def test_while_a_callback_is_expected_the_estimate_does_not_matter(jitter: float, pause: float) -> None:
    polling = JitteredInterval(poll_interval=120, jitter=lambda: jitter)

    for left in (60, 30, 2):
        assert polling.after_response(estimated_remaining=left, progress=90, now=100 - left) == pytest.approx(pause)
