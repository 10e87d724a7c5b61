"""The keys of records contain all that sums are made of, whatever connections and currencies are called."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from airflow_provider_seeany.xcoms.record_key import (
    FIRST_KEY,
    LAST_KEY,
    MAX_KEY,
    SpendPart,
    connection_part,
    hash_part,
    record_key,
    spend_part,
    state_part,
    without_moment,
)
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

KEY = TaskInstanceKey("dag", "run", "wait")
AT = 1_795_552_215


def key(task_instance: TaskInstanceKey = KEY, **more: Any) -> str:
    fields: dict[str, Any] = {"seeany_task_id": "vid_1", "state": "completed", "conn_id": "c", "cost": {}, **more}
    return record_key(AT, task_instance=task_instance, **fields)


def read(key: str) -> SpendPart | None:
    return SpendPart.read(spend_part(without_moment(key)))


CONNECTIONS = ["seeany_default", "团队/studio", "a:b#c?d%e~f", "", "~7E", "x" * 200]
COSTS: list[dict[str, str]] = [{}, {"CNY": "0.7"}, {"USD": "0.11", "CNY": "1E+20"}, {"?": "-1"}, {"积分,=:": "3"}]


@pytest.mark.parametrize("state", ["completed", "failed", "timed_out"])
@pytest.mark.parametrize("conn_id", CONNECTIONS)
def test_a_key_can_be_read_again(conn_id: str, state: Any) -> None:
    for cost in COSTS:
        written = key(conn_id=conn_id, state=state, cost=cost)
        assert read(written) == SpendPart(hash_part("dag"), state, conn_id, cost)
        assert FIRST_KEY <= written < LAST_KEY
        for start, text in (state_part(state), connection_part(conn_id)):
            assert written[start:].startswith(text)


def test_a_connection_is_not_found_by_a_prefix_or_suffix_of_its_id() -> None:
    for other in ("studio_2", "my_studio", "Studio"):
        start, text = connection_part("studio")
        assert not key(conn_id=other)[start:].startswith(text)


@pytest.mark.parametrize("conn_id", ["c" * 250, "团" * 250])
def test_a_key_is_never_longer_than_airflow_allows(conn_id: str) -> None:
    written = key(conn_id=conn_id, cost={f"currency {number}": "0.123456789" for number in range(40)})
    part = read(written)

    assert len(written) <= MAX_KEY
    assert part is not None
    assert part.cost is None
    # The truncated id of the connection still finds its records.
    assert connection_part(part.conn_id) == connection_part(conn_id)


def test_the_same_seeany_task_has_the_same_key_and_batches_have_different_ones() -> None:
    elsewhere = TaskInstanceKey("dag", "run", "wait", 7)
    assert key() == key(elsewhere)
    assert key() != key(seeany_task_id="vid_2")
    assert key() != key(TaskInstanceKey("other", "run", "wait"))
    assert key(seeany_task_id=None) != key(elsewhere, seeany_task_id=None)
    assert key(seeany_task_id=None) != key(TaskInstanceKey("dag", "another", "wait"), seeany_task_id=None)


def test_a_wait_that_is_recorded_twice_has_one_key_in_whatever_order_its_costs_come() -> None:
    assert key(cost={"CNY": "0.7", "USD": "0.1"}) == key(cost={"USD": "0.1", "CNY": "0.7"})


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of this process cannot be set")
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_workers_in_all_time_zones_write_the_same_key(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    here = key()
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        there = key()
    time.tzset()

    assert here == there


def test_half_an_emoji_does_not_cost_the_record() -> None:
    half = "vid_\ud83d"

    assert read(key(seeany_task_id=half, conn_id=half, cost={half: "1"})) is not None
    assert key(seeany_task_id=half) != key(seeany_task_id="vid_")


def test_a_key_needs_no_escaping_in_a_url() -> None:
    for conn_id in CONNECTIONS:
        written = key(conn_id=conn_id, cost=COSTS[-1])
        assert httpx.URL(f"http://x/xcoms/dag/run/wait/{written}").raw_path.decode().rpartition("/")[2] == written


@pytest.mark.parametrize("part", ["", "x", "a:c:d", "a:x:conn:CNY=1", "a:c:conn:CNY=1:more"])
def test_what_is_no_spend_part_is_none(part: str) -> None:
    assert SpendPart.read(part) is None
