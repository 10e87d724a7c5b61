"""Polls through a connection that is changed, missing or broken during a long wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import msgspec
import pytest

from airflow_provider_seeany.api.asynchronous import shared_client
from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.errors import ApiError, TransientError
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.exceptions import SeeAnyConnectionNotFound
from airflow_provider_seeany.hooks import reauth
from airflow_provider_seeany.hooks.reauth import ReauthenticatingClient, RetryBudget
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.metrics import request_counter
from tests.conftest import KEY, settings_for
from tests.hostile import HostileServer, Responder, accepting, reply, task

COUNTER = request_counter("studio", "hook")
MISSING = SeeAnyConnectionNotFound("The Airflow connection 'studio' was not found.")


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the retry budget; the event loop has the real one."""
    clock = Clock()
    monkeypatch.setattr(reauth, "time", SimpleNamespace(monotonic=clock))
    return clock


class Connection:
    """An Airflow connection that is read: settings, or an error."""

    def __init__(self, settings: ApiSettings) -> None:
        self.now: ApiSettings | Exception = settings
        self.reads = 0

    async def read(self) -> ApiSettings:
        """Read it, which takes a while in which others may want to."""
        self.reads += 1
        await asyncio.sleep(0.02)
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ReauthenticatingClient]:
        """Provide a client that begins with what the connection is now."""
        async with ReauthenticatingClient(await self.read(), self.read, shared_client, COUNTER) as client:
            yield client


def with_key(server: HostileServer, key: str) -> ApiSettings:
    return ApiSettings(base_url=f"{server.url}/v1", api_key=Secret(key))


@pytest.mark.parametrize(("was_used", "seconds"), [(True, 300), (False, 30)])
def test_a_wait_reads_its_connection_for_minutes_but_not_for_one_that_was_never_there(
    clock: Clock, was_used: bool, seconds: float
) -> None:
    budget = RetryBudget(was_used=was_used)
    budget.record_failure(MISSING)
    clock.now += seconds - 1
    assert str(budget.record_failure(MISSING)) == "The Airflow connection 'studio' was not found"

    clock.now += 1
    with pytest.raises(SeeAnyConnectionNotFound):
        budget.record_failure(MISSING)


def test_a_connection_that_was_there_again_is_read_as_often_as_at_first(clock: Clock) -> None:
    budget = RetryBudget()
    for _ in range(5):
        budget.record_failure(MISSING)
    budget.reset()

    budget.record_failure(MISSING)

    # By this the pauses grow.
    assert budget.in_a_row == 1


async def test_a_connection_that_is_missing_now_and_then_never_ends_a_wait(
    hostile: HostileServer, clock: Clock
) -> None:
    connection = Connection(settings_for(hostile))
    async with connection.client() as client:
        connection.now = MISSING
        for _ in range(3):
            hostile.script(reply(401), task())
            with pytest.raises(ApiError):
                await client.get_task("x")
            clock.now += 200
            assert isinstance(await client.get_task("x"), SeeAnyTask)
            clock.now += 200


async def test_a_connection_that_is_read_again_is_there_again(hostile: HostileServer, clock: Clock) -> None:
    hostile.script(reply(401))
    connection = Connection(with_key(hostile, "sk-old"))
    async with connection.client() as client:
        for key in ("sk-new", "sk-newer"):
            connection.now = MISSING
            with pytest.raises(ApiError):
                await client.get_task("x")
            clock.now += 200
            connection.now = with_key(hostile, key)
            with pytest.raises(ApiError):
                await client.get_task("x")
            clock.now += 200


def test_a_hook_that_gets_responses_now_and_then_tolerates_a_connection_that_is_missing(
    hostile: HostileServer, clock: Clock, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=hostile.url)
    hostile.script(task())
    hook = SeeAnyHook()
    hook.poll("x")
    monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT")
    for _ in range(3):
        hostile.script(reply(401), task())
        with pytest.raises(TransientError, match="was not found"):
            hook.poll("x")
        clock.now += 200
        assert isinstance(hook.poll("x"), SeeAnyTask)
        clock.now += 200
    hook.close()


