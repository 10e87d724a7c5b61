"""Whose turn it is, where more questions are due than may be asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_seeany.api.poll_queue import EXPLORE_EVERY, PollQueue


def turns_of(count: int, *, ends: Callable[[int], float | None], due: float = 10.0) -> PollQueue:
    """Return turns in which each place was asked about once, at time 0, and is due again."""
    turns = PollQueue(range(count), 0.0)
    for place in range(count):
        assert turns.take(0.0) == place
        turns.record(place, had_ended=False)
        turns.push(place, due=due, ends=ends(place))
    return turns


def test_nobody_has_a_turn_before_it_is_due() -> None:
    turns = turns_of(3, ends=lambda place: 0.0)

    assert turns.next_at == 10.0


def test_who_should_have_ended_goes_first() -> None:
    turns = turns_of(4, ends=lambda place: {1: 60.0, 3: 50.0}.get(place, 500.0))

    assert [turns.take(100.0) for _ in range(4)] == [3, 1, 0, 2]


def test_who_should_not_have_ended_is_polled_all_the_same_when_due() -> None:
    turns = turns_of(2, ends=lambda place: None if place else 500.0)

    assert [turns.take(10.0) for _ in range(2)] == [0, 1]
    assert not turns
    assert turns.next_at == float("inf")


def test_a_word_that_proves_false_loses_its_precedence() -> None:
    """The even ones say that they have ended, and have not; the odd ones say nothing, and have."""
    turns = turns_of(400, ends=lambda place: None if place % 2 else 0.0)
    taken = []
    for _ in range(200):
        taken.append(place := turns.take(10.0))
        turns.record(place, had_ended=place % 2 == 1)

    assert sum(place % 2 for place in taken[:10]) <= 2
    # As if nobody had said anything: each in turn.
    assert sum(place % 2 for place in taken[100:]) >= 40


def test_a_word_that_has_become_true_is_believed_again() -> None:
    turns = turns_of(1000, ends=lambda place: None if place % 2 else 0.0)
    for true in (False, True):
        taken = []
        for _ in range(300):
            taken.append(place := turns.take(10.0))
            turns.record(place, had_ended=true if place % 2 == 0 else not true)

    assert sum(place % 2 == 0 for place in taken[200:]) >= 100 - 2 * 100 // EXPLORE_EVERY


def test_a_place_that_waits_in_both_lines_has_one_turn() -> None:
    turns = turns_of(5, ends=lambda place: 1.0)

    assert sorted(turns.take(50.0) for _ in range(5)) == [0, 1, 2, 3, 4]
    assert not turns


def test_a_request_comes_just_after_the_end_and_not_just_before() -> None:
    turns = turns_of(2, ends=lambda place: 60.0 if place == 1 else None)

    assert turns.take(60.2) == 0
    turns.record(0, had_ended=False)
    turns.push(0, due=60.3, ends=None)
    assert turns.take(60.6) == 1


@pytest.mark.parametrize("count", range(2, 25))
def test_who_should_have_ended_goes_first_however_many_were_polled_without_a_choice(count: int) -> None:
    turns = turns_of(count, ends=lambda place: 50.0 if place == count - 1 else None)

    assert turns.take(100.0) == count - 1


def test_a_word_is_believed_though_others_had_ended_at_the_first_look() -> None:
    turns = PollQueue(range(40), 0.0)
    for place in range(40):
        turns.take(0.0)
        turns.record(place, had_ended=place % 2 == 0)
        if place % 2:
            turns.push(place, due=10.0 + place, ends=100.0 - place)

    assert [turns.take(200.0) for _ in range(5)] == [39, 37, 35, 33, 31]
