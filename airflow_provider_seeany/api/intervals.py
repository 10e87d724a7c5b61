"""
How long to pause between two requests.

A ``PollPolicy`` pauses always the same; so does ``JitteredInterval``, for callbacks that may get lost. ``OnCallback``
pauses until one comes.
``AdaptiveInterval`` aims at the end of the task, as far as the service's own forecasts of it have come true. A response
gives two forecasts of the remaining time: the service's estimate, and the progress by its pace. Each of them goes
through these states on its own::

                 its remaining seconds fall as time passes,
                 faster than MIN_ESTIMATE_SLOPE or MIN_PROGRESS_SLOPE
    ┌───────────┐ ─────────────────────────────────────> ┌─────────┐
    │ untrusted │                                        │ trusted │ <─┐ falls, or fails to once
    └───────────┘ <───────────────────────────────────── └─────────┘ ──┘
                 twice in a row they do not

The pause follows from the first line that fits::

    no forecast is trusted .......................... poll_interval, or by the expected duration, see below
    it has run out (RUN_OUT s left) ................. 2, 3, 4.5 … s, up to poll_interval: the end is due any moment
    the end is near (NEAR s left) ................... until just after it
    the end is far .................................. most of the way (FAR_SHARE of it), up to the maximum pause

If both are trusted, the estimate counts, with two exceptions. Two steady forecasts that disagree: one of them is
wrong, so the sooner end counts. Progress that is far steadier than the estimate: the estimate is noise, so the
progress counts. The maximum pause is ``max_poll_interval``, but ``poll_interval`` where there is only an unsteady
progress. A forecast is steady while each value agrees with the one before.

An expected duration, known from the task's creation, aims the polls until the service gives an estimate or a progress
above 0. Nothing can confirm it, so it may be three times too long or too short::

    up to EARLIEST_SHARE of it ...................... up to the maximum pause: so early no task ends
    up to its end ................................... about poll_interval, so that a poll comes just after it
    after it ........................................ poll_interval, or 2, 3, 4.5 … s while the first line has saved
                                                      requests that can be spent
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Self

import msgspec

from airflow_provider_seeany.api.errors import ApiError, BadSettings, ThrottledError
from airflow_provider_seeany.api.settings import TaskSettings

BACKOFF_FACTOR = 1.5  # growth of the pauses while a forecast has run out or requests fail
BACKOFF_MAX = 60.0  # maximum seconds between two requests while they fail

RETRY_AFTER_MAX = 3600.0
"""Maximum seconds for which ``Retry-After`` is obeyed: an absurd one must not stop a wait for good."""

JITTER = 0.05  # width of the jitter as a share of a pause, so that waits that began together drift apart
MAX_ESTIMATE = 1e7  # a longer estimate in seconds, some four months, is none

MIN_SCALE = 0.4
MAX_SCALE = 2.5  # bounds of the real seconds in one forecast second

MIN_ESTIMATE_SLOPE = 1 / MAX_SCALE
"""An estimate has to fall by more seconds than this in one real second; one that falls more slowly cannot be scaled."""

MIN_PROGRESS_SLOPE = 0.5  # the same for the progress; higher, since progress that slows down falls slowly for ever
SMOOTHING = 0.5  # weight of the newest value in the running means of a forecast's scale and error
INITIAL_ERROR = 0.3  # the assumed error of a forecast before one is known, as a share of the remaining seconds
STEADY_ERROR = 0.15  # below this error a forecast is steady
MUCH_STEADIER = 0.35  # the progress is preferred to the estimate if its error is below this share of the estimate's
RUN_OUT = 2.0  # with so few seconds left, a forecast has run out: the next responses tell more than it does
NEAR = 10.0  # with so few seconds left, the next request aims at the end itself

FAR_SHARE = 0.7
"""Share of the remaining time to pause while the end is far: the rest corrects an estimate that was too long."""

EARLIEST_SHARE = 0.3
"""Share of the expected duration in which no task ends, unless that is more than three times too long."""

MARGIN = 0.5
"""Seconds between the expected end and the request: one just before the end is wasted and costs another pause."""

MIN_PAUSE = 2.0  # minimum seconds between two requests, unless ``poll_interval`` is shorter


def with_jitter(seconds: float, jitter: Callable[[], float] = random.random) -> float:
    """Return the pause a little shorter or longer, the same on average."""
    return seconds * (1 + JITTER * (jitter() - 0.5))


class PollPolicy(msgspec.Struct, kw_only=True):
    """
    Returns the pause before the next request of one wait: a fixed one, unless a subclass knows better. Reads no clock.

    :param poll_interval: seconds between two requests while nothing better is known.
    """

    poll_interval: float

    def __post_init__(self) -> None:
        if not self.poll_interval > 0:
            raise BadSettings(f"the interval must be a number of seconds above 0, not {self.poll_interval!r}")

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """
        Return the seconds to pause after a response about a running task.

        :param estimated_remaining: the service's estimate in seconds, unchecked.
        :param progress: per cent done, unchecked.
        :param now: seconds since any moment, the same for all responses of a wait.
        """
        return self.poll_interval

    def after_error(self, error: ApiError, *, in_a_row: int) -> float:
        """Return the seconds to pause after so many failed requests in a row: longer each time, up to a minute."""
        pause = min(self.poll_interval * BACKOFF_FACTOR ** min(in_a_row - 1, 20), max(BACKOFF_MAX, self.poll_interval))
        if isinstance(error, ThrottledError) and error.retry_after is not None:
            pause = max(pause, min(error.retry_after, RETRY_AFTER_MAX))
        return pause


class JitteredInterval(PollPolicy, kw_only=True):
    """A long interval with jitter, for waits that expect a callback, which may get lost."""

    jitter: Callable[[], float] = random.random

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the interval with jitter."""
        return with_jitter(self.poll_interval, self.jitter)


