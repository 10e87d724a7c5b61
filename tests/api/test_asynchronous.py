"""How the waits of one triggerer share an HTTP client."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import msgspec
import pytest

from airflow_provider_seeany.api.asynchronous import AsyncClient, shared_client
from airflow_provider_seeany.api.errors import TransientError
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY, eventually, settings_for
from tests.hostile import Caller, HostileServer, Responder, close, never_respond, reply, task


async def test_waits_with_the_same_settings_share_one_client_and_its_connection(hostile: HostileServer) -> None:
    hostile.script(task())
    async with shared_client(settings_for(hostile)) as one, shared_client(settings_for(hostile)) as two:
        assert one is two
        for _ in range(3):
            assert isinstance(await one.get_task("x"), SeeAnyTask)
            assert isinstance(await two.get_task("x"), SeeAnyTask)
        assert hostile.connections == 1
    await eventually(hostile, lambda: hostile.open == 0)


async def test_another_key_or_address_has_a_client_of_its_own(hostile: HostileServer) -> None:
    settings = settings_for(hostile)
    other = msgspec.structs.replace(settings, api_key=Secret("sk-other"))
    hostile.script(task())
    async with shared_client(settings) as one, shared_client(other) as two:
        assert one is not two
        await one.get_task("x")
        await two.get_task("x")

    assert [request.all("Authorization") for request in hostile.requests] == [[f"Bearer {KEY}"], ["Bearer sk-other"]]


async def test_a_wait_that_ends_leaves_the_connections_to_the_others(hostile: HostileServer) -> None:
    hostile.script(task())
    async with AsyncExitStack() as first, shared_client(settings_for(hostile)) as second:
        await first.enter_async_context(shared_client(settings_for(hostile)))
        await first.aclose()

        assert isinstance(await second.get_task("x"), SeeAnyTask)


async def test_after_the_last_wait_the_next_gets_a_new_client(hostile: HostileServer) -> None:
    hostile.script(task())
    for _ in range(2):
        async with shared_client(settings_for(hostile)) as client:
            assert isinstance(await client.get_task("x"), SeeAnyTask)
        await eventually(hostile, lambda: hostile.open == 0)

    assert hostile.connections == 2


async def test_an_error_in_one_wait_gives_its_share_back(hostile: HostileServer) -> None:
    hostile.script(task())

    async def break_off() -> None:
        async with shared_client(settings_for(hostile)) as client:
            await client.get_task("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await break_off()

    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_cancelled_wait_closes_its_connection_and_leaves_the_others_alone(hostile: HostileServer) -> None:
    hostile.script(never_respond, task_id="slow")
    hostile.script(task())

    async def poll() -> None:
        async with shared_client(settings_for(hostile)) as client:
            await client.get_task("slow")

    async with shared_client(settings_for(hostile)) as client:
        polling = asyncio.create_task(poll())
        await eventually(hostile, lambda: len(hostile.requests) == 1)
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling
        await eventually(hostile, lambda: hostile.open == 0)
        assert isinstance(await client.get_task("x"), SeeAnyTask)
    await eventually(hostile, lambda: hostile.open == 0)


def test_each_event_loop_has_a_client_of_its_own(hostile: HostileServer) -> None:
    hostile.script(task())

    async def poll() -> AsyncClient:
        async with shared_client(settings_for(hostile)) as client:
            assert isinstance(await client.get_task("x"), SeeAnyTask)
            return client

    assert asyncio.run(poll()) is not asyncio.run(poll())


async def test_many_requests_at_once_all_succeed(hostile: HostileServer) -> None:
    hostile.script(task())
    async with shared_client(settings_for(hostile)) as client:
        replies = await asyncio.gather(*(client.get_task("x") for _ in range(150)))

    assert {type(reply_) for reply_ in replies} == {SeeAnyTask}
    await eventually(hostile, lambda: hostile.open == 0)


async def test_a_slow_response_does_not_hold_up_the_others(hostile: HostileServer) -> None:
    hostile.script(never_respond, task_id="slow")
    hostile.script(task())
    async with shared_client(settings_for(hostile)) as client:
        slow = asyncio.create_task(client.get_task("slow"))
        await eventually(hostile, lambda: len(hostile.requests) == 1)

        assert isinstance(await client.get_task("x"), SeeAnyTask)

        assert not slow.done()
        slow.cancel()


@pytest.mark.parametrize("fault", [close, never_respond])
async def test_a_client_works_after_a_fault(hostile: HostileServer, fault: Responder) -> None:
    hostile.script(fault, fault, task())
    async with shared_client(settings_for(hostile, request_timeout=2)) as client:
        with pytest.raises(TransientError):
            await client.get_task("x")
        with suppress(TransientError):
            await client.get_task("x")
        assert isinstance(await client.get_task("x"), SeeAnyTask)


async def test_a_cookie_that_the_server_sets_is_not_sent_back(other_host: HostileServer) -> None:
    """The host is called by a name, for cookies of mere addresses are not kept anyway."""
    other_host.script(reply(200, {"id": "x", "status": "queued"}, ("Set-Cookie", "route=a; Path=/")))
    async with shared_client(settings_for(other_host)) as client:
        await client.get_task("x")
        await client.get_task("x")

    assert other_host.requests[0].headers == other_host.requests[1].headers


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:1/v1", "https://no-such-host.invalid/v1", "https://a..b/v1", f"https://{'a' * 70}/v1"],
)
async def test_a_server_that_is_not_there_is_a_passing_fault(base_url: str) -> None:
    async with shared_client(ApiSettings(base_url=base_url, api_key=Secret(KEY))) as client:
        with pytest.raises(TransientError) as error:
            await client.get_task("x")

    assert KEY not in str(error.value)


async def test_a_server_that_speaks_no_tls_is_a_passing_fault(hostile: HostileServer) -> None:
    hostile.script(task())
    settings = ApiSettings(base_url=hostile.url.replace("http:", "https:"), api_key=Secret(KEY))
    async with shared_client(settings) as client:
        with pytest.raises(TransientError):
            await client.get_task("x")


async def test_waiting_for_a_connection_that_others_hold_is_no_timeout(hostile: HostileServer) -> None:
    """All of them together take longer than one request may."""
    under_way: set[object] = set()
    maximum: list[int] = []

    async def slowly(caller: Caller) -> None:
        under_way.add(caller)
        maximum.append(len(under_way))
        await asyncio.sleep(0.5)
        under_way.discard(caller)
        await task()(caller)

    hostile.script(slowly)
    async with shared_client(settings_for(hostile, request_timeout=2, max_connections=2)) as client:
        replies = await asyncio.gather(*(client.get_task("x") for _ in range(12)))

    assert all(isinstance(reply_, SeeAnyTask) for reply_ in replies), replies
    assert max(maximum) == 2
