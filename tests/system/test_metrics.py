"""The metrics that a statsd server gets from all processes of a real Airflow: workers, triggerer and api-server."""

from __future__ import annotations

import pytest

from tests.system.counted import Counted, Counts
from tests.waits import starts_triggers

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("callback"), starts_triggers]


@pytest.fixture
def counts(counted: Counted) -> Counts:
    return counted.metrics


def test_every_wait_is_counted_once_by_its_end_and_by_how_it_waited(counts: Counts) -> None:
    failed = {
        (conn_id, mode, "content_policy_violation"): 1
        for conn_id in ("calls_back", "silent")
        for mode in ("deferred", "worker_free")
    }
    assert named("seeany.wait.failed", counts) == failed
    assert named("seeany.wait.completed", counts) == {
        ("calls_back", "batch"): 1,
        ("calls_back", "deferred"): 8,
        ("calls_back", "worker_free"): 2,
        ("calls_back_developer", "deferred"): 1,
        ("calls_back_developer", "worker_free"): 1,
        ("silent", "batch"): 1,
        ("silent", "deferred"): 3,
        ("silent", "poke"): 1,
        ("silent", "worker_free"): 3,
    }
    paid = {tags for tags in named("seeany.wait.completed", counts) if tags[0] != "calls_back_developer"}
    # The other dialect tells no cost.
    assert set(named("seeany.cost", counts)) == {(*tags, "CNY") for tags in paid}


def test_every_request_is_counted_in_the_process_that_makes_it(counted: Counted, counts: Counts) -> None:
    requests = named("seeany.requests", counts)
    for conn_id, made in counted.requests.items():
        assert made == sum(count for (of, _), count in requests.items() if of == conn_id), (made, requests)
    assert {mode for _, mode in requests} == {
        *("deferred", "worker_free", "poke", "batch", "callback", "submit"),
        "hook",  # a task of the DAG, which starts the tasks of a batch
    }


def test_every_callback_is_counted_by_what_became_of_it(counts: Counts) -> None:
    # A URL that is not signed, as another test calls, names no connection.
    received = {tags: count for tags, count in named("seeany.callback.received", counts).items() if len(tags) == 2}

    assert {conn_id for conn_id, _ in received} == {"calls_back", "calls_back_developer", "seeany_developer"}
    # Of those for the two DAGs, a mapped task counts twice, and two waits share one.
    assert received["calls_back", "resumed"] >= 8
    assert received["calls_back", "noted"] >= 1


def named(name: str, counts: Counts) -> dict[tuple[str, ...], float]:
    """Return the counts of one metric by its tags."""
    return {tags[1:]: count for tags, count in counts.items() if tags[0] == name}
