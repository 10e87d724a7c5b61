"""Waits that begin in one event loop at about the same time read their connection once, and never an old one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyConnectionNotFound
from airflow_provider_seeany.hooks import shared_read
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.hooks.shared_read import fresh_settings, shared_settings
from tests.hostile import POLL_TIMEOUT, HostileServer, accepting, reply, task


class Airflow:
    """Airflow's connections, which are slow to read: the key of each, or an error."""

    def __init__(self, host: str) -> None:
        self.keys: dict[str, str | None] = {"studio": "sk-old", "other": "sk-other"}
        self.read: list[str] = []
        """The ids that were read."""
        self.responds = asyncio.Event()
        self.responds.set()
        self._host = host

    async def connection(self, conn_id: str, hook: Any = None) -> Connection:
        """Return a connection as a hook gets it."""
        self.read.append(conn_id)
        await self.responds.wait()
        if conn_id not in self.keys:
            raise AirflowNotFoundException(conn_id)
        return Connection(conn_id=conn_id, conn_type="seeany", host=self._host, password=self.keys[conn_id])


@pytest.fixture
async def airflow(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    hostile.script(task())
    airflow = Airflow(hostile.url)
    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", airflow.connection)
    return airflow


async def key_of(conn_id: str, hook: type[SeeAnyHook] = SeeAnyHook) -> Secret:
    """Begin a wait; return the key that it polls with."""
    return (await shared_settings(conn_id, hook(conn_id))).api_key


async def started(*begun: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    """Return tasks that have got as far as they can."""
    tasks = [asyncio.ensure_future(each) for each in begun]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


class OtherHook(SeeAnyHook):
    """A hook that might get its connections elsewhere."""


@pytest.mark.parametrize(
    ("begin", "reads"),
    [
        ([("studio", SeeAnyHook)] * 20, ["studio"]),
        ([("studio", SeeAnyHook), ("other", SeeAnyHook)] * 2, ["studio", "other"]),
        ([("studio", SeeAnyHook), ("studio", OtherHook)], ["studio", "studio"]),
    ],
    ids=["one connection", "two connections", "two kinds of hooks"],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_waits_that_begin_together_read_each_connection_once(
    airflow: Airflow, begin: list[tuple[str, type[SeeAnyHook]]], reads: list[str], at_once: bool
) -> None:
    if at_once:
        keys = await asyncio.gather(*(key_of(*each) for each in begin))
    else:
        keys = [await key_of(*each) for each in begin]

    assert keys == [Secret("sk-old" if conn_id == "studio" else "sk-other") for conn_id, _ in begin]
    assert airflow.read == reads


async def test_hooks_share_the_read_too(airflow: Airflow) -> None:
    await asyncio.gather(*(SeeAnyHook("studio").aget_task("x") for _ in range(5)))

    assert airflow.read == ["studio"]


async def test_a_wait_that_begins_later_reads_the_connection_itself(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_read, "SHARED_FOR", 0.05)
    assert await key_of("studio") == Secret("sk-old")
    airflow.keys["studio"] = "sk-new"

    async with asyncio.timeout(POLL_TIMEOUT):
        while await key_of("studio") != Secret("sk-new"):
            await asyncio.sleep(0.01)


async def test_a_read_that_hangs_holds_up_only_the_waits_that_began_with_it(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_read, "SHARED_FOR", 0.0)
    airflow.responds.clear()
    (hanging,) = await started(key_of("studio"))
    airflow.responds = asyncio.Event()
    airflow.responds.set()

    async with asyncio.timeout(POLL_TIMEOUT):
        assert await key_of("studio") == Secret("sk-old")
    assert not hanging.done()
    hanging.cancel()


@pytest.mark.parametrize("was_refused", [True, False])
async def test_a_read_that_ends_when_it_is_no_longer_shared_is_not_kept(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch, was_refused: bool
) -> None:
    """Since it has begun a key was refused, or it took too long."""
    monkeypatch.setattr(shared_read, "SHARED_FOR", 3600.0 if was_refused else 0.0)
    airflow.responds.clear()
    (slow,) = await started(key_of("studio"))
    slow_responds, airflow.responds = airflow.responds, asyncio.Event()
    airflow.responds.set()
    if was_refused:
        await fresh_settings("studio", SeeAnyHook("studio"))

    slow_responds.set()
    assert await slow == Secret("sk-old")
    airflow.keys["studio"] = "sk-new"

    assert await key_of("studio") == Secret("sk-new")


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_wait_that_is_cancelled_does_not_cancel_the_read_of_the_others(
    airflow: Airflow, cancelled: int
) -> None:
    airflow.responds.clear()
    waits = await started(key_of("studio"), key_of("studio"))
    waits.pop(cancelled).cancel()
    await started()
    airflow.responds.set()

    assert await waits[0] == Secret("sk-old")
    assert airflow.read == ["studio"]


@pytest.mark.parametrize(
    ("key", "error"), [(..., SeeAnyConnectionNotFound), (None, SeeAnyConfigError)], ids=["missing", "no key"]
)
async def test_an_error_is_not_kept(airflow: Airflow, key: Any, error: type[Exception]) -> None:
    if key is ...:
        del airflow.keys["studio"]
    else:
        airflow.keys["studio"] = key
    failures = await asyncio.gather(*(key_of("studio") for _ in range(3)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {error}
    assert airflow.read == ["studio"]

    airflow.keys["studio"] = "sk-new"

    assert await key_of("studio") == Secret("sk-new")


@pytest.mark.parametrize("refusal", [401, 403])
async def test_a_refused_key_is_read_anew_and_no_wait_begins_with_it_again(
    airflow: Airflow, hostile: HostileServer, refusal: int
) -> None:
    hostile.script(accepting("sk-new", task(), otherwise=reply(refusal)))
    await key_of("studio")
    airflow.keys["studio"] = "sk-new"

    for _ in range(2):
        assert (await SeeAnyHook("studio").aget_task("x")).id == "x"

    assert [request.all("Authorization") for request in hostile.requests] == [
        ["Bearer sk-old"],
        ["Bearer sk-new"],
        ["Bearer sk-new"],
    ]


@pytest.mark.skipif(
    not AIRFLOW_V_3_3_PLUS, reason="before 3.3, what Airflow reads a connection with keeps the loop itself"
)
def test_an_event_loop_is_not_kept_for_what_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def begin() -> ref[asyncio.AbstractEventLoop]:
        airflow = Airflow("https://api.example.com")
        monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", airflow.connection)
        await key_of("studio")
        del airflow.keys["studio"]
        with suppress(SeeAnyConnectionNotFound):
            await key_of("other")
        return ref(asyncio.get_running_loop())

    loop = asyncio.run(begin())
    gc.collect()

    assert loop() is None
