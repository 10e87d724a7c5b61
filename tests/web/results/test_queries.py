"""The queries for current waits and one task instance."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from airflow_provider_seeany.api.batch_result import BatchResult, Failure
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyBatchFailed, SeeAnyTaskFailed
from airflow_provider_seeany.web.results import queries, views
from airflow_provider_seeany.web.results.batch import BatchRow
from airflow_provider_seeany.xcoms.record import Copies, Progress, Record
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import Money
from tests.hostile import PARTIAL, PARTIAL_URLS
from tests.web.results.history import DAY, fill, push_xcoms, record, row_of, tasks

NOW = int(time.time())
EVERYTHING = views.Filters(since=NOW - 366 * DAY, until=NOW + 3600)
OURS = "airflow_provider_seeany.triggers.task.SeeAnyTaskTrigger"


@pytest.fixture(autouse=True)
def _no_triggers(session: Session) -> Iterator[None]:
    yield
    session.rollback()
    session.execute(delete(Trigger))
    session.commit()


def defer(session: Session, instance: TaskInstanceKey, *, classpath: str = OURS, state: str = "deferred") -> None:
    """Let a task instance wait in a triggerer."""
    trigger = Trigger(classpath=classpath, kwargs={})
    session.add(trigger)
    session.flush()
    session.execute(update(TaskInstance).where(*row_of(instance)).values(state=state, trigger_id=trigger.id))
    session.commit()


def publish(session: Session, instance: TaskInstanceKey, **more: Any) -> None:
    """Publish the progress of a wait."""
    progress = Progress(**{"conn_id": "studio", "at": NOW - 5, "seeany_task_id": "vid", **more})
    push_xcoms(session, instance, {PROGRESS_KEY: msgspec.to_builtins(progress)})


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
        push_xcoms(session, instance, {"another": msgspec.to_builtins(Progress(conn_id="x", at=1, percent=99))})

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


@pytest.mark.parametrize("filters", [{"conn_id": "rare"}, {"search": "rare-id"}], ids=str)
def test_a_current_wait_is_found_among_many_newer_ones(session: Session, filters: dict[str, str]) -> None:
    rare, *others = tasks(session, count=queries.MAX_WAITING + 2)
    publish(session, rare, conn_id="rare", seeany_task_id="rare-id")
    for instance in (rare, *others):
        defer(session, instance)

    assert [(wait.run_id, wait.map_index) for wait in waiting(session, **filters)] == [(rare.run_id, rare.map_index)]


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
    push_xcoms(
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


def test_a_task_that_was_only_created_is_shown_after_its_airflow_task_has_ended(session: Session) -> None:
    (instance,) = tasks(session)
    push_xcoms(session, instance, Progress.of_created("wtask_1", conn_id="studio").xcoms(instance))

    shown = view(session, instance).result

    assert shown is not None
    assert (shown.state, shown.seeany_task_id, shown.conn_id) == ("created", "wtask_1", "studio")
    assert waiting(session) == []


@pytest.mark.parametrize(
    ("task_state", "shown"),
    [("running", "downloading"), ("success", "completed"), ("failed", "failed"), ("up_for_retry", "retrying")],
)
def test_a_download_is_shown_on_its_tab_alone(session: Session, task_state: str, shown: str) -> None:
    (instance,) = tasks(session)
    push_xcoms(session, instance, Progress.of_copies(Copies(files=2, size=7), conn_id="studio").xcoms(instance))
    session.execute(update(TaskInstance).where(*row_of(instance)).values(state=task_state))
    session.commit()

    seen = view(session, instance)

    assert seen.result is not None
    assert seen.download is not None
    assert (seen.result.state, seen.result.conn_id, seen.download.files) == (shown, "studio", 2)
    assert waiting(session) == []
    assert queries.ended_waits(session, readable=["dag_0", "dag_1"], filters=EVERYTHING, limit=10) == ([], 0)
    assert queries.groups(session, readable=["dag_0", "dag_1"], filters=EVERYTHING, zone=ZoneInfo("UTC")) == []


def test_a_download_that_was_cleared_does_not_show_the_copies_of_its_last_try_before_it_runs(session: Session) -> None:
    (instance,) = tasks(session)
    push_xcoms(session, instance, Progress.of_copies(Copies(files=2), conn_id="studio").xcoms(instance))
    session.execute(update(TaskInstance).where(*row_of(instance)).values(state="queued"))
    session.commit()

    assert view(session, instance).download is None


@pytest.mark.parametrize(
    "operator", ["SeeAnyTaskSensor", "SeeAnyTaskResultOperator", "SeeAnyTaskBatchSensor", "SeeAnySubmitOperator"]
)
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
        push_xcoms(session, instance, record(NOW - 60).xcoms(instance))

    assert view(session, instance).is_seeany == (recognised_by != "nothing")


def test_the_newest_of_several_records_is_shown(session: Session) -> None:
    (instance,) = tasks(session)
    for ago in (60, 3600):
        xcoms = record(NOW - ago, number=ago).xcoms(instance)
        push_xcoms(session, instance, {key: value for key, value in xcoms.items() if key != PROGRESS_KEY})

    shown = view(session, instance).result

    assert shown is not None
    assert shown.at == NOW - 60


def test_a_mapped_task_shows_no_other_one_s_result(session: Session) -> None:
    instances = tasks(session, count=2)
    for number, instance in enumerate(instances):
        push_xcoms(session, instance, record(NOW - 60 * number, number=number).xcoms(instance))
        push_xcoms(session, instance, {"result_urls": [f"https://cdn.example/{number}.mp4", "javascript:alert(1)"]})

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
    push_xcoms(session, instance, failure.xcoms(instance))

    assert view(session, instance).batch == [BatchRow(id="b", state="failed", reason="违反")]


def test_a_partial_failure_shows_the_files_that_were_made(session: Session) -> None:
    (instance,) = tasks(session)
    task = SeeAnyTask.from_payload({**PARTIAL, "images": [*PARTIAL["images"], "javascript:alert(1)"]})
    failure = Record.of_error(SeeAnyTaskFailed(task), conn_id="studio", seeany_task_id="x")
    push_xcoms(session, instance, failure.xcoms(instance))

    shown = view(session, instance)
    assert shown.result is not None
    assert (shown.result.state, shown.result.is_partial) == ("failed", True)
    assert shown.result_urls == PARTIAL_URLS


def test_a_batch_shows_which_results_are_partial_and_the_files_of_those_not_accepted(session: Session) -> None:
    (instance,) = tasks(session)
    results = ResultCollector(["a", "b", "c"])
    results.add(0, SeeAnyTask.from_payload({"id": "a", "status": "completed", "images": ["https://h/1.jpg"]}))
    results.add(1, SeeAnyTask.from_payload({**PARTIAL, "id": "b"}))
    results.add_failed(2, SeeAnyTask.from_payload({**PARTIAL, "id": "c"}))
    result = results.result().as_json()
    push_xcoms(session, instance, {**Record.of_batch(result, conn_id="c").xcoms(instance), "return_value": result})

    shown = view(session, instance)
    assert shown.result is not None
    assert (shown.result.completed, shown.result.partial, shown.result.failed) == (2, 1, 1)
    rows = [(row.id, row.state, row.is_partial, row.url, row.results) for row in shown.batch]
    assert rows == [
        ("a", "completed", False, "https://h/1.jpg", 1),
        ("b", "completed", True, PARTIAL_URLS[0], 2),
        ("c", "failed", True, PARTIAL_URLS[0], 2),
    ]


def test_each_video_of_a_batch_shows_its_file_and_its_cost(session: Session) -> None:
    (instance,) = tasks(session)
    results = ResultCollector(["a", "b"])
    for number, usage in enumerate(({"cost": 0.7, "cost_unit": "CNY"}, {"cost": 2})):
        payload = {"id": "ab"[number], "status": "completed", "video_url": f"https://cdn.example/{number}.mp4"}
        results.add(number, SeeAnyTask.from_payload({**payload, "usage": usage}))
    result = results.result().as_json()
    push_xcoms(session, instance, {**Record.of_batch(result, conn_id="c").xcoms(instance), "return_value": result})

    rows = [(row.id, row.url, row.results, row.cost) for row in view(session, instance).batch]
    assert rows == [
        ("a", "https://cdn.example/0.mp4", 0, Money("CNY", Decimal("0.7"))),
        ("b", "https://cdn.example/1.mp4", 0, Money("?", Decimal(2))),
    ]


def test_a_result_on_the_page_is_what_airflow_has_made_of_it(session: Session) -> None:
    instances = tasks(session, count=4)
    made_of_it = {
        "skipped": ("failed", "skipped", False),
        "up_for_retry": ("timed_out", "retrying", False),
        "failed": ("completed", "completed", True),
        "success": ("completed", "completed", False),
    }
    for instance, (number, (task_state, (state, *_))) in zip(instances, enumerate(made_of_it.items()), strict=True):
        push_xcoms(session, instance, record(NOW - 60 - number, number=number, state=state).xcoms(instance))
        session.execute(update(TaskInstance).where(*row_of(instance)).values(state=task_state))
    session.commit()

    results, _ = queries.ended_waits(session, readable=["dag_0", "dag_1"], filters=EVERYTHING, limit=len(instances))

    assert [(result.state, result.is_task_failed) for result in results] == [
        (shown, is_failed) for _, shown, is_failed in made_of_it.values()
    ]


@pytest.mark.parametrize(("state", "is_known"), [("deferred", True), ("queued", False)])
def test_a_wait_that_has_published_nothing_shows_since_when_its_task_runs(
    session: Session, state: str, is_known: bool
) -> None:
    (instance,) = tasks(session)
    defer(session, instance, state=state)
    began = datetime.fromtimestamp(NOW - 90, tz=UTC)
    session.execute(update(TaskInstance).where(*row_of(instance)).values(start_date=began))
    session.commit()

    shown = view(session, instance).result

    assert shown is not None
    assert (shown.state, shown.began) == ("waiting", NOW - 90 if is_known else None)


@pytest.mark.parametrize("value", ["[" * 100_000, '"' + "[" * 100_000, '{"a":' * 50_000], ids=len)
def test_deeply_nested_json_under_our_keys_is_no_error(session: Session, value: str) -> None:
    (instance,) = tasks(session)
    push_xcoms(
        session, instance, {key_at(NOW - 60): value, PROGRESS_KEY: value, "return_value": value, "result_urls": value}
    )
    defer(session, instance)

    shown = view(session, instance).result
    assert shown is not None
    assert dataclasses.replace(shown, began=None) == views.Result(**instance.columns(), state="waiting")
    assert [wait.percent for wait in waiting(session)] == [None]
    assert queries.ended_waits(session, readable=["dag_0"], filters=EVERYTHING, limit=10)[0] == []


def test_a_first_file_that_is_no_web_url_is_no_link(session: Session) -> None:
    odd = record(NOW - 60, video_url=None, first_result="javascript:alert(1)")
    fill(session, [odd, record(NOW - 61, video_url=None, first_result="https://cdn.example/1.jpg")], dag_ids=["dag_0"])

    results, _ = queries.ended_waits(session, readable=["dag_0"], filters=EVERYTHING, limit=10)
    assert [result.first_result for result in results] == [None, "https://cdn.example/1.jpg"]


def test_json_text_under_a_key_of_ours_is_decoded(session: Session) -> None:
    """Some databases and backends return JSON within JSON."""
    (instance,) = tasks(session)
    xcoms = record(NOW - 60).xcoms(instance)
    push_xcoms(session, instance, {key: json.dumps(value) for key, value in xcoms.items()})

    shown = view(session, instance).result
    assert shown is not None
    assert shown.seeany_task_id == "video-0s-history-0"
