"""Parsing a response: any bytes at all end in a task, a typed error, or a wait."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.intervals import AdaptiveInterval
from airflow_provider_seeany.api.outcome import decode_outcome
from airflow_provider_seeany.api.parse import parse_task
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.result_urls import is_web_url
from airflow_provider_seeany.api.task import RESULT_FIELDS, SeeAnyTask
from airflow_provider_seeany.api.wait import Pause, Wait
from airflow_provider_seeany.exceptions import SeeAnyError, api_error
from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.outcomes import completed_task
from tests.conftest import KEY
from tests.fuzz import examples
from tests.fuzz.responses import responses
from tests.hostile import VIDEO
from tests.recorded_log import RecordedLog

MAX_TEXT_LENGTH = 1500
"""No text is longer than that: 500 characters of foreign text, twice, and our own words."""


def read(response: Response, dialect: Dialect) -> SeeAnyTask | ApiError:
    """Read a response as both transports do."""
    try:
        return parse_task(response, VIDEO, dialect)
    except ApiError as error:
        return error


def assert_fit_to_show(text: str) -> None:
    """See that a text can neither forge a line of a log nor spread the key."""
    assert text.isprintable(), ascii(text)
    assert len(text) <= MAX_TEXT_LENGTH
    assert KEY not in text


@examples(10_000)
@given(responses(), st.sampled_from(list(DIALECTS.values())))
def test_any_response_ends_in_a_task_a_typed_error_or_a_wait(response: Response, dialect: Dialect) -> None:
    log = RecordedLog()
    wait = Wait(
        VIDEO, polling=AdaptiveInterval(poll_interval=10, max_poll_interval=30), deadline=None, log=log, began=0.0
    )

    reply = read(response, dialect)
    step = wait.receive(reply, 5.0)

    for line in log.infos + log.warnings:
        assert_fit_to_show(line)
    if isinstance(reply, ApiError):
        assert_fit_to_show(str(api_error(reply, seeany_conn_id="c", seeany_task_id=VIDEO)))
    if isinstance(step, Pause):
        assert 0 < step.seconds <= 3600 * 1.1
        return
    # As it travels from the triggerer, in both of the encodings that Airflow uses.
    encoded = msgspec.to_builtins(step)
    msgspec.msgpack.encode(encoded)
    outcome = decode_outcome(json.loads(json.dumps(encoded)))
    try:
        task = completed_task(outcome, seeany_task_id=VIDEO, seeany_conn_id="c", timeout=60)
    except SeeAnyError as error:
        assert_fit_to_show(str(error))
        return
    xcoms = task.result_fields()
    assert set(xcoms) <= set(RESULT_FIELDS)
    urls = [xcoms.get("video_url"), xcoms.get("thumbnail_url"), *xcoms.get("result_urls", [])]
    urls += [link.url_of(task) or None for link in RESULT_LINKS]
    assert all(url is None or is_web_url(url) for url in urls)
    sent = json.dumps([xcoms, task.as_json()])
    assert KEY not in sent
    assert "\\u0000" not in sent
