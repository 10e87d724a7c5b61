"""Many waits at once: which waits there are, when their remote tasks end, and what the tables say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from benchmarks.__main__ import PARTS, report
from benchmarks.scale import plans
from benchmarks.scale_dags import Plan
from benchmarks.scale_report import Figures, Late, lines
from benchmarks.stub import Stub, ends_at, running_stub, task_id

PROCESSES = ("workers", "scheduler", "api-server", "triggerer", "dag-processor")


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            patch.setenv(name, "")  # put back afterwards
        with running_stub() as running:
            yield running


def test_each_wait_has_a_remote_task_of_its_own_in_one_dag_or_in_many() -> None:
    measured = list(plans(["sensor,batch=6,6x3"], per_second=2))

    every = [each for pair in measured for plan in pair for dag in range(plan.dags) for each in plan.ids(dag)]
    assert len(set(every)) == len(every) == 4 * (6 + 2)
    for _, plan in measured:
        ends = sorted(ends_at(each) for dag in range(plan.dags) for each in plan.ids(dag))
        assert ends == [0, 0.5, 1, 1.5, 2, 2.5], "one after the other, wherever they are"


@pytest.mark.parametrize("argument", ["sensor", "sensor=many", "poke=3", "=3"])
def test_what_cannot_be_measured_is_an_error(argument: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|is not one of"):
        list(plans([argument], per_second=2))


def test_a_remote_task_ends_when_it_is_released(stub: Stub) -> None:
    after_a_second = task_id(7, ends_ms=1000)

    def status() -> tuple[str, bool]:
        body = requests.get(f"{stub.http}/v1/tasks/{after_a_second}", timeout=10).json()
        return body["status"], "estimated_remaining" in body

    requests.get(f"{stub.http}/release/0", timeout=10)
    assert requests.get(f"{stub.http}/asked", timeout=10).json() == {}
    assert status() == ("processing", False)
    requests.get(f"{stub.http}/release/{round(1000 * time.time()) + 60_000}", timeout=10)
    assert status() == ("processing", True)
    assert requests.get(f"{stub.http}/noticed", timeout=10).json() == {}
    requests.get(f"{stub.http}/release/{round(1000 * time.time()) - 1000}", timeout=10)
    assert status() == ("completed", False)
    for told in ("asked", "noticed"):
        assert list(requests.get(f"{stub.http}/{told}", timeout=10).json()) == [str(after_a_second)]


def test_dbt_cloud_has_the_same_result(stub: Stub) -> None:
    ended = task_id(8, ends_ms=0)
    requests.get(f"{stub.http}/release/1000", timeout=10)

    ours = requests.get(f"{stub.http}/v1/tasks/{ended}", timeout=10).json()
    theirs = f"{stub.http}/api/v2/accounts/1/runs/{ended}/artifacts/run_results.json"

    assert ours["status"] == "completed"
    assert requests.get(theirs, timeout=10).json() == ours


def test_figures_are_per_wait_and_the_sum_is_that_of_airflow() -> None:
    used = {"PostgreSQL": 20.0, "commits": 950.0, "tup_inserted": 150, "tup_updated": 80, "tup_deleted": 10}
    late = Late(
        asked_after=91.0, deferred_after=None, over_after=200, noticed=[0.5, 3.0], delays=[1.0] * 8 + [7.0, 9.0]
    )
    figures = Figures(
        plan=Plan("sensor", 10, 1, 0, 5.0),
        used={**used, **dict.fromkeys(PROCESSES, 2.0)},
        requests=50,
        workers=20,
        xcoms=140,
        xcom_bytes=20480,
        rows_by_table=Counter(xcom=140, dag=0),
        triggerer_mib=277.0,
        late=late,
        failed="1 waits: a|b",
    )

    text = list(lines([figures], cores=2))

    assert "| sensor | 10 | 1 | 1.000 | 2.000 | 95.0 | 15.0 | 8.0 | 1.0 | 14.0 | 2.00 | 2.00 | 5.0 |" in text
    assert "| sensor | 10 | 1 | 91 | not in time | 0.5 | 3.0 | 1.0 | 9.0 | 9.0 | 200 | 277 | 1 waits: a/b |" in text
    assert text[-1] == "- sensor, 10 waits, 1 DAGs: xcom 14.0"


def test_a_part_that_is_not_measured_again_keeps_its_section(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr("benchmarks.__main__._OUTPUTS", tmp_path)
    last = "# What a wait costs\n\n## Many waits at once\n\n| a | table |\n\n## Another\n"

    written = "\n".join(report(last))

    assert "## Many waits at once\n\n| a | table |" in written
    assert written.count("Not measured.") == len(PARTS) - 1
