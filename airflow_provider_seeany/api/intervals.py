"""
When to ask again.

``FixedInterval`` always sleeps the same; so does ``JitteredInterval``, but long, for callbacks that get lost.
``AdaptiveInterval`` aims at the end of the task, as far as the task's own word about it has proved true. An answer
gives two clocks: the service's estimate of the seconds left, and the progress, which tells the seconds left by its
pace. Each clock goes through these states on its own::

                 its seconds left fall as time passes,
                 faster than MIN_ESTIMATE_SLOPE or MIN_PROGRESS_SLOPE
    ┌──────────┐ ─────────────────────────────────────> ┌──────────┐
    │ unproven │                                        │ believed │ <─┐ falls, or fails to once
    └──────────┘ <───────────────────────────────────── └──────────┘ ──┘
                 twice in a row they do not

and this is the sleep that follows, by the first line that fits::

    no clock is believed ............................ poll_interval
    the clock has run out (RUN_OUT s left) .......... 2, 3, 4.5 … s, up to poll_interval: it must end any moment
    the end is near (NEAR s left) ................... until just after it
    the end is far .................................. most of the way (FAR_SHARE of it), up to the longest sleep

If both clocks are believed, the estimate counts, with two exceptions. Two steady clocks that disagree: one of them
is wrong, so the sooner end counts. Progress that is far steadier than the estimate: the estimate is noise, so the
progress counts. The longest sleep is ``max_poll_interval``, but ``poll_interval`` where there is only an unsteady
progress to go by. A clock is steady when it goes on saying what it said before.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from airflow_provider_seeany.api.errors import Kind, Trouble
from airflow_provider_seeany.api.settings import BadSettings, TaskSettings

BACKOFF_MAX = 60.0
"""Most seconds between two questions while the service is in trouble."""

RETRY_AFTER_MAX = 3600.0
"""Most seconds that a ``Retry-After`` is obeyed for: an absurd one must not put a wait to sleep for good."""

JITTER = 0.05
"""Width of the jitter as a share of a pause, so that waits that began together do not go on asking together."""

MAX_ESTIMATE = 1e7
"""An estimate of more seconds than that, some four months, is none."""

SCALE_RANGE = (0.4, 2.5)
"""Least and most real seconds that one second of a clock is taken to last."""

MIN_ESTIMATE_SLOPE = 1 / SCALE_RANGE[1]
"""
An estimate that loses more than this many of its seconds in one real second is moving. One that falls more slowly
falls too slowly to be put right.
"""

MIN_PROGRESS_SLOPE = 0.5
"""The same for the progress; more, since its seconds are real ones, and one that slows down falls slowly for ever."""

SMOOTHING = 0.5
"""How far each answer moves what is known of a clock's scale and error from the old value to the new one."""

INITIAL_ERROR = 0.3
"""The error that a clock is taken to have before it has shown one, as a share of the seconds left."""

STEADY_ERROR = 0.15
"""A clock with a smaller error is steady."""

MUCH_STEADIER = 0.35
"""The progress is preferred to the estimate if its error is below this share of the estimate's."""

RUN_OUT = 2.0
"""A clock with so few seconds left has run out: the next answers tell more than it does."""

NEAR = 10.0
"""With so few seconds left, the next question is aimed at the end itself."""

MARGIN = 0.5
"""Seconds to ask after the expected end: a question just before it is wasted and brings another pause."""

FAR_SHARE = 0.7
"""Share of the time left to sleep while the end is far: the rest corrects an estimate that was too long."""

MIN_PAUSE = 2.0
"""Fewest seconds between two questions, unless ``poll_interval`` is shorter."""

BACKOFF_FACTOR = 1.5
"""How much longer each pause is than the one before while a clock has run out or the service is in trouble."""


def with_jitter(seconds: float, jitter: Callable[[], float] = random.random) -> float:
    """Return the pause a little shorter or longer, the same on average."""
    return seconds * (1 + JITTER * (jitter() - 0.5))


