"""
Simulates waits to compare poll interval rules: ``python -m benchmarks.policy`` prints the table.

A cell is: requests per task / mean latency / 95th percentile of the latency, in seconds. The latency runs from the
end of the task to the poll that notices it. Durations are lognormal around 90 s, redrawn outside 30 to 600 s: clipping
would end one task in twenty at exactly 30 s, in step with every 10 s, and flatter a fixed interval without jitter. The
first poll comes 10 s after the start. The worker's poll before it defers is not counted, since it is the same for every
rule. Everything is drawn from a fixed seed.

Estimates (columns), in whole seconds as in the platform's example:

- exact: the seconds left; ±30 %: times 0.7 to 1.3, redrawn for each response; low 2×, high 2×: half of it, twice it
- stuck: always 90; absent: none; stalls: exact until 30 % of the task are left, then constant
- confident fiction: falls by one second a second, to 1, from the length of an unrelated task

Progress (named in the row), in whole per cent, 99 at most:

- absent: none; linear: the share of the time that has passed
- uneven: at 0.2 to 1.8 times that pace, differently for each task
- tied: computed from the estimate and the age, so no independent evidence; slowing: 63 % after the first third

The second table is for tasks that give neither an estimate nor progress, with an expected duration (columns) that is
right, off by up to 10 or 30 %, or two or three times too short (÷) or too long (×).

Without progress, the adaptive rule uses the estimate alone. Over several seeds, using the progress costs at most 0.05
requests and 0.1 s in any cell, except "stalls", where 0.3 more requests can save 7 s.

Alternatives that were tried and are not in ``api/intervals.py``, with 800 to 1500 tasks of the same kind and
MIN_ESTIMATE_SLOPE at 0.3 (then 7.0 requests and 1.6 s at ±30 %, instead of 7.2 and 1.5 s):

- Going straight for the end, or in equal steps, while the forecasts agree: 5.8 to 6.1 requests for an exact estimate
  instead of 6.5, but a mean latency of 2.1 s instead of 1.6 s at ±30 %, and 1.5 s instead of 0.8 s at high 2×. Fewer
  polls on the way notice later that an estimate is fiction: an estimate alone cannot improve both columns.
- Always using the sooner of both forecasts: 2.0 s instead of 8.3 s for fiction with linear progress, but 7.1 requests
  instead of 6.5 for an exact estimate beside uneven progress.
- The pace of the progress since the last response instead of the first: whole per cents make it so coarse that slowing
  progress without an estimate was trusted, with a mean latency of 9.0 s instead of 5.3 s. Trusting progress as easily
  as an estimate (MIN_PROGRESS_SLOPE at 0.3): 7.1 s instead of 5.1 s where it is tied to a stuck estimate.
- Trusting an estimate for good once it has fallen: 1.0 s more latency where it stalls, no gain elsewhere. Distrusting
  it at the first miss: 7.4 requests instead of 7.0 at ±30 %.
- No poll before 0.7 of the expected duration except every 30 s: right within ±30 %, it saves 4 of 11.3 requests without
  an estimate and 0.6 of 6.4 beside an exact one, which the worker's poll saves too. Twice too long, it costs a mean
  latency of 15 s in every column, since nothing can contradict it.
- Using the expected duration until an estimate or the progress is trusted, not only until there is one: 0.7 requests
  less beside linear progress, but a mean latency of 1.5 s instead of 1.0 s if it is three times too long, and 6.2 s
  instead of 5.0 s if it is off by 10 % beside a progress that is tied to a stuck estimate.
- Straight to the end once two responses in a row agree within 16 %, with a jitter of at most 0.25 s (5 % of a long
  pause would often miss the end) and the worker's poll: 2.1 requests and 0.6 s for an exact estimate instead of 5.8
  and 0.7 s, 2.4 and 0.6 s with pauses of at most 120 s, the same with other seeds. That is what fewer than 3 requests
  cost: an estimate that falls by one second a second, to a wrong end, looks exact until that end. Fiction then takes
  a mean latency of 36 s (22 s with 120 s) instead of 8 s, high 2× 2.6 s (1.8 s) instead of 0.8 s.
- Short pauses after the expected end whatever was saved before: a mean latency of 2.9 s instead of 4.7 s at ±10 %, but
  13.9 requests instead of 11.5 if it is three times too short.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from airflow_provider_seeany.api.intervals import AdaptiveInterval, ExpectedEnd, PollPolicy

TASKS = 2500
SEED = 20260603
FIRST_POLL = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """One simulated task, drawn in advance, so that it is the same for every rule."""

    seconds: float
    other_seconds: float
    """The length of an unrelated task."""
    phases: tuple[float, float]
    """The phases of the waves of its uneven progress, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The average cost of a rule."""

    requests: float
    mean_latency: float
    p95_latency: float

    def __str__(self) -> str:
        return f"{self.requests:.1f}/{self.mean_latency:.1f}/{self.p95_latency:.1f}"


Estimate = Callable[[Task, float, random.Random], float | None]
Progress = Callable[[Task, float, float | None], float | None]
Expectation = Callable[[Task, random.Random], float | None]
Rule = Callable[[Callable[[], float], float | None], PollPolicy]
"""Creates the rule for one wait, given its source of jitter and the expected duration."""


class HalfEstimate(PollPolicy, kw_only=True):
    """Half of the estimate, between 2 and 30 s: the obvious rule, for comparison."""

    def after_response(self, *, estimated_remaining: float | None, progress: float | None, now: float) -> float:
        """Return the interval after a response that the task is still running."""
        if estimated_remaining is None:
            return self.poll_interval
        return min(max(0.5 * estimated_remaining, 2.0), 30.0)


def _uneven(task: Task, age: float) -> float:
    done = age / task.seconds
    bent = done
    for waves, phase in zip((1, 3), task.phases, strict=True):
        shift = 2 * math.pi * phase
        bent += 0.4 / (2 * math.pi * waves) * (math.sin(2 * math.pi * waves * done + shift) - math.sin(shift))
    return min(max(bent, 0.0), 1.0)


ESTIMATES: Mapping[str, Estimate] = {
    "exact": lambda task, age, chance: task.seconds - age,
    "±30 %": lambda task, age, chance: (task.seconds - age) * chance.uniform(0.7, 1.3),
    "low 2×": lambda task, age, chance: (task.seconds - age) / 2,
    "high 2×": lambda task, age, chance: (task.seconds - age) * 2,
    "stuck": lambda task, age, chance: 90.0,
    "absent": lambda task, age, chance: None,
    "stalls": lambda task, age, chance: max(task.seconds - age, 0.3 * task.seconds),
    "confident fiction": lambda task, age, chance: max(task.other_seconds - age, 1.0),
}

PROGRESSES: Mapping[str, Progress] = {
    "absent": lambda task, age, estimate: None,
    "linear": lambda task, age, estimate: age / task.seconds,
    "uneven": lambda task, age, estimate: _uneven(task, age),
    "tied": lambda task, age, estimate: None if estimate is None else age / (age + estimate),
    "slowing": lambda task, age, estimate: 1 - math.exp(-3 * age / task.seconds),
}

EXPECTATIONS: Mapping[str, Expectation] = {
    "absent": lambda task, chance: None,
    "exact": lambda task, chance: task.seconds,
    "±10 %": lambda task, chance: task.seconds * chance.uniform(0.9, 1.1),
    "±30 %": lambda task, chance: task.seconds * chance.uniform(0.7, 1.3),
    "÷2": lambda task, chance: task.seconds / 2,
    "×2": lambda task, chance: task.seconds * 2,
    "÷3": lambda task, chance: task.seconds / 3,
    "×3": lambda task, chance: task.seconds * 3,
}


def _adaptive(maximum: float) -> Rule:
    return lambda jitter, expected: AdaptiveInterval(
        poll_interval=10,
        max_poll_interval=maximum,
        expected_end=ExpectedEnd.of(expected, began=0),
        jitter=jitter,
    )


FIXED_10: Rule = lambda jitter, expected: PollPolicy(poll_interval=10)  # noqa: E731
FIXED_5: Rule = lambda jitter, expected: PollPolicy(poll_interval=5)  # noqa: E731
HALF_ESTIMATE: Rule = lambda jitter, expected: HalfEstimate(poll_interval=10)  # noqa: E731
ADAPTIVE = {maximum: _adaptive(maximum) for maximum in (30, 20, 10)}


def draw_tasks(count: int = TASKS) -> list[Task]:
    """Return the same tasks each time."""
    chance = random.Random(SEED)

    def seconds() -> float:
        while not 30 <= (drawn := chance.lognormvariate(math.log(90), 0.6)) <= 600:
            pass
        return drawn

    return [Task(seconds(), seconds(), (chance.random(), chance.random())) for _ in range(count)]


def simulate(
    rule: Rule,
    tasks: Sequence[Task],
    *,
    estimate: str,
    progress: str = "absent",
    worker_polled: bool = False,
    expected: str = "absent",
) -> Cell:
    """
    Wait for all tasks by one rule and return its cost.

    :param estimate: a column, of ``ESTIMATES``.
    :param progress: of ``PROGRESSES``.
    :param worker_polled: whether the rule also gets the response at age 0, which the worker has received.
    :param expected: the expected duration, of ``EXPECTATIONS``.
    """
    chance = random.Random(SEED)
    jitter = random.Random(SEED + 1).random
    deviation = random.Random(SEED + 2)
    waits = [
        _wait(
            rule(jitter, EXPECTATIONS[expected](task, deviation)),
            task,
            chance,
            ESTIMATES[estimate],
            PROGRESSES[progress],
            worker_polled,
        )
        for task in tasks
    ]
    latencies = sorted(latency for _, latency in waits)
    return Cell(
        requests=fmean(requests for requests, _ in waits),
        mean_latency=fmean(latencies),
        p95_latency=latencies[int(0.95 * len(latencies))],
    )


def _wait(
    polling: PollPolicy, task: Task, chance: random.Random, estimate: Estimate, progress: Progress, worker_polled: bool
) -> tuple[int, float]:
    """Return the number of polls of one wait, and the seconds from the end to the last one."""

    def interval(age: float) -> float:
        seconds = estimate(task, age, chance)
        seconds = None if seconds is None else max(round(seconds), 0)
        done = progress(task, age, seconds)
        return polling.after_response(
            estimated_remaining=seconds,
            progress=None if done is None else min(int(100 * done), 99),
            now=age,
        )

    if worker_polled:
        interval(0.0)
    requests, age = 1, FIRST_POLL
    while age < task.seconds:
        age += interval(age)
        requests += 1
    return requests, age - task.seconds


def _table(tasks: Sequence[Task]) -> Iterator[str]:
    yield f"| rule | progress | {' | '.join(ESTIMATES)} |"
    yield f"|---|---|{'---|' * len(ESTIMATES)}"
    rows: list[tuple[str, Rule, Sequence[str], bool]] = [
        ("fixed 10 s", FIXED_10, ["absent"], False),
        ("fixed 5 s", FIXED_5, ["absent"], False),
        ("half of the estimate, 2 to 30 s", HALF_ESTIMATE, ["absent"], False),
        ("adaptive, at most 30 s", ADAPTIVE[30], list(PROGRESSES), False),
        ("the same, with the worker's poll", ADAPTIVE[30], ["absent", "linear"], True),
        ("adaptive, at most 20 s", ADAPTIVE[20], ["absent", "linear"], False),
        ("adaptive, at most 10 s", ADAPTIVE[10], ["absent", "linear"], False),
    ]
    for name, rule, progresses, worker_polled in rows:
        for progress in progresses:
            cells = [
                simulate(rule, tasks, estimate=estimate, progress=progress, worker_polled=worker_polled)
                for estimate in ESTIMATES
            ]
            yield f"| {name} | {progress} | {' | '.join(map(str, cells))} |"


def _table_of_expectations(tasks: Sequence[Task]) -> Iterator[str]:
    yield f"| rule, without estimate and progress | {' | '.join(EXPECTATIONS)} |"
    yield f"|---|{'---|' * len(EXPECTATIONS)}"
    for maximum, rule in ADAPTIVE.items():
        cells = [simulate(rule, tasks, estimate="absent", expected=expected) for expected in EXPECTATIONS]
        yield f"| adaptive, at most {maximum} s | {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    drawn = draw_tasks()
    for line in itertools.chain(_table(drawn), [""], _table_of_expectations(drawn)):
        print(line, flush=True)