def test_a_hook_tolerates_a_connection_that_is_missing_now_and_then(
    hostile: HostileServer, clock: Clock, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=hostile.url)
    hook = SeeAnyHook()
    for key, response in (("sk-1", task()), ("sk-2", reply(401)), ("sk-3", task())):
        hostile.script(reply(401))
        with pytest.raises(ApiError):
            hook.poll("x")
        monkeypatch.delenv("AIRFLOW_CONN_SEEANY_DEFAULT")
        with pytest.raises(TransientError, match="was not found"):
            hook.poll("x")
        clock.now += 200
        # It is there again, whatever the response.
        hostile.script(accepting(key, response, otherwise=reply(401)))
        connect(host=hostile.url, password=key)
        with suppress(ApiError):
            hook.poll("x")
        clock.now += 200
    hook.close()


async def test_many_waits_that_are_refused_at_once_read_the_connection_once(hostile: HostileServer) -> None:
    """Each reading is a request to Airflow's database."""
    hostile.script(accepting("sk-new", task(), otherwise=reply(401)))
    connection = Connection(with_key(hostile, "sk-old"))
    async with connection.client() as client:
        connection.now = with_key(hostile, "sk-new")
        replies = await asyncio.gather(*(client.get_task("x") for _ in range(20)))

    assert all(isinstance(reply_, SeeAnyTask) for reply_ in replies)
    assert connection.reads == 2


async def test_a_key_that_is_refused_by_the_text_of_an_envelope_is_read_again_too(hostile: HostileServer) -> None:
    refusal = reply(200, {"code": 1001, "msg": "API Key 已失效", "data": None})
    hostile.script(accepting(KEY, task(), otherwise=refusal))
    settings = settings_for(hostile, DIALECTS["developer"])
    connection = Connection(msgspec.structs.replace(settings, api_key=Secret("sk-old")))
    async with connection.client() as client:
        connection.now = settings
        assert isinstance(await client.get_task("x"), SeeAnyTask)


async def test_a_missing_connection_is_read_every_few_seconds_however_many_need_it(
    hostile: HostileServer, clock: Clock
) -> None:
    hostile.script(accepting("sk-new", task(), otherwise=reply(401)))
    connection = Connection(with_key(hostile, "sk-old"))

    async def poll_results(client: ReauthenticatingClient) -> set[type]:
        requests = (client.get_task("x") for _ in range(20))
        return {type(reply_) for reply_ in await asyncio.gather(*requests, return_exceptions=True)}

    async with connection.client() as client:
        connection.now = MISSING
        assert await poll_results(client) == await poll_results(client) == {TransientError}
        assert connection.reads == 2

        clock.now += 5
        assert await poll_results(client) == {TransientError}
        assert connection.reads == 3

        clock.now += 5
        connection.now = with_key(hostile, "sk-new")
        assert await poll_results(client) == {SeeAnyTask}
        assert connection.reads == 4


async def test_a_connection_that_still_has_the_refused_key_is_read_again_once(hostile: HostileServer) -> None:
    hostile.script(reply(401))
    connection = Connection(settings_for(hostile))
    async with connection.client() as client:
        for _ in range(5):
            with pytest.raises(ApiError):
                await client.get_task("x")

    assert connection.reads == 2
    assert len(hostile.requests) == 5


@pytest.mark.parametrize("response", [reply(500), reply(404), reply(429)], ids=["500", "404", "429"])
async def test_an_error_that_is_not_about_the_key_reads_no_connection(
    hostile: HostileServer, response: Responder
) -> None:
    """A batch whose polls all fail would read Airflow's database thousands of times."""
    hostile.script(response)
    connection = Connection(settings_for(hostile))
    async with connection.client() as client:
        for _ in range(3):
            with pytest.raises(ApiError):
                await client.get_task("x")

    assert connection.reads == 1