class PollPolicy(msgspec.Struct, kw_only=True):
    """
    Says how long to sleep before the next question of one wait. Has no clock: it is told what was answered when.

    :param poll_interval: seconds between two questions while nothing better is known.
    """

    poll_interval: float

    def __post_init__(self) -> None:
        if not self.poll_interval > 0:
            raise BadSettings(f"the interval must be a number of seconds above 0, not {self.poll_interval!r}")

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """
        Return the seconds to sleep after an answer that said the task is still running.

        :param estimated_remaining: the service's estimate in seconds, whatever it is.
        :param progress: per cent done, whatever it is.
        :param now: seconds since any moment, the same for all answers of a wait.
        """
        raise NotImplementedError

    def after_error(self, trouble: Trouble, *, in_a_row: int) -> float:
        """
        Return the seconds to sleep after a question that brought no answer: longer each time, up to a minute.

        :param in_a_row: how many questions in a row have brought none, this one included.
        """
        pause = min(self.poll_interval * BACKOFF_FACTOR ** min(in_a_row - 1, 20), max(BACKOFF_MAX, self.poll_interval))
        if trouble.kind is Kind.THROTTLED and trouble.retry_after is not None:
            pause = max(pause, min(trouble.retry_after, RETRY_AFTER_MAX))
        return pause


class FixedInterval(PollPolicy, kw_only=True):
    """Asks at a fixed interval, for waits that hold a process and whose user set the pace."""

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the interval, whatever was answered."""
        return self.poll_interval


class JitteredInterval(PollPolicy, kw_only=True):
    """
    Asks seldom, because the service calls back when the task has ended; for callbacks that get lost.

    :param jitter: returns a number from 0 up to 1.
    """

    jitter: Callable[[], float] = random.random

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the interval, whatever was answered."""
        return with_jitter(self.poll_interval, self.jitter)


class Clock(msgspec.Struct):
    """
    One account of the seconds left, and how far it has earned belief.

    All of it may be lost at any time; the wait then begins to learn anew.
    """

    falls: float
    """How many of its seconds it has to lose in a real one to be moving."""
    said: float = 0.0
    """The seconds left by its own last word."""
    said_at: float | None = None
    believed: bool = False
    misses: int = 0
    """How often in a row it has not fallen."""
    scale: float = 1.0
    """Real seconds to one of its own."""
    error: float = INITIAL_ERROR
    """How far off its last forecasts of its next word were, as a share of the seconds left; a running mean."""

    @property
    def left(self) -> float:
        """The real seconds left, as far as this clock can tell."""
        return self.scale * self.said

    @property
    def has_run_out(self) -> bool:
        """Whether the end should be there by now."""
        return self.said <= RUN_OUT

    @property
    def is_steady(self) -> bool:
        """Whether it goes on saying what it said before."""
        return self.error < STEADY_ERROR

    def hear(self, said: float, now: float) -> None:
        """Take note of its seconds left at a moment."""
        if self.said_at is not None and now > self.said_at:
            self._learn(self.said - said, now - self.said_at, said)
        self.said = said
        self.said_at = now

    def _learn(self, fallen: float, seconds: float, said: float) -> None:
        left_before = self.left
        if fallen > self.falls * seconds:
            self.believed, self.misses = True, 0
            least, most = SCALE_RANGE
            self.scale += SMOOTHING * (min(max(seconds / fallen, least), most) - self.scale)
        elif said > RUN_OUT:
            # One miss is forgiven: an estimate with noise on it rises now and then. One that has run out has
            # nothing left to lose.
            self.misses += 1
            self.believed = self.believed and self.misses < 2
        off = abs(self.scale * said - (left_before - seconds)) / max(left_before, 5.0)
        self.error += SMOOTHING * (min(off, 1.0) - self.error)


