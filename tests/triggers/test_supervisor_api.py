"""What a triggerer builds for its first wait: by a thread, once, and nobody is held up by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from airflow_provider_seeany.triggers import supervisor_api
from airflow_provider_seeany.triggers.supervisor_api import Builder


class SlowApi:
    """Makes APIs whose first request takes as long as a test wants."""

    def __init__(self) -> None:
        self.built = 0
        self.go_on = threading.Event()

    def __call__(self) -> Any:
        return SimpleNamespace(transport=httpx.WSGITransport(app=self._answer))

    def _answer(self, environ: Any, start_response: Any) -> list[bytes]:
        assert self.go_on.wait(30)
        self.built += 1
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def slow() -> Iterator[SlowApi]:
    api = SlowApi()
    yield api
    api.go_on.set()


def test_nothing_is_built_before_a_wait_asks_for_it(slow: SlowApi) -> None:
    slow.go_on.set()

    Builder(slow).start()

    assert slow.built == 0


async def test_waits_go_on_together_when_it_is_built_and_others_meanwhile(slow: SlowApi) -> None:
    builder = Builder(slow)
    builder.start()
    waits = [asyncio.create_task(builder.built()) for _ in range(3)]
    # What the supervisor needs meanwhile it gets from the same one.
    supervisor = asyncio.create_task(asyncio.to_thread(builder.api))
    for _ in range(20):
        await asyncio.sleep(0.01)  # this loop turns
    assert not any(task.done() for task in (*waits, supervisor))

    slow.go_on.set()
    await asyncio.gather(*waits)

    assert await supervisor is builder.api()
    assert slow.built == 1


async def test_a_wait_that_comes_later_goes_on_at_once(slow: SlowApi) -> None:
    slow.go_on.set()
    builder = Builder(slow)
    builder.start()
    builder.start()  # every fork of the process says so
    await builder.built()

    await builder.built()

    assert slow.built == 1


async def test_a_wait_that_is_ended_meanwhile_ends_no_other(slow: SlowApi) -> None:
    builder = Builder(slow)
    builder.start()
    ended, other = (asyncio.create_task(builder.built()) for _ in range(2))
    await asyncio.sleep(0)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended

    slow.go_on.set()
    await other


async def test_waits_go_on_if_it_cannot_be_built_in_advance(caplog: pytest.LogCaptureFixture) -> None:
    api = SimpleNamespace()
    builder = Builder(lambda: api)  # type: ignore[arg-type, return-value]
    builder.start()

    await builder.built()

    assert builder.api() is api
    assert "Airflow will try itself" in caplog.text


async def test_waits_go_on_if_nobody_answers(slow: SlowApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_api, "MAXIMUM_WAIT", 0.01)

    await Builder(slow).built()


async def test_outside_a_triggerer_there_is_nothing_to_wait_for() -> None:
    await supervisor_api.built()
    supervisor_api.built_in_template()
