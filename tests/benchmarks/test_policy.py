"""The cost of poll interval rules in simulation."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.policy import ADAPTIVE, ESTIMATES, EXPECTATIONS, FIXED_10, PROGRESSES, Cell, Task, draw_tasks, simulate

# Tolerance of a mean over so few tasks.
REQUESTS = 0.15
LATENCY = 0.2


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return draw_tasks(500)


def test_an_exact_estimate_saves_two_polls_in_five_and_most_of_the_latency(tasks: list[Task]) -> None:
    cell = simulate(ADAPTIVE[30], tasks, estimate="exact")

    assert cell.requests <= 6.6
    assert cell.mean_latency <= 0.8


def test_a_noisy_estimate_is_nearly_as_good(tasks: list[Task]) -> None:
    cell = simulate(ADAPTIVE[30], tasks, estimate="±30 %")

    assert cell.requests <= 7.6
    assert cell.mean_latency <= 1.6


@pytest.mark.parametrize("estimate", ["stuck", "absent"])
@pytest.mark.parametrize("progress", PROGRESSES)
def test_without_an_estimate_it_is_no_worse_than_the_fixed_interval(
    tasks: list[Task], estimate: str, progress: str
) -> None:
    fixed = simulate(FIXED_10, tasks, estimate=estimate)

    assert_no_worse(simulate(ADAPTIVE[30], tasks, estimate=estimate, progress=progress), fixed)


@pytest.mark.parametrize("estimate", [name for name in ESTIMATES if name != "stalls"])
@pytest.mark.parametrize("progress", [name for name in PROGRESSES if name != "absent"])
def test_using_the_progress_makes_nothing_worse(tasks: list[Task], estimate: str, progress: str) -> None:
    alone = simulate(ADAPTIVE[30], tasks, estimate=estimate)

    assert_no_worse(simulate(ADAPTIVE[30], tasks, estimate=estimate, progress=progress), alone)


def test_linear_progress_finds_the_end_without_an_estimate_and_beside_a_wrong_one(tasks: list[Task]) -> None:
    for estimate in ("stuck", "absent", "confident fiction"):
        alone = simulate(ADAPTIVE[30], tasks, estimate=estimate)
        cell = simulate(ADAPTIVE[30], tasks, estimate=estimate, progress="linear")

        assert cell.requests < 0.8 * alone.requests
        assert cell.mean_latency < 0.7 * alone.mean_latency


def test_using_the_workers_response_saves_polls(tasks: list[Task]) -> None:
    cell = simulate(ADAPTIVE[30], tasks, estimate="exact", worker_polled=True)

    assert cell.requests < 6.1
    assert cell.mean_latency <= 0.8


@pytest.mark.parametrize(("maximum", "worker_polled"), [(30, False), (30, True), (20, False), (10, False)])
@pytest.mark.parametrize("expected", [name for name in EXPECTATIONS if name not in ("absent", "exact")])
def test_an_expected_duration_that_is_wrong_by_up_to_three_times_makes_nothing_worse(
    tasks: list[Task], expected: str, maximum: int, worker_polled: bool
) -> None:
    without = simulate(ADAPTIVE[maximum], tasks, estimate="absent", worker_polled=worker_polled)
    cell = simulate(ADAPTIVE[maximum], tasks, estimate="absent", worker_polled=worker_polled, expected=expected)

    assert cell.requests <= without.requests + 0.05
    assert cell.mean_latency <= without.mean_latency + 0.1
    assert cell.p95_latency <= without.p95_latency + 0.1


def test_an_expected_duration_that_is_right_saves_polls_and_most_of_the_latency(tasks: list[Task]) -> None:
    without = simulate(ADAPTIVE[30], tasks, estimate="absent")
    cell = simulate(ADAPTIVE[30], tasks, estimate="absent", expected="exact")

    assert cell.requests < without.requests - 1
    assert cell.mean_latency < 0.15 * without.mean_latency


@pytest.mark.parametrize("expected", ["exact", "÷3", "×3"])
def test_an_expected_duration_changes_nothing_once_the_service_says_anything_about_the_end(
    tasks: list[Task], expected: str
) -> None:
    for estimate, progress in itertools.product(ESTIMATES, PROGRESSES):
        if (estimate, progress) not in (("absent", "absent"), ("absent", "tied")):
            cell = simulate(ADAPTIVE[30], tasks[:50], estimate=estimate, progress=progress, expected=expected)
            assert cell == simulate(ADAPTIVE[30], tasks[:50], estimate=estimate, progress=progress)


def assert_no_worse(cell: Cell, than: Cell) -> None:
    assert cell.requests <= than.requests + REQUESTS
    assert cell.mean_latency <= than.mean_latency + LATENCY