class AdaptiveInterval(PollPolicy, kw_only=True):
    """
    Asks when the task should be done, once its own word about that has proved true; see the module's text.

    :param max_poll_interval: most seconds between two questions while the task is running. With no more than
        ``poll_interval`` here, no pause is longer than that one, jitter apart.
    :param jitter: returns a number from 0 up to 1.
    """

    max_poll_interval: float
    jitter: Callable[[], float] = random.random
    seconds_left: float | None = None
    """
    What the last answer said about the end: the seconds by the clock that counts or, while none is believed, by any.
    ``None`` if it said nothing.
    """
    _estimate: Clock = msgspec.field(default_factory=lambda: Clock(MIN_ESTIMATE_SLOPE))
    _progress: Clock = msgspec.field(default_factory=lambda: Clock(MIN_PROGRESS_SLOPE))
    _progress_began: tuple[float, float] | None = None
    _pauses_since_run_out: int = 0

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the seconds to sleep after an answer that said the task is still running."""
        said = self._hear_estimate(estimated_remaining, now)
        estimate = _if_believed(said)
        shown = self._hear_progress(progress, now)
        clock = _chosen(estimate, _if_believed(shown))
        counts = clock or said or shown
        self.seconds_left = counts.left if counts else None
        return with_jitter(self._pause(clock, estimate), self.jitter)

    def after_error(self, trouble: Trouble, *, in_a_row: int) -> float:
        """Return the seconds to sleep after a question that brought no answer, never less than was asked for."""
        return super().after_error(trouble, in_a_row=in_a_row) * (1 + JITTER * self.jitter())

    def _hear_estimate(self, seconds: float | None, now: float) -> Clock | None:
        """Return the estimate's clock if there is an estimate."""
        if seconds is None or not seconds <= MAX_ESTIMATE:
            return None
        self._estimate.hear(max(seconds, 0), now)
        return self._estimate

    def _hear_progress(self, per_cent: float | None, now: float) -> Clock | None:
        """Return the progress's clock if there is progress."""
        if per_cent is None or not 0 <= per_cent <= 100:
            return None
        if self._progress_began is None or per_cent < self._progress_began[1]:
            self._progress_began = (now, per_cent)
        began, per_cent_then = self._progress_began
        # From the first progress seen, not since the task's start, which nobody knows here; and not from the last
        # answer, since whole per cents are too coarse for that.
        if now <= began or per_cent <= per_cent_then:
            return None
        self._progress.hear((100 - per_cent) * (now - began) / (per_cent - per_cent_then), now)
        return self._progress

    def _pause(self, clock: Clock | None, estimate: Clock | None) -> float:
        if clock is None:
            return self.poll_interval
        shortest = min(MIN_PAUSE, self.poll_interval)
        if clock.has_run_out:
            self._pauses_since_run_out += 1
            return min(shortest * BACKOFF_FACTOR ** min(self._pauses_since_run_out - 1, 20), self.poll_interval)
        self._pauses_since_run_out = 0
        aim = clock.left + MARGIN if clock.left <= NEAR else max(FAR_SHARE * clock.left, NEAR / 2)
        longest = self.poll_interval
        if estimate is not None or clock.is_steady:
            longest = max(longest, self.max_poll_interval)
        return min(max(aim, shortest), longest)


def _if_believed(clock: Clock | None) -> Clock | None:
    return clock if clock is not None and clock.believed else None


def _chosen(estimate: Clock | None, progress: Clock | None) -> Clock | None:
    """Return the clock to go by, of those that are believed."""
    if estimate is None or progress is None:
        return estimate or progress
    if estimate.is_steady and progress.is_steady:
        still_running = [clock for clock in (estimate, progress) if not clock.has_run_out]
        return min(still_running or [estimate], key=lambda clock: clock.left)
    return progress if progress.error < MUCH_STEADIER * estimate.error else estimate


def poll_policy(settings: TaskSettings, *, in_worker: bool = False) -> PollPolicy:
    """Return how the wait for one task polls."""
    if in_worker:
        return FixedInterval(poll_interval=settings.poll_interval)
    if settings.expect_callback:
        return JitteredInterval(poll_interval=settings.callback_poll_interval)
    return AdaptiveInterval(poll_interval=settings.poll_interval, max_poll_interval=settings.max_poll_interval)
