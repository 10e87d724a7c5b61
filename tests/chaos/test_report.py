"""The report counts and names the problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from chaos.experiment import DISRUPTIONS_OF_TWO_TRIGGERERS, Applied, Findings
from chaos.plan import WAITS
from chaos.report import report
from tests.chaos.test_verdict import SERVICE, observed_by


def findings(**change: object) -> Findings:
    """Return the findings of an experiment without problems."""
    good = Findings(
        name="an experiment",
        service=SERVICE,
        observed={wait.task_id: observed_by(wait) for wait in WAITS},
        requests=700,
        faults=Counter({"500": 20, "429": 30}),
        applied=tuple(Applied(disruption, disruption.at, 7) for disruption in DISRUPTIONS_OF_TWO_TRIGGERERS),
        seconds=200,
    )
    return replace(good, **change)  # type: ignore[arg-type]


def test_an_experiment_without_loss_reports_no_problem_and_its_numbers() -> None:
    text, wrong = report(findings())

    assert wrong == 0
    for part in ("50: 30 × 429, 20 × 500", "700 that reached the API", "delay      5.0 s at worst", "on 7 waits"):
        assert part in text


def test_a_lost_wait_is_counted_and_named() -> None:
    lost = WAITS[3]
    good = findings()

    text, wrong = report(
        replace(good, observed={**good.observed, lost.task_id: replace(observed_by(lost), state="deferred")})
    )

    assert wrong == 1
    assert f"{lost.task_id} is deferred" in text


def test_a_disruption_that_hit_no_wait_is_a_problem() -> None:
    missed = tuple(Applied(disruption, disruption.at, 0) for disruption in DISRUPTIONS_OF_TWO_TRIGGERERS)

    text, wrong = report(findings(applied=missed))

    assert wrong == sum(not disruption.may_miss for disruption in DISRUPTIONS_OF_TWO_TRIGGERERS)
    assert "nothing was tested when one of two triggerers is killed (-9) for good" in text
