"""The channel to the thread of the supervisor: each wait gets its own response, whatever happens to others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_seeany.api.settings import DEFER_GRACE
from airflow_provider_seeany.api.wait import LAST_POLL_SECONDS
from airflow_provider_seeany.triggers import channel as channel_module
from airflow_provider_seeany.triggers.channel import ChannelError, Success, TriggerChannel, serve

TRY = UUID("019a0000-0000-7000-8000-000000000001")


class Thread:
    """What the supervisor's thread does, as a test wants it."""

    def __init__(self) -> None:
        self.received: list[Success] = []
        self.succeed: Callable[[Success], bool] = lambda _: True

    def __call__(self, success: Success) -> bool:
        self.received.append(success)
        return self.succeed(success)


@pytest.fixture
def supervisor() -> Thread:
    return Thread()


@pytest.fixture
def ends(supervisor: Thread) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a socket pair; a thread serves the first one."""
    served, connected = socket.socketpair()
    connected.setblocking(False)
    thread = threading.Thread(target=serve, args=(served, supervisor))
    thread.start()
    yield served, connected
    connected.close()
    thread.join(10)
    assert not thread.is_alive(), "it ends with the triggers"
    served.close()


XCOMS: list[dict[str, Any]] = [
    {},
    {"video_url": "视频 \U0001f3ac", "cost": 0.7, "none": None},
    {"return_value": {"nested": [1, 2.5, None, True, {"": []}], "large": 9_007_199_254_740_993}},
    {"return_value": "long" * 1_000_000},
]


@pytest.mark.parametrize("xcoms", XCOMS, ids=["none", "texts", "nested", "long"])
@pytest.mark.parametrize("has_ended", [True, False])
async def test_the_thread_is_given_the_success_and_says_whether_it_ended_the_task(
    ends: tuple[socket.socket, socket.socket], supervisor: Thread, xcoms: dict[str, Any], *, has_ended: bool
) -> None:
    supervisor.succeed = lambda _: has_ended
    channel = await TriggerChannel.over(ends[1])

    assert await channel.succeed(Success(TRY, 7, xcoms)) == has_ended
    assert supervisor.received == [Success(TRY, 7, xcoms)]


async def test_many_waits_that_end_at_once_get_their_own_answers_even_if_one_is_cancelled(
    ends: tuple[socket.socket, socket.socket], supervisor: Thread
) -> None:
    supervisor.succeed = lambda success: success.trigger_id is not None and success.trigger_id % 2 == 0
    channel = await TriggerChannel.over(ends[1])
    waits = [asyncio.create_task(channel.succeed(Success(TRY, number, {}))) for number in range(100)]
    await asyncio.sleep(0)
    waits.pop(51).cancel()

    assert await asyncio.gather(*waits) == [number % 2 == 0 for number in range(100) if number != 51]


async def test_what_fails_is_an_error_of_that_wait_alone(
    ends: tuple[socket.socket, socket.socket], supervisor: Thread, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Success) -> bool:
        raise OSError("the database is away")

    channel = await TriggerChannel.over(ends[1])
    supervisor.succeed = fail
    with pytest.raises(ChannelError, match="OSError: the database is away"):
        await channel.succeed(Success(TRY, 1, {}))
    assert "the database is away" in caplog.text

    supervisor.succeed = lambda _: True
    assert await channel.succeed(Success(TRY, 2, {}))


async def test_what_cannot_be_sent_is_an_error_of_that_wait_alone(ends: tuple[socket.socket, socket.socket]) -> None:
    channel = await TriggerChannel.over(ends[1])
    with pytest.raises(TypeError):
        await channel.succeed(Success(TRY, 1, {"return_value": object()}))

    assert await channel.succeed(Success(TRY, 2, {}))


async def test_waits_learn_that_the_thread_has_ended_whether_they_have_sent_or_not(
    ends: tuple[socket.socket, socket.socket], supervisor: Thread
) -> None:
    def end(_: Success) -> bool:
        ends[0].shutdown(socket.SHUT_RDWR)
        return True

    supervisor.succeed = end
    channel = await TriggerChannel.over(ends[1])

    async with asyncio.timeout(20):
        with pytest.raises(ChannelError, match="has closed"):
            await channel.succeed(Success(TRY, 1, {}))
        with pytest.raises(ChannelError, match="has closed"):
            await channel.succeed(Success(TRY, 2, {}))


async def test_a_thread_that_is_stuck_delays_no_more_than_the_waits_that_ask_it_then(
    ends: tuple[socket.socket, socket.socket], supervisor: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(_: Success) -> bool:
        return goes_on.wait(20)

    supervisor.succeed = hang
    channel = await TriggerChannel.over(ends[1])
    monkeypatch.setattr(channel_module, "MAX_SECONDS", 0.01)
    with pytest.raises(ChannelError, match="in time"):
        await channel.succeed(Success(TRY, 1, {}))
    # Without waiting: nothing is sent.
    with pytest.raises(ChannelError, match="in time"):
        await channel.succeed(Success(TRY, 2, {}))

    monkeypatch.setattr(channel_module, "MAX_SECONDS", 20)
    goes_on.set()
    async with asyncio.timeout(20):
        while channel._is_stuck:
            await asyncio.sleep(0.001)
    assert await channel.succeed(Success(TRY, 3, {}))
    assert [each.trigger_id for each in supervisor.received] == [1, 3]


def test_a_worker_can_still_end_a_wait_whose_thread_is_stuck_at_its_deadline() -> None:
    assert DEFER_GRACE.total_seconds() > channel_module.MAX_SECONDS + LAST_POLL_SECONDS
