"""The metrics that a statsd server gets from all processes of a real Airflow: workers, triggerer and api-server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pytest
import requests

from tests.system.conftest import CalledBack
from tests.waits import starts_triggers

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("callback"), starts_triggers]

Counts = Mapping[tuple[str, ...], float]


@pytest.fixture(scope="module")
def counts(called_back: CalledBack) -> Counts:
    """The sums of what was counted when all waits have ended, by name and tags."""
    for run in called_back.runs.values():
        called_back.airflow.wait_for_run(run, timeout=240)
    sums: Counter[tuple[str, ...]] = Counter()
    for line in called_back.statsd.lines():
        name, value, kind = re.split(r"[:|]", line)
        if kind == "c":
            sums[tuple(re.sub(r",\w+=", ",", name).split(","))] += float(value)  # type: ignore[assignment]
    return sums


def test_every_wait_is_counted_once_by_its_end_and_by_how_it_waited(counts: Counts) -> None:
    failed = {
        (conn_id, mode, "content_policy_violation"): 1
        for conn_id in ("calls_back", "silent")
        for mode in ("deferred", "worker_free")
    }
    assert named("seeany.wait.failed", counts) == failed
    assert named("seeany.wait.completed", counts) == {
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


def test_every_request_is_counted_in_the_process_that_makes_it(called_back: CalledBack, counts: Counts) -> None:
    counted = named("seeany.requests", counts)
    simulators = {
        "calls_back": called_back.ringing,
        "calls_back_developer": called_back.developer,
        "silent": called_back.silent,
    }
    for conn_id, url in simulators.items():
        made = requests.get(f"{url}/simulator/requests", timeout=30).json()
        assert sum(made.values()) == sum(count for (of, _), count in counted.items() if of == conn_id), (made, counted)
    assert {mode for _, mode in counted} == {"deferred", "worker_free", "poke", "batch", "callback", "submit"}


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
