"""The outcomes of a wait, which travel from the triggerer to a worker as plain JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.api import errors
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, PermanentError
from airflow_provider_seeany.api.outcome import (
    BadId,
    Crashed,
    Finished,
    Misconfigured,
    Outcome,
    Refused,
    TimedOut,
    decode_outcome,
)
from tests.api.single_wait import api_error
from tests.hostile import COMPLETED, FAILED

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


OUTCOMES: list[Outcome] = [
    Finished(COMPLETED),
    Finished({**FAILED, "new": [None, 1.5, {"a": "任务"}]}),
    Refused.of(api_error(PermanentError)),
    Refused.of(
        api_error(
            InvalidResponseError,
            http_status=503,
            code="c",
            message="m",
            request_id="r",
            retry_after=1.5,
            is_web_page=True,
        )
    ),
    TimedOut(),
    TimedOut(last_snapshot="processing 65 %", last_error="HTTP 502"),
    TimedOut(last_snapshot="done", result_url="https://h/v", looks_ended=True),
    Misconfigured("no key"),
    BadId("no id"),
    Crashed("RuntimeError: 怪"),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_survives_the_way_from_the_triggerer_to_a_worker(outcome: Outcome) -> None:
    travelled = json.loads(json.dumps(msgspec.to_builtins(outcome)))

    assert decode_outcome(travelled) == outcome
    assert decode_outcome(msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(outcome)))) == outcome


@pytest.mark.parametrize(
    "event",
    [{}, {"type": "later"}, {"type": "finished"}, {"type": "refused", "error_type": "AnotherError", "text": "no"}],
)
def test_an_outcome_of_another_version_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is msgspec's
        decode_outcome(event)
