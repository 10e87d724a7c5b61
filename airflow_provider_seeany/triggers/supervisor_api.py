"""
Builds the triggerer's in-process API in a thread of its supervisor, when the first SeeAny wait needs it.

A triggerer is a supervisor, which alone uses Airflow's database and sends heartbeats, and its child, in which the
triggers run. The supervisor reads connections and writes XComs for them through an API in its own process, which
Airflow builds in the supervisor's only loop at the first message that needs it. Meanwhile no trigger is started or
ended and no heartbeat is sent: for seconds, on a busy machine so long that Airflow considers the triggerer dead.

So a thread of the supervisor builds it instead, on request of the first SeeAny wait. That continues when it is built,
as do the waits that start meanwhile. A triggerer without such a wait builds and imports nothing. From then on the same
thread ends the Airflow tasks whose triggers request that, through a :mod:`~airflow_provider_seeany.triggers.channel`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    from airflow_provider_seeany.triggers.channel import Success, TriggerChannel

log = logging.getLogger(__name__)

MAX_WAIT = 120.0
"""Maximum seconds to wait for the API; well below the time between a wait's deadline and the deferral's timeout."""

# What the thread responds to the request: that the API is built, and whether it also ends tasks.
_BUILT, _BUILT_AND_SERVES = b"!", b"+"

_builder: Builder | None = None


def prepare() -> None:
    """Install the builder: called in a triggerer's supervisor before it forks its child."""
    global _builder
    if _builder is not None:
        # In the child Airflow loads plugins again, when it first renders a template.
        return
    from airflow.jobs import triggerer_job_runner

    runner: Any = triggerer_job_runner
    _builder = Builder(runner.in_process_api_server)
    # Airflow calls this function once, for a new API: the only way to hand it one that is built.
    runner.in_process_api_server = _builder.api
    # After the fork, because the child of a process with threads can inherit a lock that is never released.
    os.register_at_fork(after_in_parent=_builder.start)


async def built(deadline: float | None = None) -> None:
    """Return when the API is built, or a deadline in Unix seconds has passed; outside a triggerer's child at once."""
    if (builder := _inherited()) is None:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(None if deadline is None else max(deadline - time.time(), 0)):
            await builder.built()


def built_in_template() -> None:
    """Do the same where Airflow renders the templates of a trigger, which it does not await."""
    if (builder := _inherited()) is None:
        return
    import greenback

    if greenback.has_portal():
        greenback.await_(builder.built())


def channel() -> TriggerChannel | None:
    """Return the channel to the supervisor of this triggerer's child, once a wait has waited until all is built."""
    builder = _inherited()
    return builder.channel if builder is not None else None


def _inherited() -> Builder | None:
    """Return the builder whose thread runs in the parent of this process, if there is one."""
    # With [core] lazy_load_plugins = False Airflow may load plugins in the child only: no thread runs for that builder.
    return _builder if _builder is not None and _builder.pid != os.getpid() else None


class Builder:
    """One API for the supervisor, made unbuilt by ``make``, and a thread that builds it when the child requests it."""

    def __init__(self, make: Callable[[], InProcessExecutionAPI]) -> None:
        self.pid = os.getpid()
        self._make = make
        self._lock = Lock()
        self._api: InProcessExecutionAPI | None = None
        # One end for each process; the fork gives both to both.
        self._supervisor_end, self._child_end = socket.socketpair()
        self._child_end.setblocking(False)
        self.channel: TriggerChannel | None = None
        """To the thread; in the child, if the thread ends tasks."""
        self._thread: Thread | None = None
        self._request: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the thread, at the first fork."""
        if self._thread is None:
            self._thread = Thread(target=self._build_on_request, name="seeany-supervisor-api", daemon=True)
            self._thread.start()

    def api(self) -> InProcessExecutionAPI:
        """Return the built API; if it is just being built, wait for that."""
        with self._lock:
            if self._api is None:
                import httpx

                api = self._make()
                try:
                    # At its first request, which needs no database here, the API makes the routes of all its versions.
                    with httpx.Client(transport=api.transport, base_url="http://in-process.invalid.") as client:
                        client.get("/health")
                except Exception:
                    log.exception("The in-process API could not be built in advance; Airflow will build it")
                self._api = api
            return self._api

    async def built(self) -> None:
        """Request the API, once for all triggers of the child, and return when it is built."""
        if self._request is None:
            self._request = asyncio.create_task(self._request_api())
        # A trigger that is cancelled must not cancel the request of the others.
        await asyncio.shield(self._request)

    def _build_on_request(self) -> None:
        self._supervisor_end.recv(1)
        response = _BUILT
        try:
            self.api()
            # Before, Airflow ends no task without a worker.
            if AIRFLOW_V_3_3_PLUS:
                try:
                    # Imported now, so that a first end does not wait for it, or fail.
                    import_module("airflow_provider_seeany.database")
                    response = _BUILT_AND_SERVES
                except Exception as error:
                    log.warning("SeeAny waits end in workers, as this Airflow's database cannot be used: %r", error)
        finally:
            self._supervisor_end.sendall(response)
        if response == _BUILT_AND_SERVES:
            from airflow_provider_seeany.triggers.channel import serve

            serve(self._supervisor_end, end_as_success)

    async def _request_api(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAX_WAIT):
                await loop.sock_sendall(self._child_end, b"?")
                if await loop.sock_recv(self._child_end, 1) == _BUILT_AND_SERVES:
                    from airflow_provider_seeany.triggers.channel import TriggerChannel

                    self.channel = await TriggerChannel.over(self._child_end)
        except OSError as error:  # TimeoutError included
            log.warning("Waits continue without an in-process API that was built in advance: %r", error)


def end_as_success(success: Success) -> bool:
    """End a task instance as a success; return whether it was still deferred with this trigger."""
    from airflow.utils.retries import run_with_db_retries

    from airflow_provider_seeany import database

    deferral = database.Deferral(success.task_instance_id, success.trigger_id)
    has_ended = False
    for attempt in run_with_db_retries():
        with attempt, database.open_session() as session:
            has_ended = database.succeed(session, deferral, success.xcoms)
    return has_ended
