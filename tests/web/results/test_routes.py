"""The routes of the UI: permissions, parameters, pages, and what one task instance shows."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from airflow_provider_seeany.api.batch_result import BatchTimedOut
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyBatchFailed
from airflow_provider_seeany.outcomes import batch_timeout
from airflow_provider_seeany.web import one_at_a_time
from airflow_provider_seeany.web.results import by_cost, pages, queries, routes, views
from airflow_provider_seeany.web.results.conditions import conditions_of
from airflow_provider_seeany.web.results.pages import MAX_LISTED
from airflow_provider_seeany.xcoms.record import PARTIAL_RESULT_KEY, BatchCounts, Copies, Progress, Record
from airflow_provider_seeany.xcoms.record_key import State as RecordState
from airflow_provider_seeany.xcoms.record_key import hash_part, key_at
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from airflow_provider_seeany.xcoms.untrusted import convert
from tests.copies import settle
from tests.web.conftest import TASK, ClientOf
from tests.web.results.history import (
    DAY,
    NOON,
    fill,
    fill_one_task_instance,
    plan,
    push_foreign,
    push_xcoms,
    record,
    row_of,
    statements,
)

BATCH_CSV = TASK.replace("/task?", "/batch.csv?")
ROUTES = [
    "/api/results",
    "/api/results.csv",
    "/api/results/urls",
    "/api/summary",
    "/api/summary.csv",
    "/api/setup",
    TASK.format("dag_0", "x", 0),
    BATCH_CSV.format("dag_0", "x", 0),
]


@pytest.mark.parametrize("route", ROUTES)
def test_an_anonymous_user_reads_nothing(client_of: ClientOf, route: str) -> None:
    assert client_of(None).get(route).status_code == 401


def test_a_user_never_sees_rows_of_a_dag_that_the_user_may_not_read(client_of: ClientOf, session: Session) -> None:
    fill(session, [record(NOON - 60, number=n) for n in range(40)], dag_ids=["dag_0", "dag_1"])

    for name, other in (("dag_0", "dag_1"), ("dag_1", "dag_0")):
        client = client_of(name)
        for path in ("results.csv", "summary.csv", "results/urls"):
            assert other not in client.get(f"/api/{path}").text
            assert client.get(f"/api/{path}?dag_id={other}").status_code == 403
        assert client.get(f"/api/results?search={other}").json()["total"] == 0
        assert {row["dag_id"] for row in client.get("/api/results?limit=100").json()["results"]} == {name}
        assert {row["dag_id"] for row in client.get("/api/summary").json()["groups"]} == {name}
    assert {row["dag_id"] for row in client_of("admin").get("/api/results?limit=100").json()["results"]} == {
        "dag_0",
        "dag_1",
    }
    other = client_of("dag_1")
    assert other.get("/api/results?dag_id=dag_0").status_code == 403
    assert other.get("/api/summary?dag_id=dag_0").status_code == 403
    row = client_of("dag_0").get("/api/results").json()["results"][0]
    assert client_of("dag_0").get(TASK.format("dag_0", row["run_id"], row["map_index"])).status_code == 200
    for path in (TASK, BATCH_CSV):
        assert other.get(path.format("dag_0", row["run_id"], row["map_index"])).status_code == 403


@pytest.mark.parametrize(("limit", "sizes"), [(7, [7] * 14 + [2]), (10, [10] * 10), (200, [100])])
def test_pages_have_no_gaps_and_no_duplicates(
    client_of: ClientOf, session: Session, limit: int, sizes: list[int]
) -> None:
    # Many end in the same second, so that the moment alone does not define where a page begins.
    fill(session, [record(NOON - 60 - n // 25, number=n) for n in range(100)], dag_ids=["dag_0", "dag_1"])
    client = client_of("admin")

    pages: list[list[dict[str, object]]] = []
    for _ in sizes:
        offset = sum(map(len, pages))
        response = client.get("/api/results", params={"limit": limit, "offset": offset}).json()
        pages.append(response["results"])
        assert response["total"] == 100
    assert client.get("/api/results?offset=100").json() == {"waiting": [], "results": [], "total": 100}
    assert [len(page) for page in pages] == sizes
    seen = [row for page in pages for row in page]
    assert sorted(str(row["seeany_task_id"]) for row in seen) == sorted(f"video-0s-history-{n}" for n in range(100))
    assert [row["at"] for row in seen] == sorted((row["at"] for row in seen), key=int, reverse=True)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "parameters",
    [
        {"offset": -1},
        {"offset": MAX_LISTED + 1},
        {"order": "alphabetical"},
        {"search": "x" * 251},
        {"conn_id": "\0"},
        {"limit": 201},
        {"since": -1},
        {"days": 0},
        {"days": 367},
        {"state": "lost"},
    ],
    ids=str,
)
def test_invalid_parameters_are_rejected(client_of: ClientOf, parameters: dict[str, str | int]) -> None:
    assert client_of("admin").get("/api/results", params=parameters).status_code == 422


NUL = "a%00b"
PATHS_WITH_NAMES = [
    "/static/{}",
    "/api/results?dag_id={}",
    "/api/results?conn_id={}",
    "/api/results?state={}",
    "/api/results?search={}",
    "/api/results.csv?search={}",
    "/api/results/urls?search={}",
    "/api/summary.csv?dag_id={}",
    "/api/results?nobody_knows_this={}",
    "/api/summary?dag_id={}",
    "/api/summary?conn_id={}",
    "/api/summary?zone={}",
    "/api/dags/{}/task?run_id=r&task_id=t",
    "/api/dags/dag_0/task?run_id={}&task_id=t",
    "/api/dags/dag_0/task?run_id=r&task_id={}",
    "/api/dags/dag_0/task?run_id=r&task_id=t&map_index={}",
]
NUMBERS = [
    "results?since={}",
    "results?until={}",
    "results?days={}",
    "results?limit={}",
    "results?offset={}",
    "dags/dag_0/task?run_id=r&task_id=t&map_index={}",
]


@pytest.mark.parametrize("path", PATHS_WITH_NAMES)
@pytest.mark.parametrize("name", ["admin", "dag_0"])
def test_a_nul_in_any_parameter_is_rejected(client_of: ClientOf, path: str, name: str) -> None:
    expected = 404 if path.startswith("/static") else 422
    assert client_of(name).get(path.format(NUL)).status_code == expected


@pytest.mark.parametrize("path", PATHS_WITH_NAMES)
@pytest.mark.parametrize("text", ["%ED%A0%80", "%FF", "%F0%9F%98%80", "x" * 3000, "%0A", "%2F", "%25", "'"])
def test_no_text_in_a_parameter_is_a_server_error(client_of: ClientOf, path: str, text: str) -> None:
    assert client_of("admin").get(path.format(text)).status_code in (200, 404, 422)


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63, 10**30])
def test_a_number_that_no_column_holds_is_no_server_error(client_of: ClientOf, path: str, number: int) -> None:
    status = client_of("admin").get(f"/api/{path.format(number)}").status_code

    assert status == 422 or (status == 200 and number == 2**31 and "t={}" not in path)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"state": "failed"}, {1}),
        ({"conn_id": "studio"}, {2}),
        ({"dag_id": "dag_0"}, {0, 1, 2, 3, 4}),
        ({"dag_id": "dag_1"}, set()),
        ({"state": "waiting"}, set()),
        ({"since": "days_ago"}, {0, 1, 2}),
        ({"until": "days_ago"}, {3, 4}),
        ({"since": "days_ago", "conn_id": "studio", "state": "failed"}, set()),
    ],
)
def test_filters_filter(client_of: ClientOf, session: Session, parameters: dict[str, str], expected: set[int]) -> None:
    days_ago = NOON - 5 * DAY
    # Each costs another power of two, so that a sum says which are in it.
    records = [
        record(NOON - 60, number=0, cost={"CNY": "1"}),
        record(NOON - 70, number=1, cost={"CNY": "2"}, state="failed"),
        record(days_ago, number=2, cost={"CNY": "4"}, conn_id="studio"),
        record(days_ago - 1, number=3, cost={"CNY": "8"}, conn_id="my_studio"),
        record(NOON - 9 * DAY, number=4, cost={"CNY": "16"}),
    ]
    fill(session, records, dag_ids=["dag_0"])
    given = {name: days_ago if value == "days_ago" else value for name, value in parameters.items()}
    client = client_of("admin")

    rows = client.get("/api/results", params=given).json()["results"]
    assert {int(row["seeany_task_id"].rpartition("-")[2]) for row in rows} == expected
    for zone in ("UTC", "Asia/Shanghai"):
        groups = client.get("/api/summary", params={**given, "zone": zone}).json()["groups"]
        assert sum(int(money["amount"]) for group in groups for money in group["cost"]) == sum(2**n for n in expected)
        assert sum(group["count"] for group in groups) == len(expected)


# The end of a wait, what Airflow's task instance has become, and the state that both are shown as.
SHOWN: list[tuple[RecordState, str | None, str]] = [
    ("completed", "success", "completed"),
    ("completed", "up_for_retry", "completed"),
    ("failed", "failed", "failed"),
    ("failed", "up_for_retry", "retrying"),
    ("failed", "skipped", "skipped"),
    ("failed", None, "retrying"),
    ("timed_out", "failed", "timed_out"),
    ("timed_out", "running", "retrying"),
    ("timed_out", "skipped", "skipped"),
    ("failed", "removed", "failed"),
]


@pytest.mark.parametrize("order", ["newest", "highest_cost"])
@pytest.mark.parametrize("state", ["completed", "failed", "timed_out", "retrying", "skipped"])
def test_a_state_finds_and_counts_what_is_shown_in_it(
    client_of: ClientOf, session: Session, state: str, order: str
) -> None:
    now = time.time()
    fill(session, [record(now - 60 - n, number=n, state=end) for n, (end, _, _) in enumerate(SHOWN)], dag_ids=["dag_0"])
    for number, (_, task_state, _) in enumerate(SHOWN):
        session.execute(update(TaskInstance).where(TaskInstance.map_index == number).values(state=task_state))
    session.commit()
    wanted = [number for number, (*_, shown) in enumerate(SHOWN) if shown == state]
    client = client_of("admin")

    found = client.get("/api/results", params={"state": state, "order": order, "limit": len(wanted)}).json()
    assert [row["map_index"] for row in found["results"]] == wanted
    assert {row["state"] for row in found["results"]} == {state}
    assert found["total"] == len(wanted)
    lines = client.get("/api/results.csv", params={"state": state}).text.splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == [state] * len(wanted)


def test_a_range_of_days_moves_with_the_clock(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    fill(session, [record(now - DAY + 600)], dag_ids=["dag_0"])
    client = client_of("admin")

    def counts() -> list[int]:
        found = client.get("/api/results?days=1").json()["total"]
        return [found, sum(group["count"] for group in client.get("/api/summary?days=1").json()["groups"])]

    assert counts() == [1, 1]
    monkeypatch.setattr(routes.time, "time", lambda: now + 1200)
    assert counts() == [0, 0]
    assert client.get(f"/api/results?days=1&until={int(now)}").json()["total"] == 1


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("video-0s-history-7", [7]),
        (" video-0s-history-7 ", [7]),
        ("video-0s-history-", []),
        ("DAG_1", [*range(10, 20)]),
        ("history_", [*range(20)]),
        ("_", [*range(20)]),
        ("%", []),
        ("nobody", []),
    ],
)
def test_a_search_finds_a_whole_seeany_id_or_a_part_of_a_dags_or_a_runs_name(
    client_of: ClientOf, session: Session, search: str, found: list[int]
) -> None:
    fill(session, [record(NOON - 60 - n, number=n) for n in range(20)], dag_ids=["dag_0", "dag_1"])
    response = client_of("admin").get("/api/results", params={"search": search}).json()

    assert [int(row["seeany_task_id"].rpartition("-")[2]) for row in response["results"]] == found
    assert response["total"] == len(found)


@pytest.mark.parametrize("state", ["failed", "retrying", "skipped"])
@pytest.mark.parametrize("database", [mysql, postgresql, sqlite])
def test_the_conditions_of_a_list_are_known_to_every_database_of_airflow(
    database: ModuleType, state: views.State
) -> None:
    filters = views.Filters(since=0, until=DAY, conn_id="studio", state=state, search="50%_of")

    statement = select(XComModel.key).where(*conditions_of(["dag_0", "dag_1"], filters))
    assert "run_id" in str(statement.compile(dialect=database.dialect()))


def test_a_search_finds_one_run(client_of: ClientOf, session: Session) -> None:
    fill(session, [record(NOON - 60 - n, number=n) for n in range(20)], dag_ids=["dag_0", "dag_1"])
    client = client_of("admin")
    run_id = client.get("/api/results").json()["results"][-1]["run_id"]

    rows = client.get("/api/results", params={"search": run_id.upper(), "dag_id": "dag_1"}).json()["results"]
    assert {row["run_id"] for row in rows} == {run_id}
    assert client.get("/api/results", params={"search": run_id, "dag_id": "dag_0"}).json()["total"] == 0


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("newest", [0, 1, 2, 3, 4, 5]),
        ("oldest", [5, 4, 3, 2, 1, 0]),
        ("highest_cost", [3, 5, 1, 0, 2, 4]),
        ("lowest_cost", [2, 4, 0, 1, 5, 3]),
    ],
)
def test_results_are_sorted_by_time_or_cost(
    client_of: ClientOf, session: Session, order: str, expected: list[int]
) -> None:
    costs: list[dict[str, str]] = [{"CNY": "0.7"}, {"CNY": "0.90"}, {}, {"USD": "10"}, {}, {"CNY": "1", "USD": "2"}]
    records = [record(NOON - 60 - number, number=number, cost=cost) for number, cost in enumerate(costs)]
    fill(session, records, dag_ids=["dag_0"])
    client = client_of("admin")

    shown = []
    for offset in (0, 2, 4):
        response = client.get("/api/results", params={"order": order, "limit": 2, "offset": offset}).json()
        shown += [int(row["seeany_task_id"].rpartition("-")[2]) for row in response["results"]]
        assert response["total"] == 6
    assert shown == expected


@pytest.mark.parametrize("order", get_args(views.Order))
@pytest.mark.parametrize("at_once", [12, 500])
def test_no_dag_can_push_results_into_the_page_of_another(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch, order: views.Order, at_once: int
) -> None:
    monkeypatch.setattr(pages, "MAX_LISTED", at_once + 1)
    monkeypatch.setattr(pages, "_AT_ONCE", at_once)
    fill(session, [record(NOON - 60 - n, number=n) for n in range(20)], dag_ids=["dag_0", "dag_1"])
    for number in range(30):
        moment, cost = (80, 0) if order in ("oldest", "lowest_cost") else (40, 999)
        push_foreign(session, f"{key_at(NOON - moment)}:{number:016x}:{hash_part('dag_1')}:c:c:CNY={cost}")

    for offset, shown in ((0, 5), (5, 5), (10, 0)):
        response = client_of("dag_1").get(f"/api/results?order={order}&limit=5&offset={offset}").json()
        assert [len(response["results"]), response["total"]] == [shown, 10]


def test_more_results_than_can_be_paged_through_are_not_counted(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_LISTED", 30)
    fill(session, [record(NOON - 60 - n, number=n) for n in range(50)], dag_ids=["dag_0"])

    assert client_of("admin").get("/api/results").json()["total"] == 31


def test_a_list_sorted_by_cost_is_read_for_one_viewer_at_a_time(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_at_a_time, "MAX_WAIT", 0.01)
    client = client_of("admin")

    with by_cost._one_at_a_time.slot():
        response = client.get("/api/results?order=highest_cost")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert client.get("/api/results").status_code == 200


def test_results_show_where_downloads_of_their_run_stored_their_files(client_of: ClientOf, session: Session) -> None:
    fill(session, [record(NOON - 60, number=1), record(NOON - 61, number=11), record(NOON - 62)], dag_ids=["dag_0"])
    path = "s3://studio/autumn/video-0s-history-{}/video.mp4"
    copies = Copies(files=2, folder="s3://studio/autumn", paths=[path.format(1), path.format(11)])
    client = client_of("admin")
    download = TaskInstanceKey("dag_0", client.get("/api/results").json()["results"][2]["run_id"], "wait", 2)
    session.execute(update(TaskInstance).where(*row_of(download)).values(operator="SeeAnyDownloadOperator"))
    session.execute(delete(XComModel).where(XComModel.map_index == 2))
    push_xcoms(session, download, Progress.of_copies(copies, conn_id="c").xcoms(download))

    rows = client.get("/api/results").json()["results"]
    assert [row["copy_paths"] for row in rows] == [[path.format(1)], [path.format(11)]]


def test_a_foreign_value_under_a_key_of_ours_becomes_neither_a_link_nor_an_error(
    client_of: ClientOf, session: Session
) -> None:
    bad = record(NOON - 60, number=1, video_url="javascript:alert(1)", thumbnail_url="file:///etc/passwd")
    fill(session, [bad, record(NOON - 50, number=2)], dag_ids=["dag_0"])
    session.execute(
        text("UPDATE xcom SET value = '{\"state\": 7}' WHERE key LIKE '\\_seeany\\_%' ESCAPE '\\' AND map_index = 1")
    )
    push_foreign(session, key_at(NOON - 40))
    push_foreign(session, f"{key_at(NOON - 40)}: :c:conn:CNY=1")
    for cost in ("CNY=x", "CNY=NaN", "CNY=1E%2B999999", "CNY=1E~2B999999999", "~ED~A0~80=1", "=", "~"):
        push_foreign(session, f"{key_at(NOON - 40)}:0123456789abcdef:{hash_part('dag_0')}:c:c:{cost}")

    (row,) = client_of("admin").get("/api/results").json()["results"]
    assert (row["video_url"], row["thumbnail_url"]) == (None, None)
    groups = client_of("admin").get("/api/summary").json()["groups"]
    assert [money for group in groups for money in group["cost"] if money["unit"] == "CNY"] == [
        {"unit": "CNY", "amount": "1.4"}
    ]


def test_a_wait_that_has_ended_shows_all_of_it(client_of: ClientOf, session: Session) -> None:
    at = NOON - 60
    fill(session, [record(at)], dag_ids=["dag_0"])
    row = client_of("admin").get("/api/results").json()["results"][0]

    view = client_of("admin").get(TASK.format("dag_0", row["run_id"], 0)).json()
    assert (view["is_seeany"], view["result"]["state"], view["result"]["at"]) == (True, "completed", at)
    assert view["result"]["cost"] == [{"unit": "CNY", "amount": "0.7"}]
    assert client_of("admin").get(TASK.format("dag_0", row["run_id"], 5)).status_code == 404


@pytest.mark.parametrize(("count", "detail", "named"), [(2, "full", 9), (150, "table", 1)])
def test_a_batch_links_all_files_of_an_image_set_that_its_result_has(
    client_of: ClientOf, session: Session, count: int, detail: str, named: int
) -> None:
    ids = [f"set_{number:06}" for number in range(count)]
    results = ResultCollector(ids)
    for index, task_id in enumerate(ids):
        images = [{"url": f"https://cdn.example/{task_id}/{number}.jpg"} for number in range(9)]
        response = {"id": task_id, "object": "image_set", "status": "completed", "images": images}
        results.add(index, SeeAnyTask.from_payload(response))
    result = results.result().as_json()
    assert result["detail"] == detail
    fill(session, [Record.of_batch(result, conn_id="seeany_default")], dag_ids=["dag_0"])
    push_foreign(session, "return_value", result, map_index=0)
    row = client_of("admin").get("/api/results").json()["results"][0]

    view = client_of("admin").get(TASK.format("dag_0", row["run_id"], 0)).json()
    batch = view["batch"]
    assert [each["id"] for each in batch] == ids
    assert view["has_first_files_only"] == (detail == "table")
    urls = [f"https://cdn.example/set_000001/{number}.jpg" for number in range(named)]
    assert (batch[1]["results"], [batch[1]["url"], *batch[1]["other_urls"]]) == (named, urls)


@pytest.mark.parametrize(
    ("completed", "listed"),
    [(2, True), (300, True), (1500, True), (9000, False)],
    ids=["full", "table", "ids", "totals"],
)
@pytest.mark.parametrize("end", ["failed", "timed_out"])
def test_the_tab_of_a_batch_that_did_not_succeed_lists_what_was_paid(
    client_of: ClientOf, session: Session, end: str, completed: int, listed: bool
) -> None:
    ids = [f"vid_{number:016}" for number in range(completed + 2)]
    results = ResultCollector(ids)
    for index in range(completed):
        fields = {"video_url": f"https://cdn/{index}.mp4", "usage": {"cost": 0.5, "cost_unit": "CNY"}}
        results.add(index, SeeAnyTask.from_payload({"id": ids[index], "status": "completed", **fields}))
    results.fail(completed, "违反内容安全策略")
    result = results.result()
    error = (
        batch_timeout(BatchTimedOut(result=result), timeout=60)
        if end == "timed_out"
        else SeeAnyBatchFailed(result, fail_fast=True)
    )
    failure = Record.of_error(error, conn_id="c", seeany_task_id=None, batch=result)
    fill(session, [failure], dag_ids=["dag_0"])
    push_foreign(session, PARTIAL_RESULT_KEY, result.as_json(), map_index=0)
    client = client_of("admin")
    row = client.get("/api/results").json()["results"][0]
    (group,) = client.get("/api/summary").json()["groups"]

    view = client.get(TASK.format("dag_0", row["run_id"], 0)).json()

    total_cost = Decimal("0.5") * completed
    assert [Decimal(money["amount"]) for money in group["cost"]] == [total_cost]
    assert [Decimal(money["amount"]) for money in row["cost"]] == [total_cost]
    assert (row["state"], row["completed"], row["failed"], row["total"]) == (end, completed, 1, completed + 2)
    paid = [each for each in view["batch"] if each["state"] == "completed"]
    assert [each["id"] for each in paid] == (ids[:completed] if listed else [])
    assert [each["id"] for each in view["batch"] if each["state"] == "failed"] == [ids[completed]]
    if completed <= 300:
        assert paid[1]["url"] == "https://cdn/1.mp4"
        assert paid[1]["cost"] == {"unit": "CNY", "amount": "0.5"}


def test_the_modules_are_served_and_revalidated(client_of: ClientOf) -> None:
    response = client_of(None).get("/static/seeany.js")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "no-cache"


def test_the_list_and_the_tab_show_nothing_larger_than_a_wait_pushes(client_of: ClientOf, session: Session) -> None:
    huge = 10**300
    forged = record(
        NOON - 60,
        seeany_task_id="x" * 100_000,
        error_message="x" * 100_000,
        results=huge,
        duration=-1,
        batch=BatchCounts(total=huge, completed=huge),
        cost={f"c{number}": "1" for number in range(5000)},
    )
    fill(session, [record(NOON - 60, number=1)], dag_ids=["dag_0"])
    session.execute(
        update(XComModel)
        .where(XComModel.key.startswith("_seeany_2"))
        .values(value={**msgspec.to_builtins(forged), "at": huge})
    )
    session.commit()

    response = client_of("admin").get("/api/results")
    (row,) = response.json()["results"]
    assert len(response.text) < 20_000
    assert (row["duration"], row["total"]) == (None, None)
    assert row["at"] < 10**12
    assert len(client_of("admin").get(TASK.format("dag_0", row["run_id"], row["map_index"])).text) < 20_000


def test_a_task_instance_with_very_many_records_shows_the_newest_and_reads_hardly_any(
    client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fill_one_task_instance(session, 2000)
    settle(session)
    fetched: list[int] = []
    monkeypatch.setattr(queries, "convert", lambda *args: fetched.append(1) or convert(*args))

    with statements(session.get_bind()) as executed:
        view = client_of("admin").get(TASK.format("dag_0", run_id, 0)).json()

    assert view["result"]["seeany_task_id"] == "video-0s-history-1"
    assert len(fetched) <= 1 + queries.MAX_TRIED_RECORDS
    (newest,) = (statement for statement in executed if "ORDER BY" in statement[0])
    explained = plan(session, *newest)
    assert re.search(r"xcom_pkey|sqlite_autoindex_xcom_1", explained), explained
    assert not re.search(r"(?i)sort|temp b-tree|seq scan", explained), explained
