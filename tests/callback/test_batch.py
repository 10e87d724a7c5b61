"""What is noted of callbacks about a batch, for its trigger to read."""

from __future__ import annotations

from airflow_provider_seeany.callback.batch import MAX_KEPT, CalledBack
from airflow_provider_seeany.xcoms.record_key import hash_part


def after(*ids: str) -> CalledBack:
    called_back = CalledBack("try")
    for each in ids:
        called_back = called_back.and_about(each)
    return called_back


def test_a_trigger_is_told_of_each_callback_once() -> None:
    assert after("a", "b").since(0) == [hash_part("a"), hash_part("b")]
    assert after("a", "b", "c").since(2) == [hash_part("c")]
    assert after("a", "b").since(2) == []


def test_another_callback_about_the_same_task_is_told_again() -> None:
    assert after("a", "b", "a").since(2) == [hash_part("a")]


def test_what_the_trigger_reads_stays_small_and_says_what_it_lacks() -> None:
    many = after(*map(str, range(MAX_KEPT + 1)))

    assert len(many.tasks) == MAX_KEPT
    assert many.since(0) is None
    assert many.since(1) == [hash_part(str(number)) for number in range(1, MAX_KEPT + 1)]
