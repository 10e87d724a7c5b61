"""The sums of what was spent: exact, complete, of own DAGs only, and cached."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from threading import Event
from zoneinfo import ZoneInfo

import msgspec
import pytest
from airflow import settings
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from airflow_provider_seeany.web import one_at_a_time
from airflow_provider_seeany.web.results import queries, spend, views
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, hash_part, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import convert
from tests.web.conftest import DAGS, TASK, ClientOf
from tests.web.results.history import DAY, NOON, fill, push_foreign, push_xcoms, record, statements, tasks


def test_costs_are_summed_exactly_by_currency(client_of: ClientOf, session: Session) -> None:
    records = [record(NOON, number=n, cost={"CNY": "0.1"}) for n in range(3)]
    records += [record(NOON, number=9, cost={"USD": "0.2"}), record(NOON, number=10, state="failed", cost={})]
    # What a batch may have cost.
    records += [record(NOON, seeany_task_id=None, cost={"CNY": "12345678901234.07", "USD": "0.1"}) for _ in range(2)]
    fill(session, records, dag_ids=["dag_0"])

    completed, failed = client_of("admin").get("/api/summary").json()["groups"]
    assert (completed["count"], failed["count"]) == (6, 1)
    assert completed["cost"] == [{"unit": "CNY", "amount": "24691357802468.44"}, {"unit": "USD", "amount": "0.4"}]
    assert failed["cost"] == []


def test_sums_hold_costs_in_more_currencies_than_a_key_has_room_for(client_of: ClientOf, session: Session) -> None:
    at = NOON
    many = {f"currency {number:02}": "0.1" for number in range(60)}
    records = [record(at, number=1, cost=many), record(at - 1, number=1, cost=many), record(at, number=2, cost=many)]
    records.append(record(at, number=3))
    fill(session, records, dag_ids=["dag_0"])

    (group,) = client_of("admin").get("/api/summary").json()["groups"]
    assert group["count"] == 3
    assert {money["unit"]: money["amount"] for money in group["cost"]} == {"CNY": "0.7", **dict.fromkeys(many, "0.2")}


def test_what_is_cleared_costs_nothing_any_more(client_of: ClientOf, session: Session) -> None:
    fill(session, [record(NOON - 60, number=1), record(NOON - 61, number=2)], dag_ids=["dag_0"])
    client = client_of("admin")
    assert sum(group["count"] for group in client.get("/api/summary").json()["groups"]) == 2
    session.execute(delete(XComModel).where(XComModel.map_index == 1))
    session.commit()

    (group,) = client.get("/api/summary").json()["groups"]
    assert (group["count"], group["cost"]) == (1, [{"unit": "CNY", "amount": "0.7"}])


def test_a_task_that_was_waited_for_twice_is_paid_once(client_of: ClientOf, session: Session) -> None:
    # Of the same moment if SeeAny sends the time of completion, else of the moments at which that was seen.
    fill(session, [record(at, number=1) for at in (NOON, NOON, NOON + 5)], dag_ids=["dag_0"])

    (group,) = client_of("admin").get("/api/summary").json()["groups"]
    assert (group["count"], group["cost"]) == (1, [{"unit": "CNY", "amount": "0.7"}])


@pytest.mark.parametrize("range_", [{"until": 253_402_300_799}, {"since": 253_402_300_799}, {"since": 0, "until": 0}])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "no such zone"])
def test_a_range_at_an_end_of_the_calendar_is_empty(client_of: ClientOf, range_: dict[str, int], zone: str) -> None:
    client = client_of("admin")
    assert client.get("/api/results", params=range_).json()["results"] == []
    assert client.get("/api/summary", params={**range_, "zone": zone}).json()["groups"] == []


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("UTC", "2026-11-23T16:30:00+00:00", "2026-11-23"),
        ("Asia/Shanghai", "2026-11-23T16:30:00+00:00", "2026-11-24"),
        ("Asia/Kolkata", "2026-11-23T18:29:00+00:00", "2026-11-23"),
        # Before and after the clocks were put back on the first of November.
        ("America/New_York", "2026-10-24T04:30:00+00:00", "2026-10-24"),
        ("America/New_York", "2026-11-01T03:59:59+00:00", "2026-10-31"),
        ("America/New_York", "2026-11-02T04:59:59+00:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T05:00:00+00:00", "2026-11-02"),
        # Where a day has no midnight, and where clocks are set by half an hour.
        ("Africa/Cairo", "2026-04-23T22:00:00+00:00", "2026-04-24"),
        ("Australia/Lord_Howe", "2026-04-04T13:00:00+00:00", "2026-04-05"),
        ("America/New_York", "2026-11-24T04:30:00+00:00", "2026-11-23"),
    ],
)
def test_days_are_those_of_the_viewer(session: Session, zone: str, moment: str, day: str) -> None:
    at = int(datetime.fromisoformat(moment).timestamp())
    fill(session, [record(at)], dag_ids=["dag_0"])
    filters = views.Filters(since=at - 40 * DAY, until=at + 40 * DAY)

    (group,) = queries.groups(session, readable=DAGS, filters=filters, zone=ZoneInfo(zone))
    assert group.day.isoformat() == day
    assert group.cost == [queries.Money("CNY", Decimal("0.7"))]


FORGED_AMOUNTS = ["-5", "1E%2B398", "1E~2B398", "1E~2B16", "NaN", "Infinity", "9" * 60, "0x10", "1_000", ""]


@pytest.mark.parametrize("amount", FORGED_AMOUNTS)
def test_amounts_that_no_service_charges_are_not_summed(client_of: ClientOf, session: Session, amount: str) -> None:
    fill(session, [record(NOON - 60, number=1), record(NOON - 50, number=2, cost={"CNY": amount})], dag_ids=["dag_0"])
    push_foreign(session, f"{key_at(NOON - 40)}:0123456789abcdef:{hash_part('dag_0')}:c:c:CNY={amount}")

    groups = client_of("admin").get("/api/summary").json()["groups"]
    assert [money for group in groups for money in group["cost"]] == [{"unit": "CNY", "amount": "0.7"}]
    rows = client_of("admin").get("/api/results").json()["results"]
    assert [row["cost"] for row in rows] == [[], [{"unit": "CNY", "amount": "0.7"}]]
    view = client_of("admin").get(TASK.format("dag_0", rows[0]["run_id"], rows[0]["map_index"])).json()
    assert view["result"]["cost"] == []


@pytest.mark.parametrize("cost", [{"CNY": "500"}, {f"currency {number:02}": "500" for number in range(60)}, {}])
def test_no_dag_can_add_to_the_spend_of_another(client_of: ClientOf, session: Session, cost: dict[str, str]) -> None:
    fill(session, [record(NOON - 60, number=1)], dag_ids=["dag_0"])
    fill(session, [record(NOON - 60, number=2)], dag_ids=["dag_1"])
    row = session.execute(select(XComModel.dag_run_id, XComModel.run_id).where(XComModel.dag_id == "dag_1")).first()
    assert row is not None
    forged = record(NOON - 30, number=3, cost=cost).xcoms(TaskInstanceKey("dag_0", "r", "t", 0))
    key = forged[PROGRESS_KEY]["record"]
    values = {"dag_id": "dag_1", "task_id": "wait", "map_index": 0, "timestamp": datetime.now(UTC)}
    session.execute(insert(XComModel).values(**row._mapping, **values, key=key, value=forged[key]))
    session.commit()

    groups = client_of("admin").get("/api/summary").json()["groups"]
    one = [{"unit": "CNY", "amount": "0.7"}]
    assert [(group["dag_id"], group["count"], group["cost"]) for group in groups] == [
        ("dag_0", 1, one),
        ("dag_1", 1, one),
    ]
    assert client_of("dag_0").get("/api/summary").json()["groups"] == groups[:1]


def test_a_record_of_its_own_key_does_not_hide_the_costs_of_another_dag(client_of: ClientOf, session: Session) -> None:
    many = {f"currency {number:02}": "0.1" for number in range(60)}
    fill(session, [record(NOON - 60, number=1, cost=many)], dag_ids=["dag_0"])
    fill(session, [record(NOON - 50, number=2)], dag_ids=["dag_1"])
    (key,) = session.scalars(select(XComModel.key).where(XComModel.key.endswith(":~"))).all()
    row = session.execute(
        select(XComModel.dag_run_id, XComModel.run_id, XComModel.dag_id).where(XComModel.dag_id == "dag_1")
    ).first()
    assert row is not None
    values = {"task_id": "wait", "map_index": 0, "timestamp": datetime.now(UTC)}
    session.execute(insert(XComModel).values(**row._mapping, **values, key=key, value={"state": "completed"}))
    session.commit()

    (group,) = client_of("dag_0").get("/api/summary").json()["groups"]
    assert {money["unit"]: money["amount"] for money in group["cost"]} == dict.fromkeys(many, "0.1")


@pytest.fixture
def _cached_from_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "MIN_CACHED_RESULTS", 1)


def groups_of(name: str, filters: views.Filters) -> list[views.Group]:
    with create_session(scoped=False) as session:
        return queries.groups(session, readable={name}, filters=filters, zone=ZoneInfo("UTC"))


@pytest.mark.usefixtures("_cached_from_one_on")
def test_concurrent_requests_for_the_same_range_cause_one_reading_and_return_own_dags_only(session: Session) -> None:
    today = int(time.time()) // DAY * DAY
    fill(session, [record(today - DAY, number=n) for n in range(40)], dag_ids=["dag_0", "dag_1"])
    filters = views.Filters(since=today - 300 * DAY, until=today)
    names = [f"dag_{number % 3}" for number in range(1 + one_at_a_time.MAX_WAITING)]

    with statements(session.get_bind()) as executed, ThreadPoolExecutor(len(names)) as pool:
        seen = list(pool.map(lambda name: groups_of(name, filters), names))

    assert len(executed) == math.ceil(300 / 31)
    for name, groups in zip(names, seen, strict=True):
        assert [(group.dag_id, group.count) for group in groups] == ([(name, 20)] if name != "dag_2" else [])


@contextmanager
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the sums of another request be under way."""
    release, is_under_way = Event(), Event()

    def add_up(_: object, days: Sequence[spend.Day]) -> dict[spend.Day, tuple[spend.Sums, int]]:
        is_under_way.set()
        release.wait()
        return {day: ({}, 0) for day in days}

    monkeypatch.setattr(spend, "_compute", add_up)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(queries.SPEND.sums, settings.NonScopedSession(), [])
        assert is_under_way.wait(10)
        try:
            yield
        finally:
            release.set()


