"""Calls back at the real route while Airflow's database or a secrets backend hangs; prints the outcomes: a script."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

os.environ["AIRFLOW__SECRETS__BACKEND"] = "tests.scripts.hanging_secrets.HangingSecrets"

import httpx
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import create_engine, make_url, text

from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.web.app import create_app
from airflow_provider_seeany.web.callback import handler, threads
from tests.hostile import COMPLETED, HostileServer, in_background, reply
from tests.scripts.hanging_secrets import HangingSecrets
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database

SECRET = "the-secret-of-the-callbacks-0123456789"
TOKEN = sign_token(TokenClaims(CONNECTION), secret=SECRET)


@contextmanager
def locked_file() -> Iterator[None]:
    """Lock SQLite's file, as a long write does."""
    other = sqlite3.connect(make_url(settings.SQL_ALCHEMY_CONN).database or "", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def locked_by(statement: str) -> Callable[[], Any]:
    """Return what holds the lock that an SQL statement takes, in PostgreSQL."""

    @contextmanager
    def lock() -> Iterator[None]:
        other = create_engine(settings.SQL_ALCHEMY_CONN)
        with other.connect() as connection:
            connection.execute(text(statement))
            yield
        other.dispose()

    return lock


@contextmanager
def hanging_secrets() -> Iterator[None]:
    """Let no lookup of a connection end."""
    HangingSecrets.may_respond.clear()
    yield
    HangingSecrets.may_respond.set()


@contextmanager
def lost_secrets() -> Iterator[None]:
    """Let no lookup of a connection ever end that begins now."""
    HangingSecrets.may_respond = threading.Event()
    yield
    HangingSecrets.may_respond = threading.Event()
    HangingSecrets.may_respond.set()


LOCKS = {
    "sqlite": {"the file is locked": locked_file},
    "postgresql": {
        "the XComs are locked": locked_by("LOCK TABLE xcom IN ACCESS EXCLUSIVE MODE"),
        "the task instances are locked": locked_by("SELECT * FROM task_instance FOR UPDATE"),
        "the registrations are locked": locked_by("SELECT * FROM xcom FOR UPDATE"),
    },
}


@asynccontextmanager
async def caller() -> AsyncIterator[httpx.AsyncClient]:
    """A caller of the route, in this loop."""
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow", timeout=None) as client:
        yield client


def state_of(wait: Any) -> Any:
    with create_session(scoped=False) as session:
        return session.get_one(TaskInstance, wait).state


async def outcome_of(client: httpx.AsyncClient, seeany_task_id: str, lock: Callable[[], Any], *, callbacks: int) -> Any:
    """Call back while something is locked, and again when it no longer is."""
    wait = add_wait(seeany_task_id, len(seeany_task_id))

    async def call_back() -> httpx.Response:
        return await client.post(f"/callback/{TOKEN}", json={"id": seeany_task_id})

    with lock():
        pending = [asyncio.create_task(call_back()) for _ in range(callbacks)]
        await asyncio.sleep(0.3)
        elsewhere = await client.get("/no-such-page")
        still_pending = sum(not each.done() for each in pending)
        async with asyncio.timeout(60):
            responses = await asyncio.gather(*pending)
        in_threads = handler._database.busy, handler._secrets.busy
    # A thread that hung may come to its end by now, and be the one that resumes it.
    deadline = time.monotonic() + 60
    while state_of(wait) != "scheduled" and time.monotonic() < deadline:
        await call_back()
        await asyncio.sleep(0.2)
    return {
        "statuses": sorted({each.status_code for each in responses}),
        "have Retry-After": all("Retry-After" in each.headers for each in responses),
        "meanwhile": [elsewhere.status_code, still_pending],
        "in threads": in_threads,
        "after it": state_of(wait),
    }


async def outcomes() -> dict[str, Any]:
    """Go through what may hang."""
    dialect = make_url(settings.SQL_ALCHEMY_CONN).get_backend_name()
    results = {}
    async with caller() as client:
        # The first request takes longer than any other.
        await client.get("/no-such-page")
        for number, (name, lock) in enumerate(LOCKS[dialect].items()):
            results[name] = await outcome_of(client, "x" * (number + 1), lock, callbacks=3)
        results["the secrets hang"] = await outcome_of(client, "x" * 9, hanging_secrets, callbacks=8)
        threads.LOST_AFTER = 10.0
        results["the secrets hang for ever"] = await outcome_of(client, "x" * 10, lost_secrets, callbacks=8)
    return results


def main() -> None:
    """Lower the limits, and go through it all."""
    make_database()
    HangingSecrets.may_respond.set()
    os.environ["AIRFLOW__SEEANY__CALLBACK_SECRET"] = SECRET
    handler.TIME_LIMIT, handler.POLL_TIMEOUT = 4.0, 3.5
    handler._polls._burst = 1000
    logging.disable(logging.NOTSET)
    server = HostileServer()
    with in_background(server.serve):
        for number in range(1, 11):
            name = "x" * number
            server.script(reply(200, {**COMPLETED, "id": name}), task_id=name)
        connection = {"conn_type": "seeany", "host": server.url, "password": "sk-hangs"}
        os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(connection)
        results = asyncio.run(outcomes())
    print(json.dumps(results, default=str))


if __name__ == "__main__":
    main()