class OnCallback(PollPolicy, kw_only=True):
    """No interval: a task that is still running is polled when SeeAny calls back, or as a sample of its batch."""

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return that no poll is due."""
        return math.inf


class RemainingTime(msgspec.Struct):
    """A forecast of the remaining time, and how far it has come true. A new one begins to learn anew."""

    min_slope: float
    """How many of its seconds it has to lose in a real one."""
    value: float = 0.0
    """The newest forecast, in its own seconds."""
    updated_at: float | None = None
    is_trusted: bool = False
    misses: int = 0
    """How often in a row it has not fallen."""
    scale: float = 1.0
    """Real seconds in one of its own."""
    error: float = INITIAL_ERROR
    """Running mean of how far its values were from those that the ones before implied, as a share of the seconds."""

    @property
    def seconds(self) -> float:
        """The remaining real seconds by this forecast."""
        return self.scale * self.value

    @property
    def has_run_out(self) -> bool:
        """Whether the end is due."""
        return self.value <= RUN_OUT

    @property
    def is_steady(self) -> bool:
        """Whether its values agree with each other."""
        return self.error < STEADY_ERROR

    def update(self, value: float, now: float) -> None:
        """Take a new value."""
        if self.updated_at is not None and now > self.updated_at:
            self._learn(value, now - self.updated_at)
        self.value = value
        self.updated_at = now

    def _learn(self, value: float, passed: float) -> None:
        seconds_before = self.seconds
        fallen = self.value - value
        if fallen > self.min_slope * passed:
            self.is_trusted, self.misses = True, 0
            self.scale += SMOOTHING * (min(max(passed / fallen, MIN_SCALE), MAX_SCALE) - self.scale)
        elif value > RUN_OUT:
            # One miss is forgiven: a noisy estimate rises now and then. One that has run out has nothing left to lose.
            self.misses += 1
            self.is_trusted = self.is_trusted and self.misses < 2
        error = abs(self.scale * value - (seconds_before - passed)) / max(seconds_before, 5.0)
        self.error += SMOOTHING * (min(error, 1.0) - self.error)


class ExpectedEnd(msgspec.Struct, kw_only=True):
    """
    When a task should end by its expected duration, and the pauses that follow from it.

    :param began: when the wait began, by the clock of its responses.
    :param duration: the expected seconds from then on.
    """

    began: float
    duration: float
    _last_response: float | None = None
    _saved: float = 0.0
    """By how many seconds the pauses so far were longer than the poll interval."""
    _pauses_since: int = 0

    @classmethod
    def of(cls, duration: float | None, *, began: float) -> Self | None:
        """Return it if the duration is known."""
        return None if duration is None else cls(began=began, duration=duration)

    def pause(self, now: float, *, poll_interval: float, maximum: float) -> float:
        """Return the seconds to pause after a response."""
        if self._last_response is not None:
            self._saved += now - self._last_response - poll_interval
        self._last_response = now
        has_saved_one = self._saved >= poll_interval
        age = now - self.began
        if age >= self.duration:
            self._pauses_since += 1
            return _growing_pause(self._pauses_since, poll_interval) if has_saved_one else poll_interval
        if EARLIEST_SHARE * self.duration - age > poll_interval:
            return min(EARLIEST_SHARE * self.duration - age, maximum)
        left = self.duration + MARGIN - age
        # Rounding costs no request on average, one more does.
        polls = (math.ceil if has_saved_one else round)(left / poll_interval)
        return min(max(left / polls, min(MIN_PAUSE, poll_interval)), maximum) if polls else poll_interval


class AdaptiveInterval(PollPolicy, kw_only=True):
    """
    Polls when the task should be done, once the service's forecasts have come true; see the module's text.

    :param max_poll_interval: maximum seconds between two requests while the task is running. If it is no more than
        ``poll_interval``, no pause is longer than that one, jitter apart.
    :param expected_end: aims the polls until the service says anything about the end.
    :param jitter: returns a number from 0 up to 1.
    """

    max_poll_interval: float
    expected_end: ExpectedEnd | None = None
    jitter: Callable[[], float] = random.random
    seconds_left: float | None = None
    """The remaining seconds by the forecast that counts or, while none is trusted, by any; ``None`` without one."""
    _estimate: RemainingTime = msgspec.field(default_factory=lambda: RemainingTime(MIN_ESTIMATE_SLOPE))
    _progress: RemainingTime = msgspec.field(default_factory=lambda: RemainingTime(MIN_PROGRESS_SLOPE))
    _first_progress: tuple[float, float] | None = None
    _pauses_since_run_out: int = 0

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the seconds to pause after a response about a running task."""
        by_estimate = self._update_estimate(estimated_remaining, now)
        by_progress = self._update_progress(progress, now)
        if by_estimate is not None or (progress is not None and 0 < progress <= 100):
            self.expected_end = None
        estimate = _if_trusted(by_estimate)
        chosen = _chosen(estimate, _if_trusted(by_progress))
        shown = chosen or by_estimate or by_progress
        self.seconds_left = shown.seconds if shown else None
        return with_jitter(self._pause(chosen, estimate, now), self.jitter)

    def after_error(self, error: ApiError, *, in_a_row: int) -> float:
        """Return the seconds to pause after a failed request, with a jitter that only lengthens it."""
        return super().after_error(error, in_a_row=in_a_row) * (1 + JITTER * self.jitter())

    def _update_estimate(self, seconds: float | None, now: float) -> RemainingTime | None:
        if seconds is None or not seconds <= MAX_ESTIMATE:
            return None
        self._estimate.update(max(seconds, 0), now)
        return self._estimate

    def _update_progress(self, per_cent: float | None, now: float) -> RemainingTime | None:
        if per_cent is None or not 0 <= per_cent <= 100:
            return None
        if self._first_progress is None or per_cent < self._first_progress[1]:
            self._first_progress = (now, per_cent)
        # Since the first progress seen: the task's start is unknown here, and whole per cents are too coarse for the
        # pace since the last response.
        began, per_cent_then = self._first_progress
        if now <= began or per_cent <= per_cent_then:
            return None
        self._progress.update((100 - per_cent) * (now - began) / (per_cent - per_cent_then), now)
        return self._progress

    def _pause(self, chosen: RemainingTime | None, estimate: RemainingTime | None, now: float) -> float:
        longest = max(self.poll_interval, self.max_poll_interval)
        if chosen is None:
            if self.expected_end is None or longest == self.poll_interval:
                return self.poll_interval  # if no pause may be longer, there is nothing to save for one that is shorter
            return self.expected_end.pause(now, poll_interval=self.poll_interval, maximum=longest)
        if chosen.has_run_out:
            self._pauses_since_run_out += 1
            return _growing_pause(self._pauses_since_run_out, self.poll_interval)
        self._pauses_since_run_out = 0
        pause = chosen.seconds + MARGIN if chosen.seconds <= NEAR else FAR_SHARE * chosen.seconds
        maximum = longest if estimate is not None or chosen.is_steady else self.poll_interval
        return min(max(pause, min(MIN_PAUSE, self.poll_interval)), maximum)


