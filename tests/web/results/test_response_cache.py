"""Large responses of sums are made once for some seconds, each for those who may read the same."""

from __future__ import annotations

import time

import pytest
from sqlalchemy.orm import Session

from airflow_provider_seeany.web.results import response_cache
from airflow_provider_seeany.web.results.response_cache import ResponseCache
from tests.web.conftest import ClientOf
from tests.web.results.history import fill, record, statements

LARGE = b"x" * response_cache.MIN_BYTES


def test_twenty_viewers_of_the_same_dags_cost_one_reading(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_cache, "MIN_BYTES", 1)
    # Not near the end of one of the steps to which the range is rounded.
    now = time.time() // 10 * 10 + 5
    monkeypatch.setattr(time, "time", lambda: now)
    fill(session, [record(now - 60 - n, number=n) for n in range(40)], dag_ids=["dag_0", "dag_1"])

    with statements(session.get_bind()) as executed:
        seen = [client_of(name).get("/api/summary").json() for name in 10 * ("dag_0", "dag_1")]

    assert len(executed) == 2
    assert [{group["dag_id"] for group in summary["groups"]} for summary in seen] == 10 * [{"dag_0"}, {"dag_1"}]


def test_a_kept_response_expires_and_a_small_one_is_never_old(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ResponseCache()
    assert [cache.get("a", lambda: LARGE), cache.get("a", lambda: b"newer")] == [LARGE, LARGE]
    assert [cache.get("b", lambda: b"small"), cache.get("b", lambda: b"newer")] == [b"small", b"newer"]

    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + response_cache.SECONDS)
    assert cache.get("a", lambda: b"newer") == b"newer"


def test_the_size_of_all_kept_responses_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_cache, "MAX_BYTES", 3 * len(LARGE))
    cache = ResponseCache()
    for key in (1, 2, 3, 3, 4):
        cache.get(key, lambda: LARGE)

    assert [cache.get(key, lambda: b"") for key in (2, 3, 4)] == 3 * [LARGE]
    assert cache.get(1, lambda: b"newer") == b"newer"
