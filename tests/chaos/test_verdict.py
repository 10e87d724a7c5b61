"""The verdict notices a wait that was lost, duplicated or changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_seeany.api.collector import ResultCollector
from chaos.plan import WAITS, PlannedWait
from chaos.verdict import Observed, Service, expected_xcoms, problems, seconds_late

SERVICE = Service("http://127.0.0.1:1", began=1_000_000.0)


def some_wait(outcome: str, *, kind: str = "sensor") -> PlannedWait:
    return next(wait for wait in WAITS if (wait.outcome, wait.kind) == (outcome, kind))


def observed_by(wait: PlannedWait) -> Observed:
    """Return what a wait leaves if nothing goes wrong."""
    xcoms = expected_xcoms(wait, SERVICE)
    return Observed(
        state="success" if wait.outcome == "completed" else "failed",
        tries=1,
        start=datetime.fromtimestamp(SERVICE.began + 2, UTC),
        end=datetime.fromtimestamp(SERVICE.began + wait.ends_after + 5, UTC),
        xcoms=xcoms,
        log={"failed": "SeeAnyTaskFailed: no", "timed out": "SeeAnyTaskTimeout: late"}.get(wait.outcome, ""),
        reached_downstream=(xcoms.get("return_value"),),
    )


def problems_of(wait: PlannedWait, observed: Observed) -> str:
    return "\n".join(problems(wait, observed, SERVICE))


def test_a_batch_is_expected_to_return_what_it_returns_without_faults() -> None:
    wait = some_wait("completed", kind="batch")
    collector = ResultCollector(wait.seeany_task_ids)
    for index, task in enumerate(map(SERVICE.task, wait.seeany_task_ids)):
        collector.add(index, task) if task.is_completed else collector.fail(index, task.failure_reason)

    assert expected_xcoms(wait, SERVICE) == {"return_value": collector.result().as_json()}


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.task_id)
def test_a_wait_without_faults_has_no_problem(wait: PlannedWait) -> None:
    assert problems_of(wait, observed_by(wait)) == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"state": "deferred"}, "is deferred, not success"),
        ({"state": "failed"}, "is failed, not success"),
        ({"tries": 2}, "took 2 tries"),
        ({"xcoms": {}}, "has no XCom"),
        ({"reached_downstream": ()}, "followed by 0 runs"),
        ({"reached_downstream": (None,)}, "passed None downstream, not"),
    ],
)
@pytest.mark.parametrize("kind", ["sensor", "operator", "batch"])
def test_a_completed_wait_that_is_lost_or_changed_is_noticed(
    kind: str, change: dict[str, object], problem: str
) -> None:
    wait = some_wait("completed", kind=kind)

    assert problem in problems_of(wait, replace(observed_by(wait), **change))  # type: ignore[arg-type]


def test_a_wrong_xcom_and_an_additional_one_are_noticed() -> None:
    wait = some_wait("completed")
    observed = observed_by(wait)

    assert "has the XCom cost = '0.8'" in problems_of(wait, replace(observed, xcoms={**observed.xcoms, "cost": "0.8"}))
    assert "has the XCom stray = 1, not None" in problems_of(
        wait, replace(observed, xcoms={**observed.xcoms, "stray": 1})
    )


def test_a_downstream_task_that_ran_twice_is_noticed() -> None:
    wait = some_wait("completed")
    observed = observed_by(wait)

    assert "followed by 2 runs" in problems_of(
        wait, replace(observed, reached_downstream=observed.reached_downstream * 2)
    )


@pytest.mark.parametrize("outcome", ["failed", "timed out"])
def test_a_failure_for_another_reason_is_noticed(outcome: str) -> None:
    wait = some_wait(outcome)

    assert "does not log SeeAnyTask" in problems_of(wait, replace(observed_by(wait), log="TaskDeferralError"))


def test_a_timeout_that_the_trigger_missed_is_noticed() -> None:
    wait = some_wait("timed out")
    observed = observed_by(wait)

    log = f"{observed.log} last error: the triggerer did not report in time; is one running?"
    assert "was timed out by Airflow" in problems_of(wait, replace(observed, log=log))


def test_lateness_counts_from_the_end_of_the_seeany_task_or_from_the_timeout() -> None:
    completed, timed_out = some_wait("completed"), some_wait("timed out")

    assert seconds_late(completed, observed_by(completed), SERVICE) == pytest.approx(5)
    assert seconds_late(timed_out, observed_by(timed_out), SERVICE) == pytest.approx(3)
    assert seconds_late(completed, replace(observed_by(completed), end=None), SERVICE) is None