def _growing_pause(number: int, poll_interval: float) -> float:
    """Return a pause while the end is due any moment: longer each time, up to the poll interval."""
    return min(min(MIN_PAUSE, poll_interval) * BACKOFF_FACTOR ** min(number - 1, 20), poll_interval)


def _if_trusted(forecast: RemainingTime | None) -> RemainingTime | None:
    return forecast if forecast is not None and forecast.is_trusted else None


def _chosen(estimate: RemainingTime | None, progress: RemainingTime | None) -> RemainingTime | None:
    """Return the forecast that counts, of those that are trusted."""
    if estimate is None or progress is None:
        return estimate or progress
    if estimate.is_steady and progress.is_steady:
        ahead = [forecast for forecast in (estimate, progress) if not forecast.has_run_out]
        return min(ahead or [estimate], key=lambda forecast: forecast.seconds)
    return progress if progress.error < MUCH_STEADIER * estimate.error else estimate


def poll_policy(
    settings: TaskSettings, *, in_worker: bool = False, expected_end: ExpectedEnd | None = None
) -> PollPolicy:
    """Return how the wait for one task polls."""
    if in_worker:
        return PollPolicy(poll_interval=settings.poll_interval)  # its user set the interval
    if settings.expect_callback:
        return JitteredInterval(poll_interval=settings.callback_poll_interval)
    return AdaptiveInterval(
        poll_interval=settings.poll_interval, max_poll_interval=settings.max_poll_interval, expected_end=expected_end
    )
