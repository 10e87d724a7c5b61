"""The outcomes of a batch, encoded and decoded."""

from __future__ import annotations

import json

import msgspec
import pytest

from airflow_provider_seeany.api.batch_result import (
    BatchAborted,
    BatchOutcome,
    BatchTimedOut,
    decode_batch_outcome,
)
from airflow_provider_seeany.api.collector import ResultCollector
from airflow_provider_seeany.api.outcome import Crashed, Misconfigured, Refused
from tests.api.tasks import completed, refusal

IDS = ["b", "a", "c"]


def test_an_outcome_survives_its_way_to_the_worker() -> None:
    results = ResultCollector(IDS)
    results.add(0, completed("b"))
    results.fail(1, "no")
    outcomes: list[BatchOutcome] = [
        results.result(),
        BatchTimedOut(result=results.result(), last_error="reset"),
        BatchAborted(why=Refused.of(refusal(401)), result=results.result()),
        BatchAborted(why=Crashed("why"), result=results.result()),
        Misconfigured("no key"),
    ]

    for outcome in outcomes:
        assert decode_batch_outcome(json.loads(json.dumps(msgspec.to_builtins(outcome)))) == outcome

    with pytest.raises(ValueError, match="later"):
        decode_batch_outcome({"type": "of_a_later_version"})
