"""
Builds what a triggerer reads connections and writes XComs with beside its work, when the first SeeAny wait needs it.

A triggerer is two processes: the supervisor, which alone may use Airflow's database and tells that the triggerer is
alive, and its child, in which the triggers run. What a trigger needs of the database the supervisor does through an
API inside its process, and Airflow builds that in the supervisor's only loop, at the first message that needs it. For
as long no trigger is started, ended or answered, and no heartbeat is sent: seconds, on a busy machine so long that
Airflow takes the triggerer for dead.

So a thread of the supervisor builds it instead. It is asked to by the first SeeAny wait, which goes on once it is done,
as do those that come meanwhile. In a triggerer without such a wait nothing is built, imported or held up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

log = logging.getLogger(__name__)

MAX_WAIT = 120.0
"""
Seconds after which a wait goes on all the same: the supervisor then builds as it does without this. Well below the time
that Airflow lets pass after a wait's deadline before it ends the wait itself.
"""

_builder: Builder | None = None


def prepare() -> None:
    """Be ready to build: called in a triggerer's supervisor before it makes its child."""
    global _builder
    if _builder is not None:
        # In the child Airflow loads plugins once more, when it first renders a template.
        return
    from airflow.jobs import triggerer_job_runner

    runner: Any = triggerer_job_runner
    _builder = Builder(runner.in_process_api_server)
    # Airflow makes a new one at each call, and it calls once: this is the only way to hand it one that is ready.
    runner.in_process_api_server = _builder.api
    # After the fork, since a child of a process with threads may inherit a lock that nobody will release.
    os.register_at_fork(after_in_parent=_builder.start)


async def built(deadline: float | None = None) -> None:
    """
    Return once a trigger can ask Airflow for something without holding up others; in other processes at once.

    :param deadline: when the wait that needs it gives up, in Unix seconds; it goes on then all the same.
    """
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


def _inherited() -> Builder | None:
    """
    Return the builder whose thread runs in this process's parent, if there is one.

    With ``[core] lazy_load_plugins = False`` Airflow loads plugins in the child alone, if it has not in the supervisor
    before: a builder that is made there has nobody to build.
    """
    return _builder if _builder is not None and _builder.pid != os.getpid() else None


class Builder:
    """
    One API for the supervisor, and a thread that builds it when the child asks.

    :param make: makes an API that will build itself at its first request.
    """

    def __init__(self, make: Callable[[], InProcessExecutionAPI]) -> None:
        self.pid = os.getpid()
        self._make = make
        self._lock = Lock()
        self._api: InProcessExecutionAPI | None = None
        # The first end is the supervisor's, the second one the child's; both inherit both.
        self._asked, self._asking = socket.socketpair()
        self._asking.setblocking(False)
        self._thread: Thread | None = None
        self._answer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the thread; further forks change nothing."""
        if self._thread is None:
            self._thread = Thread(target=self._build_when_asked, name="seeany-supervisor-api", daemon=True)
            self._thread.start()

    def api(self) -> InProcessExecutionAPI:
        """Return the API, built; who comes while it is being built waits for that instead of building another."""
        with self._lock:
            if self._api is None:
                api = self._make()
                try:
                    _build(api)
                except Exception:
                    log.exception("What reads connections could not be built in advance; Airflow will try itself")
                self._api = api
            return self._api

    async def built(self) -> None:
        """Ask for the API, once for all triggers, and return when it is built."""
        if self._answer is None:
            self._answer = asyncio.create_task(self._ask())
        # One wait that is cancelled meanwhile must not end that of the others.
        await asyncio.shield(self._answer)

    def _build_when_asked(self) -> None:
        self._asked.recv(1)
        try:
            self.api()
        finally:
            self._asked.sendall(b"!")

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAX_WAIT):
                await loop.sock_sendall(self._asking, b"?")
                await loop.sock_recv(self._asking, 1)
        except OSError as error:  # a time-out is one, too
            log.warning("Waits go on without the API that was to be built in advance: %r", error)


def _build(api: InProcessExecutionAPI) -> None:
    """Send a request that needs no database: at its first one the API makes the routes of all its versions."""
    import httpx

    with httpx.Client(transport=api.transport, base_url="http://in-process.invalid.") as client:
        client.get("/health")