def test_a_request_that_would_wait_too_long_for_sums_gets_a_503(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_at_a_time, "MAX_WAIT", 0.01)
    client = client_of("admin")
    with busy(monkeypatch):
        response = client.get("/api/summary")

        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert client.get("/api/results").status_code == 200
    assert client.get("/api/summary").status_code == 200


def test_only_a_few_threads_of_the_api_server_wait_for_sums(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of Airflow's own plain routes share these threads, 40 of them."""
    client = client_of("admin")
    monkeypatch.setattr(one_at_a_time, "MAX_WAIT", 3600.0)
    count = 40
    with ThreadPoolExecutor(count) as pool, busy(monkeypatch):
        pending = [pool.submit(client.get, "/api/summary") for _ in range(count)]
        rejected = [
            each.result().status_code for each in islice(as_completed(pending), count - one_at_a_time.MAX_WAITING)
        ]
        assert rejected == [503] * (count - one_at_a_time.MAX_WAITING)
        assert sum(each.done() for each in pending) == count - one_at_a_time.MAX_WAITING
    assert [each.result().status_code for each in pending].count(200) == one_at_a_time.MAX_WAITING


@pytest.mark.usefixtures("_cached_from_one_on")
def test_cached_sums_serve_every_filter_and_expire(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    today = int(time.time()) // DAY * DAY
    records = [record(today - DAY, number=1), record(today - DAY, number=2, state="failed", conn_id="studio")]
    fill(session, records, dag_ids=["dag_0"])
    range_ = {"since": today - 3 * DAY, "until": today}
    assert len(groups_of("dag_0", views.Filters(**range_))) == 2

    with statements(session.get_bind()) as executed:
        for more in ({"state": "failed"}, {"conn_id": "studio"}, {"dag_id": "dag_0", "state": "failed"}):
            (group,) = groups_of("dag_0", views.Filters(**range_, **more))
            assert (group.state, group.conn_id) == ("failed", "studio")
        assert groups_of("dag_1", views.Filters(**range_)) == []
    assert executed == []

    session.execute(delete(XComModel))
    session.commit()
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3600)
    assert groups_of("dag_0", views.Filters(**range_)) == []


@pytest.mark.usefixtures("_cached_from_one_on")
def test_the_number_of_cached_sums_is_limited(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "MAX_CACHED_SUMS", 10)
    today = int(time.time()) // DAY * DAY
    fill(session, [record(today - DAY * (1 + n % 9), number=n) for n in range(40)], dag_ids=["dag_0"])
    by_day = spend.SpendByDay()
    with create_session(scoped=False) as own:
        days = queries._days(views.Filters(since=today - 9 * DAY, until=today), ZoneInfo("UTC"))
        by_day.sums(own, days)
    assert len(by_day._cache) == 5


NOW = int(time.time())
EVERYTHING = views.Filters(since=NOW - 366 * DAY, until=NOW + 3600)


def groups(session: Session) -> list[views.Group]:
    return queries.groups(session, readable=["dag_0", "dag_1"], filters=EVERYTHING, zone=ZoneInfo("UTC"))


def test_the_sums_of_a_year_are_complete(session: Session) -> None:
    days = range(1, 361, 10)
    fill(session, [record(NOW - DAY * day, number=day) for day in days], dag_ids=["dag_0"])

    assert [group.count for group in groups(session)] == [1] * len(days)


def test_costs_without_room_in_keys_are_not_mixed_up(session: Session) -> None:
    """As those of batches in many currencies, with different states and connections."""
    costs = [{f"currency {number:02}": str(amount) for number in range(60)} for amount in (1, 2, 4, 8)]
    records = [
        record(NOW - DAY, number=1, cost=costs[0]),
        record(NOW - DAY, number=2, cost=costs[1], state="failed"),
        record(NOW - DAY, number=3, cost=costs[2], conn_id="studio"),
        *[record(NOW - DAY, number=9)] * 7,
        record(NOW - DAY, number=4, cost=costs[3]),
    ]
    fill(session, records, dag_ids=["dag_0", "dag_1"])

    amounts = {
        (group.dag_id, group.conn_id, group.state): {str(money.amount) for money in group.cost} - {"0.7"}
        for group in groups(session)
    }
    assert amounts == {
        ("dag_0", "seeany_default", "completed"): {"1"},
        ("dag_0", "seeany_default", "failed"): {"2"},
        ("dag_0", "studio", "completed"): {"4"},
        ("dag_1", "seeany_default", "completed"): {"8"},
    }


def unpriced(dag_id: str, count: int, *, first: int = 0) -> list[str]:
    """Return keys without room for their costs, each with a connection of its own, as any DAG may push them."""
    begin = f"{key_at(NOW - DAY)}:"
    return [f"{begin}{first + number:016x}:{hash_part(dag_id)}:c:conn{number}:~" for number in range(count)]


def push_records(session: Session, instance: TaskInstanceKey, keys: list[str]) -> None:
    value = msgspec.to_builtins(record(NOW - DAY, cost={"CNY": "2"}))
    push_xcoms(session, instance, dict.fromkeys(keys, value))


def test_records_whose_costs_have_no_room_in_keys_are_read_by_one_query_up_to_a_maximum(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connections a DAG invents; and its records do not crowd out another DAG's."""
    monkeypatch.setattr(spend, "MAX_READ_RECORDS", 20)
    evil, good = tasks(session, dag_ids=["dag_0", "dag_1"], count=20)[:11:10]
    push_records(session, evil, unpriced("dag_0", 300))
    push_records(session, good, unpriced("dag_1", 5, first=1000))

    with statements(session.get_bind()) as executed, fetched(monkeypatch) as read:
        found = groups(session)

    assert len([statement for statement, _ in executed if "xcom.value" in statement]) == 1
    assert len(read) == 20
    assert sum(group.count for group in found) == 305
    priced = Counter(group.dag_id for group in found if group.cost)
    assert priced == {"dag_0": 15, "dag_1": 5}


def test_a_key_of_very_many_task_instances_is_not_read(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "MAX_READ_RECORDS", 5)
    instances = tasks(session, count=10)
    (key, other) = unpriced("dag_0", 2)
    for instance in instances:
        push_records(session, instance, [key])
    push_records(session, instances[0], [other])

    with fetched(monkeypatch) as read:
        found = groups(session)

    assert len(read) == 1
    assert {group.conn_id: bool(group.cost) for group in found} == {"conn0": False, "conn1": True}


@contextmanager
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Note which values are read for sums."""
    read: list[object] = []
    monkeypatch.setattr(spend, "convert", lambda value, kind: read.append(value) or convert(value, kind))
    yield read
