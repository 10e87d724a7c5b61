"""Tests that the chaos notices a wait that was lost, doubled or changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chaos.plan import WAITS, PlannedWait
from chaos.verdict import Left, Service, complaints, expected_xcoms, seconds_late

SERVICE = Service("http://127.0.0.1:1", began=1_000_000.0)


def some_wait(outcome: str, *, kind: str = "sensor") -> PlannedWait:
    return next(wait for wait in WAITS if (wait.outcome, wait.kind) == (outcome, kind))


def left_by(wait: PlannedWait) -> Left:
    """Return what a wait leaves on a calm day."""
    xcoms = expected_xcoms(wait, SERVICE)
    return Left(
        state="success" if wait.outcome == "completed" else "failed",
        tries=1,
        start=datetime.fromtimestamp(SERVICE.began + 2, UTC),
        end=datetime.fromtimestamp(SERVICE.began + wait.ends_after + 5, UTC),
        xcoms=xcoms,
        log={"failed": "SeeAnyTaskFailed: no", "timed out": "SeeAnyTaskTimeout: late"}.get(wait.outcome, ""),
        reached_downstream=(xcoms.get("return_value"),),
    )


def said(wait: PlannedWait, left: Left) -> str:
    return "\n".join(complaints(wait, left, SERVICE))


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.task_id)
def test_a_calm_day_leaves_nothing_to_complain_of(wait: PlannedWait) -> None:
    assert said(wait, left_by(wait)) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"state": "deferred"}, "is deferred, not success"),
        ({"state": "failed"}, "is failed, not success"),
        ({"tries": 2}, "took 2 tries"),
        ({"xcoms": {}}, "has no XCom"),
        ({"reached_downstream": ()}, "followed by 0 runs"),
        ({"reached_downstream": (None,)}, "handed on None, not"),
    ],
)
@pytest.mark.parametrize("kind", ["sensor", "operator", "batch"])
def test_a_completed_wait_that_is_lost_or_changed_is_noticed(
    kind: str, change: dict[str, object], complaint: str
) -> None:
    wait = some_wait("completed", kind=kind)

    assert complaint in said(wait, replace(left_by(wait), **change))  # type: ignore[arg-type]


def test_one_wrong_xcom_among_the_right_ones_is_noticed() -> None:
    wait = some_wait("completed")
    left = left_by(wait)

    assert "has the XCom cost = '0.8'" in said(wait, replace(left, xcoms={**left.xcoms, "cost": "0.8"}))
    assert "has the XCom stray = 1, not None" in said(wait, replace(left, xcoms={**left.xcoms, "stray": 1}))


def test_a_downstream_task_that_ran_twice_is_noticed() -> None:
    wait = some_wait("completed")
    left = left_by(wait)

    assert "followed by 2 runs" in said(wait, replace(left, reached_downstream=left.reached_downstream * 2))


@pytest.mark.parametrize("outcome", ["failed", "timed out"])
def test_a_failure_for_another_reason_is_noticed(outcome: str) -> None:
    wait = some_wait(outcome)

    assert "does not tell of SeeAnyTask" in said(wait, replace(left_by(wait), log="TaskDeferralError"))


def test_a_time_limit_that_the_trigger_missed_is_noticed() -> None:
    wait = some_wait("timed out")
    left = left_by(wait)

    log = f"{left.log} last error: the triggerer did not report in time; is one running?"
    assert "was timed out by Airflow" in said(wait, replace(left, log=log))


def test_lateness_counts_from_the_end_of_the_seeany_task_or_from_the_time_limit() -> None:
    completed, timed_out = some_wait("completed"), some_wait("timed out")

    assert seconds_late(completed, left_by(completed), SERVICE) == pytest.approx(5)
    assert seconds_late(timed_out, left_by(timed_out), SERVICE) == pytest.approx(3)
    assert seconds_late(completed, replace(left_by(completed), end=None), SERVICE) is None
