"""The outcomes of a wait, which travel from the triggerer to a worker as plain JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from airflow_provider_seeany.api import errors
from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.outcome import Refused, decode_outcome

FIELDS = {
    "http_status": 429,
    "code": "7",
    "message": "忙",
    "request_id": "req_1",
    "retry_after": 3.0,
    "is_web_page": True,
}


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ApiError)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ApiError], ids=lambda kind: kind.__name__)
def test_every_error_of_a_request_reaches_the_worker_as_it_was(kind: type[ApiError]) -> None:
    error = kind("refused", **FIELDS)  # type: ignore[arg-type]

    outcome = decode_outcome(json.loads(json.dumps(msgspec.to_builtins(Refused.of(error)))))

    assert isinstance(outcome, Refused)
    rebuilt = outcome.error()
    assert type(rebuilt) is kind
    assert (str(rebuilt), vars(rebuilt)) == (str(error), vars(error))
