"""The faulty API: each mode behaves as its name says, over a socket, for the provider's client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import pytest

from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, ThrottledError, TransientError
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from chaos import api
from chaos.api import MAX_INVALID_RESPONSES, FaultyApi, Mode, Phase

TASK = "video-0s"


@contextmanager
def polling(*phases: Phase) -> Iterator[tuple[FaultyApi, BlockingClient]]:
    with FaultyApi(phases, seeany_task_ids=[TASK], seed=1).running() as running:
        client = BlockingClient(ApiSettings(base_url=f"{running.url}/v1", api_key=Secret("sk-test")))
        running.begin()
        yield running, client
        client.close()


def kind(client: BlockingClient) -> type[ApiError] | None:
    try:
        client.get_task(TASK)
    except ApiError as error:
        return type(error)
    return None


def test_garbage_is_of_every_transient_kind_and_never_fails_a_wait() -> None:
    with polling(Phase(Mode.GARBAGE, 0, 600)) as (running, client):
        kinds = [kind(client) for _ in range(300)]

    assert set(kinds) == {None, TransientError, ThrottledError, InvalidResponseError}
    rows = [len(list(row)) for what, row in groupby(kinds) if what is InvalidResponseError]
    assert max(rows) <= MAX_INVALID_RESPONSES
    assert running.requests == {TASK: 300}
    assert running.faults.total() == sum(what is not None for what in kinds)


def test_an_api_that_is_down_can_be_reached_again_after_the_phase() -> None:
    with polling(Phase(Mode.DOWN, 0, 1)) as (_, client):
        assert kind(client) is TransientError
        deadline = time.monotonic() + 10
        while kind(client) is not None:
            assert time.monotonic() < deadline


def test_a_slow_response_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SLOW_SECONDS", 0.1)
    with polling(Phase(Mode.SLOW, 0, 600)) as (running, client):
        assert kind(client) is None

    assert running.faults.total() == 1


def test_tasks_end_on_time_even_if_they_were_never_polled() -> None:
    running = FaultyApi([], seeany_task_ids=["video-1s"], seed=1)
    with running.running():
        running.begin()
        assert running.began is not None
        time.sleep(max(running.began + 1.1 - time.time(), 0))
        client = BlockingClient(ApiSettings(base_url=f"{running.url}/v1", api_key=Secret("sk-test")))
        reply = client.get_task("video-1s")
        client.close()

    assert isinstance(reply, SeeAnyTask)
    assert reply.is_completed
