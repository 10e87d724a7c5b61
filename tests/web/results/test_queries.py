"""The queries for current waits, one task instance, and spend."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from airflow_provider_seeany.api.batch_result import BatchResult, Failure
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyBatchFailed
from airflow_provider_seeany.web.results import queries, spend, views
from airflow_provider_seeany.xcoms.record import Progress, Record
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, hash_part, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import Money, convert
from tests.web.results.history import DAY, fill, record, statements

NOW = int(time.time())
EVERYTHING = views.Filters(since=NOW - 366 * DAY, until=NOW + 3600)
OURS = "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"


@pytest.fixture(autouse=True)
def _no_triggers(session: Session) -> Iterator[None]:
    yield
    session.rollback()
    session.execute(delete(Trigger))
    session.commit()


def tasks(session: Session, *, dag_ids: list[str] | None = None, count: int = 1) -> list[TaskInstanceKey]:
    """Add ended task instances without XComs, ten to a run; return their keys."""
    fill(session, [record(NOW - 60, number=number) for number in range(count)], dag_ids=dag_ids or ["dag_0"])
    session.execute(delete(XComModel))
    session.commit()
    names = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    rows = session.execute(select(*names).order_by(TaskInstance.run_id, names[-1]))
    return [TaskInstanceKey.of(row) for row in rows]


def row_of(key: TaskInstanceKey) -> Any:
    """Return the conditions for the row of a task instance."""
    return [getattr(TaskInstance, column) == value for column, value in key.columns().items()]


def defer(session: Session, instance: TaskInstanceKey, *, classpath: str = OURS, state: str = "deferred") -> None:
    """Let a task instance wait in a triggerer."""
    trigger = Trigger(classpath=classpath, kwargs={})
    session.add(trigger)
    session.flush()
    session.execute(update(TaskInstance).where(*row_of(instance)).values(state=state, trigger_id=trigger.id))
    session.commit()


def push(session: Session, instance: TaskInstanceKey, xcoms: Mapping[str, Any]) -> None:
    """Push XComs of a task instance."""
    run = session.execute(select(TaskInstance).where(*row_of(instance))).scalar_one().dag_run.id
    values = [{**instance.columns(), "dag_run_id": run, "key": key, "value": value} for key, value in xcoms.items()]
    session.execute(insert(XComModel), values)
    session.commit()


def publish(session: Session, instance: TaskInstanceKey, **more: Any) -> None:
    """Publish the progress of a wait."""
    progress = Progress(**{"conn_id": "studio", "at": NOW - 5, "seeany_task_id": "vid", **more})
    push(session, instance, {PROGRESS_KEY: msgspec.to_builtins(progress)})


def waiting(session: Session, readable: tuple[str, ...] = ("dag_0", "dag_1"), **filters: Any) -> list[views.Result]:
    chosen = views.Filters(since=EVERYTHING.since, until=EVERYTHING.until, **filters)
    return queries.current_waits(session, readable=readable, filters=chosen)


def view(session: Session, instance: TaskInstanceKey) -> views.TaskView:
    found = queries.task_view(session, instance)
    assert found is not None
    return found


# Current waits.


def test_waits_of_dags_that_the_viewer_may_not_read_are_not_shown(session: Session) -> None:
    for instance in tasks(session, dag_ids=["dag_0", "dag_1"], count=20):
        defer(session, instance)

    assert {wait.dag_id for wait in waiting(session)} == {"dag_0", "dag_1"}
    assert {wait.dag_id for wait in waiting(session, ("dag_1",))} == {"dag_1"}
    assert {wait.dag_id for wait in waiting(session, dag_id="dag_0")} == {"dag_0"}
    assert waiting(session, ("dag_1",), dag_id="dag_0") == []


def test_only_waits_for_seeany_in_a_triggerer_are_current(session: Session) -> None:
    ours, another, resumed, _ = tasks(session, count=4)
    defer(session, ours)
    defer(session, another, classpath="airflow.providers.standard.triggers.temporal.DateTimeTrigger")
    defer(session, resumed, state="queued")

    assert [wait.map_index for wait in waiting(session)] == [ours.map_index]


def test_each_wait_shows_its_own_progress(session: Session) -> None:
    instances = tasks(session, count=20)
    for number, instance in enumerate(instances):
        defer(session, instance)
        publish(session, instance, percent=number, seeany_task_id=f"vid_{number}")
        push(session, instance, {"another": msgspec.to_builtins(Progress(conn_id="x", at=1, percent=99))})

    seen = [(wait.run_id, wait.map_index, wait.percent, wait.seeany_task_id) for wait in waiting(session)]
    # The newest first.
    assert seen == [
        (instance.run_id, instance.map_index, number, f"vid_{number}")
        for number, instance in reversed([*enumerate(instances)])
    ]


def test_a_wait_that_has_published_nothing_yet_is_shown(session: Session) -> None:
    (instance,) = tasks(session)
    defer(session, instance)

    (wait,) = waiting(session)
    assert (wait.state, wait.percent, wait.conn_id) == ("waiting", None, None)
    assert waiting(session, conn_id="studio") == []


def test_waits_are_found_by_their_connection(session: Session) -> None:
    one, other = tasks(session, count=2)
    for instance, conn_id in ((one, "studio"), (other, "studio_2")):
        defer(session, instance)
        publish(session, instance, conn_id=conn_id)

    assert [wait.map_index for wait in waiting(session, conn_id="studio")] == [one.map_index]


def test_the_number_of_current_waits_in_a_response_is_limited(session: Session) -> None:
    for instance in tasks(session, count=queries.MAX_WAITING + 10):
        defer(session, instance)

    assert len(waiting(session)) == queries.MAX_WAITING


@pytest.mark.parametrize(("published", "shown"), [(-5, 0), (40, 40), (250, 100)])
def test_progress_is_limited_to_0_to_100_per_cent(session: Session, published: int, shown: int) -> None:
    (instance,) = tasks(session)
    defer(session, instance)
    publish(session, instance, percent=published)

    assert waiting(session)[0].percent == shown


# One task instance.


def test_a_current_wait_shows_its_progress_and_not_the_result_of_an_earlier_try(session: Session) -> None:
    (instance,) = tasks(session)
    push(
        session,
        instance,
        {key: value for key, value in record(NOW - 60).xcoms(instance).items() if key != PROGRESS_KEY},
    )
    publish(session, instance, percent=40)
    defer(session, instance)

    shown = view(session, instance)

    assert (shown.is_seeany, shown.task_state) == (True, "deferred")
    assert shown.result is not None
    assert (shown.result.state, shown.result.percent) == ("waiting", 40)


@pytest.mark.parametrize("operator", ["SeeAnyTaskSensor", "SeeAnyTaskResultOperator", "SeeAnyTaskBatchSensor"])
def test_a_task_of_ours_is_recognised_before_it_has_pushed_anything(session: Session, operator: str) -> None:
    (instance,) = tasks(session)
    session.execute(update(TaskInstance).values(operator=operator, state="queued"))
    session.commit()

    assert view(session, instance).is_seeany


@pytest.mark.parametrize("recognised_by", ["nothing", "its trigger", "its progress", "its record"])
def test_a_task_of_a_subclass_is_recognised_by_its_trigger_or_xcoms(session: Session, recognised_by: str) -> None:
    (instance,) = tasks(session)
    session.execute(update(TaskInstance).values(operator="StudioSensor"))
    session.commit()
    if recognised_by == "its trigger":
        defer(session, instance)
    elif recognised_by == "its progress":
        publish(session, instance)
    elif recognised_by == "its record":
        push(session, instance, record(NOW - 60).xcoms(instance))

    assert view(session, instance).is_seeany == (recognised_by != "nothing")


def test_the_newest_of_several_records_is_shown(session: Session) -> None:
    (instance,) = tasks(session)
    for ago in (60, 3600):
        xcoms = record(NOW - ago, number=ago).xcoms(instance)
        push(session, instance, {key: value for key, value in xcoms.items() if key != PROGRESS_KEY})

    shown = view(session, instance).result

    assert shown is not None
    assert shown.at == NOW - 60


def test_a_mapped_task_shows_no_other_one_s_result(session: Session) -> None:
    instances = tasks(session, count=2)
    for number, instance in enumerate(instances):
        push(session, instance, record(NOW - 60 * number, number=number).xcoms(instance))
        push(session, instance, {"result_urls": [f"https://cdn.example/{number}.mp4", "javascript:alert(1)"]})

    for number, instance in enumerate(instances):
        shown = view(session, instance)
        assert shown.result is not None
        assert shown.result.seeany_task_id == f"video-0s-history-{number}"
        assert shown.result_urls == [f"https://cdn.example/{number}.mp4"]


def test_a_batch_that_failed_shows_which_tasks_failed_and_why(session: Session) -> None:
    (instance,) = tasks(session)
    result = BatchResult(
        total=3, completed=2, failed=1, cost={"CNY": 1.4}, detail="totals", tasks=[], failures=[Failure("b", "违反")]
    )
    error = SeeAnyBatchFailed(result, fail_fast=False)
    failure = Record.of_error(error, conn_id="studio", seeany_task_id=None, batch=result)
    push(session, instance, failure.xcoms(instance))

    assert view(session, instance).batch == [views.BatchRow(id="b", state="failed", reason="违反")]


def test_each_video_of_a_batch_shows_its_file_and_its_cost(session: Session) -> None:
    (instance,) = tasks(session)
    results = ResultCollector(["a", "b"])
    for number, usage in enumerate(({"cost": 0.7, "cost_unit": "CNY"}, {"cost": 2})):
        payload = {"id": "ab"[number], "status": "completed", "video_url": f"https://cdn.example/{number}.mp4"}
        results.add(number, SeeAnyTask.from_payload({**payload, "usage": usage}))
    result = results.result().as_json()
    push(session, instance, {**Record.of_batch(result, conn_id="c").xcoms(instance), "return_value": result})

    rows = [(row.id, row.url, row.results, row.cost) for row in view(session, instance).batch]
    assert rows == [
        ("a", "https://cdn.example/0.mp4", 0, Money("CNY", Decimal("0.7"))),
        ("b", "https://cdn.example/1.mp4", 0, Money("?", Decimal(2))),
    ]


@pytest.mark.parametrize("value", ["[" * 100_000, '"' + "[" * 100_000, '{"a":' * 50_000], ids=len)
def test_deeply_nested_json_under_our_keys_is_no_error(session: Session, value: str) -> None:
    (instance,) = tasks(session)
    push(session, instance, {key_at(NOW - 60): value, PROGRESS_KEY: value, "return_value": value, "result_urls": value})
    defer(session, instance)

    assert view(session, instance).result == views.Result(**instance.columns(), state="waiting")
    assert [wait.percent for wait in waiting(session)] == [None]
    assert queries.ended_waits(session, readable=["dag_0"], filters=EVERYTHING, before=None, limit=10) == ([], None)


def test_a_first_file_that_is_no_web_url_is_no_link(session: Session) -> None:
    odd = record(NOW - 60, video_url=None, first_result="javascript:alert(1)")
    fill(session, [odd, record(NOW - 61, video_url=None, first_result="https://cdn.example/1.jpg")], dag_ids=["dag_0"])

    results, _ = queries.ended_waits(session, readable=["dag_0"], filters=EVERYTHING, before=None, limit=10)
    assert [result.first_result for result in results] == [None, "https://cdn.example/1.jpg"]


# Spend.


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
    push(session, instance, dict.fromkeys(keys, value))


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


def test_json_text_under_a_key_of_ours_is_decoded(session: Session) -> None:
    """Some databases and backends return JSON within JSON."""
    (instance,) = tasks(session)
    xcoms = record(NOW - 60).xcoms(instance)
    push(session, instance, {key: json.dumps(value) for key, value in xcoms.items()})

    shown = view(session, instance).result
    assert shown is not None
    assert shown.seeany_task_id == "video-0s-history-0"
