"""The files that the page exports: complete, exact, harmless in a spreadsheet, and read in parts."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from airflow.models.dag import DagModel, DagTag
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.web.results import queries
from airflow_provider_seeany.xcoms.record import Record
from tests.web.conftest import ClientOf
from tests.web.results.history import DAY, NOON, fill, push_foreign, record, statements


def rows_of(client_of: ClientOf, path: str) -> list[dict[str, str]]:
    response = client_of("admin").get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment; ")
    # A byte order mark, or spreadsheets show no Chinese.
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))


def test_every_result_that_matches_the_filters_has_a_line(client_of: ClientOf, session: Session) -> None:
    records = [record(NOON - number, number=number) for number in range(30)]
    fill(session, [*records, record(NOON, number=99, state="failed", cost={})], dag_ids=["dag_0"])

    rows = rows_of(client_of, "/api/results.csv?state=completed")
    assert [row["seeany_task_id"] for row in rows] == [f"video-0s-history-{number}" for number in range(30)]
    assert rows[0]["ended_at"] == datetime.fromtimestamp(NOON, tz=UTC).isoformat()
    assert {row["url"].rpartition("/")[2] for row in rows} == {"output.mp4"}


def test_a_batch_is_a_line_for_each_of_its_tasks(client_of: ClientOf, session: Session) -> None:
    results = ResultCollector(["vid_1", "set_2", "=cmd()"])
    paid = {"status": "completed", "usage": {"cost": 0.1, "cost_unit": "CNY"}}
    results.add(0, SeeAnyTask.from_payload({"id": "vid_1", "video_url": "https://cdn.example/1.mp4", **paid}))
    images = [{"url": f"https://cdn.example/{n}.jpg"} for n in range(3)]
    results.add(1, SeeAnyTask.from_payload({"id": "set_2", "object": "image_set", "images": images, **paid}))
    results.fail(2, "违反内容安全策略")
    result = results.result().as_json()
    fill(session, [Record.of_batch(result, conn_id="c")], dag_ids=["dag_0"])
    push_foreign(session, "return_value", result, map_index=0)
    run_id = client_of("admin").get("/api/results").json()["results"][0]["run_id"]

    rows = rows_of(client_of, f"/api/dags/dag_0/batch.csv?run_id={run_id}&task_id=wait&map_index=0")

    assert [(row["seeany_task_id"], row["state"], row["cost"], row["files"], row["reason"]) for row in rows] == [
        ("vid_1", "completed", "0.1", "1", ""),
        ("set_2", "completed", "0.1", "3", ""),
        ("'=cmd()", "failed", "", "0", "违反内容安全策略"),
    ]
    assert (rows[0]["url"], rows[0]["currency"]) == ("https://cdn.example/1.mp4", "CNY")


def test_many_results_are_read_in_parts(client_of: ClientOf, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "EXPORTED_AT_ONCE", 10)
    # Many of one second: where a part ends, the next one goes on.
    fill(session, [record(NOON - number // 25, number=number) for number in range(100)], dag_ids=["dag_0", "dag_1"])

    with statements(session.get_bind()) as executed:
        rows = rows_of(client_of, "/api/results.csv")

    assert sorted(row["seeany_task_id"] for row in rows) == sorted(f"video-0s-history-{n}" for n in range(100))
    assert len(executed) == 11


def test_a_line_has_the_state_that_the_page_shows(client_of: ClientOf, session: Session) -> None:
    states = {"failed": "failed", "timed_out": "skipped", "completed": "failed"}
    records = [record(NOON - n, number=n, state=state) for n, state in enumerate([*states, "failed"])]
    fill(session, records, dag_ids=["dag_0"])
    for map_index, state in enumerate([*states.values(), "up_for_retry"]):
        session.execute(update(TaskInstance).where(TaskInstance.map_index == map_index).values(state=state))
    session.commit()

    rows = rows_of(client_of, "/api/results.csv")

    expected = [("failed", "False"), ("skipped", "False"), ("completed", "True"), ("retrying", "False")]
    assert [(row["state"], row["is_task_failed"]) for row in rows] == expected


def test_money_is_written_in_all_its_digits_and_each_currency_in_a_line(client_of: ClientOf, session: Session) -> None:
    costs = [{"CNY": "12345678901234.07"}, {"CNY": "0.1", "USD": "1E-5"}, {}]
    fill(session, [record(NOON - n, number=n, cost=cost) for n, cost in enumerate(costs)], dag_ids=["dag_0"])

    rows = rows_of(client_of, "/api/results.csv")
    expected = [("12345678901234.07", "CNY"), ("0.1", "CNY"), ("0.00001", "USD"), ("", "")]
    assert [(row["cost"], row["currency"]) for row in rows] == expected
    sums = rows_of(client_of, "/api/summary.csv")
    assert [(row["cost"], row["currency"]) for row in sums] == [("12345678901234.17", "CNY"), ("0.00001", "USD")]
    assert sum(int(row["results"]) for row in sums) == 3


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠SUM(A1)"]
)
def test_no_text_becomes_a_formula(client_of: ClientOf, session: Session, text: str) -> None:
    texts = {"conn_id": text, "error_code": text, "error_message": f'{text},"x"\n', "resolution": text}
    fill(session, [record(NOON, **texts, cost={text: "1"})], dag_ids=["dag_0"])

    (row,) = rows_of(client_of, "/api/results.csv")
    assert {row[name] for name in ("connection", "error_code", "resolution", "currency")} == {f"'{text}"}
    assert row["error_message"] == f'\'{text},"x"\n'
    (row,) = rows_of(client_of, "/api/summary.csv")
    assert {row["connection"], row["currency"]} == {f"'{text}"}


def test_sums_name_owner_and_tags_of_a_dag(client_of: ClientOf, session: Session) -> None:
    session.execute(update(DagModel).where(DagModel.dag_id == "dag_0").values(owners="工作室, =ops"))
    session.execute(insert(DagTag), [{"dag_id": "dag_0", "name": name} for name in ("video", "autumn")])
    session.commit()
    fill(session, [record(NOON - n, number=n, cost={"CNY": "0.1"}) for n in range(3)], dag_ids=["dag_0"])
    fill(session, [record(NOON - DAY, number=9)], dag_ids=["dag_1"])

    first, second = rows_of(client_of, "/api/summary.csv?zone=Asia/Shanghai")
    session.execute(delete(DagTag))
    session.commit()
    assert (second["owner"], second["tags"], second["dag_id"]) == ("工作室, =ops", "autumn, video", "dag_0")
    assert (second["results"], Decimal(second["cost"])) == ("3", Decimal("0.3"))
    assert (first["owner"], first["tags"], first["dag_id"]) == ("", "", "dag_1")


def test_all_urls_are_those_of_every_file(client_of: ClientOf, session: Session) -> None:
    images = [f"https://cdn.example/{number}.jpg" for number in range(3)]
    results = ResultCollector(["a", "b"])
    for number, seeany_task_id in enumerate("ab"):
        payload = {"id": seeany_task_id, "status": "completed", "video_url": f"https://cdn.example/{seeany_task_id}"}
        results.add(number, SeeAnyTask.from_payload(payload))
    batch = results.result().as_json()
    sets = [f"https://cdn.example/set-{number}.jpg" for number in range(2)]
    batch["tasks"].append({"id": "c", "status": "completed", "image_urls": sets})
    partial = [f"https://cdn.example/partial-{number}.jpg" for number in range(2)]
    records = [
        record(NOON, number=0, video_url=None, first_result=images[0], results=3),
        Record.of_batch(batch, conn_id="c"),
        record(NOON - 2, number=2, video_url="https://cdn.example/v.mp4"),
        record(NOON - 3, number=3, video_url=None, state="failed"),
        record(NOON - 4, number=4, video_url=None, state="failed", results=2, result_urls=partial),
    ]
    fill(session, records, dag_ids=["dag_0"])
    push_foreign(session, "result_urls", [*images, "javascript:alert(1)"], map_index=0)
    push_foreign(session, "return_value", batch, map_index=1)

    response = client_of("admin").get("/api/results/urls")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    # The batch ended when it was recorded.
    batched = ["https://cdn.example/a", "https://cdn.example/b", *sets]
    assert response.text.splitlines() == [*batched, *images, "https://cdn.example/v.mp4", *partial]
