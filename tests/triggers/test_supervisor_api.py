"""The in-process API of a triggerer: built once, by a thread, for its first wait, without blocking anything else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest

from airflow_provider_seeany.api.settings import DEFER_GRACE
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS
from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.triggers.supervisor_api import Builder
from tests.waits import starts_triggers


class SlowApi:
    """Makes APIs whose first request takes as long as a test wants."""

    def __init__(self) -> None:
        self.built = 0
        self.may_build = threading.Event()

    def __call__(self) -> Any:
        return SimpleNamespace(transport=httpx.WSGITransport(app=self._respond))

    def _respond(self, environ: Any, start_response: Any) -> list[bytes]:
        assert self.may_build.wait(30)
        self.built += 1
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def slow() -> Iterator[SlowApi]:
    api = SlowApi()
    yield api
    api.may_build.set()


def test_nothing_is_built_before_a_wait_requests_it(slow: SlowApi) -> None:
    slow.may_build.set()

    Builder(slow).start()

    assert slow.built == 0


async def test_waits_continue_together_once_it_is_built_and_other_tasks_meanwhile(slow: SlowApi) -> None:
    builder = Builder(slow)
    builder.start()
    waits = [asyncio.create_task(builder.built()) for _ in range(3)]
    # The supervisor gets the same one.
    supervisor = asyncio.create_task(asyncio.to_thread(builder.api))
    for _ in range(20):
        await asyncio.sleep(0.01)  # this loop runs
    assert not any(task.done() for task in (*waits, supervisor))

    slow.may_build.set()
    await asyncio.gather(*waits)

    assert await supervisor is builder.api()
    assert slow.built == 1


async def test_a_later_wait_continues_at_once(slow: SlowApi) -> None:
    slow.may_build.set()
    builder = Builder(slow)
    builder.start()
    builder.start()  # as at every fork of the process
    await builder.built()

    await builder.built()

    assert slow.built == 1


async def test_a_wait_that_is_cancelled_meanwhile_cancels_no_other(slow: SlowApi) -> None:
    builder = Builder(slow)
    builder.start()
    ended, other = (asyncio.create_task(builder.built()) for _ in range(2))
    await asyncio.sleep(0)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended

    slow.may_build.set()
    await other


async def test_waits_continue_if_it_cannot_be_built_in_advance(caplog: pytest.LogCaptureFixture) -> None:
    api = SimpleNamespace()
    builder = Builder(lambda: api)  # type: ignore[arg-type, return-value]
    builder.start()

    await builder.built()

    assert builder.api() is api
    assert "Airflow will build it" in caplog.text


async def test_waits_continue_if_the_supervisor_is_silent(slow: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_api, "MAX_WAIT", 0.01)

    await Builder(slow).built()


async def test_outside_a_triggerer_there_is_nothing_to_wait_for() -> None:
    await supervisor_api.built()
    supervisor_api.built_in_template()


def in_child(go: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it in a process that is forked from this one; fail if that fails."""
    if (pid := os.fork()) == 0:
        try:
            asyncio.new_event_loop().run_until_complete(asyncio.wait_for(go(), 20))
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def test_a_builder_that_was_made_in_the_child_blocks_no_wait(
    slow: SlowApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow loaded no plugin in the supervisor, so no thread was started there."""
    monkeypatch.setattr(supervisor_api, "_builder", Builder(slow))

    async with asyncio.timeout(20):
        await supervisor_api.built()
        supervisor_api.built_in_template()


def test_the_supervisor_responds_to_triggers_in_the_child(slow: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.may_build.set()
    builder = Builder(slow)
    monkeypatch.setattr(supervisor_api, "_builder", builder)
    builder.start()

    in_child(supervisor_api.built)

    assert slow.built == 1


@starts_triggers
def test_the_same_thread_then_ends_tasks_for_the_triggers(slow: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.may_build.set()
    ended: list[Success] = []
    monkeypatch.setattr(supervisor_api, "end_as_success", lambda success: ended.append(success) or True)
    builder = Builder(slow)
    monkeypatch.setattr(supervisor_api, "_builder", builder)
    builder.start()
    success = Success(UUID("019a0000-0000-7000-8000-000000000001"), 7, {"cost": 0.7})

    async def end() -> None:
        assert supervisor_api.channel() is None
        await supervisor_api.built()
        channel = supervisor_api.channel()
        assert channel is not None
        assert await channel.succeed(success)

    in_child(end)

    assert ended == [success]


@starts_triggers
async def test_without_the_database_of_this_airflow_waits_continue_and_end_in_workers(
    slow: SlowApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "airflow_provider_seeany.database", None)
    slow.may_build.set()
    builder = Builder(slow)
    builder.start()

    async with asyncio.timeout(20):
        await builder.built()

    assert builder.channel is None
    assert "SeeAny waits end in workers" in caplog.text


async def test_the_supervisor_itself_has_no_channel() -> None:
    assert supervisor_api.channel() is None


def test_a_wait_continues_at_its_deadline_before_it_is_built(slow: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_api, "_builder", Builder(slow))

    in_child(lambda: supervisor_api.built(time.time() - 1))


async def test_waits_continue_if_the_socket_to_the_supervisor_is_closed(
    slow: SlowApi, caplog: pytest.LogCaptureFixture
) -> None:
    builder = Builder(slow)
    builder._supervisor_end.close()

    async with asyncio.timeout(20):
        await asyncio.gather(*(builder.built() for _ in range(3)))

    assert caplog.text.count("continue without") == 1


def test_a_wait_polls_well_before_airflow_ends_it() -> None:
    assert DEFER_GRACE.total_seconds() > supervisor_api.MAX_WAIT + LAST_POLL_SECONDS
