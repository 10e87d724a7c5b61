"""The worker's part of the wait for one task: its polls, and the trigger that continues the wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from airflow_provider_seeany.exceptions import (
    SeeAnyConnectionNotFound,
    SeeAnyRepeatedResponseError,
    SeeAnyTaskNotFound,
    SeeAnyTaskNotReady,
)
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.wait.task import TaskWait
from tests.hostile import HostileServer, accepting, page, reply, task
from tests.waits import KINDS, TASK_SETTINGS, context, each_dialect, wait

each_kind = pytest.mark.parametrize("kind", KINDS)


def task_wait(**more: Any) -> TaskWait:
    began = more.pop("began", None)
    settings = msgspec.structs.replace(TASK_SETTINGS, **more)
    log = logging.getLogger()
    return TaskWait(seeany_task_id="x", seeany_conn_id="seeany_default", settings=settings, log=log, began=began)


@pytest.mark.parametrize("interval", [0.1, 5, 7, 10, 3600])
def test_the_trigger_polls_between_five_and_ten_seconds_after_the_deferral(interval: float) -> None:
    for _ in range(200):
        before = time.time()
        first_poll_at = task_wait(poll_interval=interval).trigger().first_poll_at
        assert first_poll_at is not None
        assert before + 5 <= first_poll_at <= time.time() + 10


@each_dialect
def test_the_workers_snapshot_goes_along_with_the_trigger(hostile: HostileServer, connect: Callable[..., None]) -> None:
    connect(host=hostile.url)
    hostile.script(task(progress=65, estimated_remaining=42), reply(500))
    waiting = task_wait()

    assert waiting.poll() is None
    assert waiting.poll() is None

    last_snapshot = waiting.trigger().last_snapshot
    assert last_snapshot is not None
    assert (last_snapshot["progress"], last_snapshot["estimated_remaining"]) == (65, 42)


def test_the_first_poll_is_never_before_retry_after_nor_after_the_deadline(
    hostile: HostileServer, connect: Callable[..., None]
) -> None:
    connect(host=hostile.url)
    hostile.script(reply(429, b"", ("Retry-After", "600")))
    long, short = task_wait(timeout=3600), task_wait(timeout=60)
    before = time.time()
    for waiting in (long, short):
        assert waiting.poll() is None

    assert (long.trigger().first_poll_at or 0) >= before + 600
    assert abs((short.trigger().first_poll_at or 0) - (short.trigger().deadline or 0)) < 5


@each_dialect
def test_an_error_for_a_running_task_names_its_last_snapshot(
    hostile: HostileServer, connect: Callable[..., None]
) -> None:
    connect(host=hostile.url)
    hostile.script(task(progress=65))

    with pytest.raises(SeeAnyTaskNotReady, match=r"^SeeAny task x is not done yet: processing 65 %.$"):
        task_wait().result()


@each_dialect
def test_a_poke_in_a_later_process_knows_when_the_wait_began(
    hostile: HostileServer, connect: Callable[..., None]
) -> None:
    connect(host=hostile.url)
    hostile.script(reply(404))

    assert task_wait(began=time.time() - 5).poll() is None
    with pytest.raises(SeeAnyTaskNotFound):
        task_wait(began=time.time() - 31, timeout=3600).poll()


def test_a_later_poke_retries_a_missing_connection_and_then_names_it(
    hostile: HostileServer, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.script(task())
    monkeypatch.setattr(time, "sleep", lambda seconds: connect(host=hostile.url))
    assert task_wait(began=time.time() - 60, timeout=3600).poll() is None

    monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT")
    monkeypatch.setattr(reauth, "CONNECTION_RETRY_SECONDS", 0.0)
    with pytest.raises(SeeAnyConnectionNotFound, match="'seeany_default'"):
        task_wait(began=time.time() - 60, timeout=3600).poll()


@each_dialect
def test_a_poke_picks_up_a_replaced_key(hostile: HostileServer, connect: Callable[..., None]) -> None:
    connect(host=hostile.url)
    hostile.script(task(), accepting("sk-new", task(status="completed"), otherwise=reply(401)))
    waiting = task_wait()
    assert waiting.poll() is None

    connect(host=hostile.url, password="sk-new")

    assert waiting.poll() is not None
    waiting.hook.close()
    hostile.until(lambda: hostile.open == 0)


def test_waits_deferred_together_do_not_poll_together() -> None:
    moments = sorted(task_wait().trigger().first_poll_at or 0 for _ in range(200))

    assert moments[-1] - moments[0] > 0.3


def test_the_first_poll_is_not_later_than_the_deadline() -> None:
    for _ in range(200):
        trigger = task_wait(timeout=7).trigger()
        assert trigger.first_poll_at is not None
        assert trigger.deadline is not None
        assert trigger.first_poll_at <= trigger.deadline


def test_a_trigger_never_polls_so_soon_that_it_could_lose_its_task_however_near_the_deadline_is() -> None:
    before = time.time()

    assert (task_wait(timeout=1).trigger().first_poll_at or 0) >= before + 5


@pytest.mark.usefixtures("_invalid_responses_count_at_once")
def test_a_later_poke_decides_whether_invalid_responses_end_the_wait(
    hostile: HostileServer, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of the next poke would begin to count from zero, and the wait would never end."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    connect(host=hostile.url)
    hostile.script(page(200), task())
    assert task_wait(began=time.time() - 60, poll_interval=600).poll() is None
    assert len(hostile.requests) == 2

    hostile.script(page(200))
    with pytest.raises(SeeAnyRepeatedResponseError):
        task_wait(began=time.time() - 60, poll_interval=600).poll()

    # Some seconds each, however long the interval: it holds a worker.
    assert max(slept) == 15


def test_the_first_poke_leaves_an_invalid_response_to_the_next_one(
    hostile: HostileServer, connect: Callable[..., None]
) -> None:
    connect(host=hostile.url)
    hostile.script(page(200))

    assert task_wait().poll() is None
    assert len(hostile.requests) == 1


@each_kind
@pytest.mark.usefixtures("_connected")
def test_a_wait_that_a_user_ends_in_a_worker_logs_that_the_task_continues(
    hostile: HostileServer, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    hostile.script(task())
    waiting = wait(kind, deferrable=False)
    assert waiting.poll(context()) is None

    waiting.on_kill()

    assert "SeeAny task x was ended" in caplog.text
    assert "may still finish and cost money" in caplog.text
    hostile.until(lambda: hostile.open == 0)


@each_kind
def test_a_wait_that_a_user_ends_before_its_first_poll_logs_nothing(
    caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    wait(kind, "{{ not_rendered_yet }}").on_kill()

    assert caplog.text == ""
