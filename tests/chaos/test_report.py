"""Tests that the report counts what went wrong and names it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from chaos.course import BLOWS_TO_TWO_TRIGGERERS, Findings, Struck
from chaos.plan import WAITS
from chaos.report import report
from tests.chaos.test_verdict import SERVICE, left_by


def findings(**change: object) -> Findings:
    """Return what a course leaves in which nothing was lost."""
    calm = Findings(
        name="a course",
        service=SERVICE,
        left={wait.task_id: left_by(wait) for wait in WAITS},
        requests=700,
        faults=Counter({"500": 20, "429": 30}),
        struck=tuple(Struck(blow, blow.at, 7) for blow in BLOWS_TO_TWO_TRIGGERERS),
        seconds=200,
    )
    return replace(calm, **change)  # type: ignore[arg-type]


def test_a_course_without_loss_has_nothing_wrong_and_tells_its_numbers() -> None:
    text, wrong = report(findings())

    assert wrong == 0
    for told in ("50: 30 × 429, 20 × 500", "700 that reached the API", "delay      5.0 s at worst", "on 7 waits"):
        assert told in text


def test_a_lost_wait_is_counted_and_named() -> None:
    lost = WAITS[3]
    calm = findings()

    text, wrong = report(replace(calm, left={**calm.left, lost.task_id: replace(left_by(lost), state="deferred")}))

    assert wrong == 1
    assert f"{lost.task_id} is deferred" in text


def test_a_blow_that_hit_no_wait_is_no_proof() -> None:
    missed = tuple(Struck(blow, blow.at, 0) for blow in BLOWS_TO_TWO_TRIGGERERS)

    text, wrong = report(findings(struck=missed))

    assert wrong == sum(not blow.may_miss for blow in BLOWS_TO_TWO_TRIGGERERS)
    assert "nothing was tried when one of two triggerers is killed (-9) for good" in text
