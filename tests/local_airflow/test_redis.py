"""Runs a real Redis server, the broker of a local Airflow with Celery workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis as Client
from redis.exceptions import AuthenticationError

from local_airflow.redis import Redis, RedisMissingError, running_redis

pytestmark = pytest.mark.system


@pytest.fixture
def server() -> Iterator[Redis]:
    try:
        with running_redis() as redis:
            yield redis
    except RedisMissingError as missing:
        pytest.skip(str(missing))


def test_keeps_strangers_out(server: Redis) -> None:
    host = server.url.rpartition("@")[2]

    with pytest.raises(AuthenticationError):
        Client.from_url(f"redis://{host}").ping()


def test_a_killed_server_starts_again_at_the_same_address_and_has_lost_everything(server: Redis) -> None:
    with Client.from_url(server.url) as client:
        client.set("key", "value")
    server.kill()
    server.start()

    with Client.from_url(server.url) as client:
        assert client.get("key") is None
