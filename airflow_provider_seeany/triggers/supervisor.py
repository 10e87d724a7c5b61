"""
The triggerer's supervisor as SeeAny waits need it: it reads their log in time, and ends no task twice.

What a trigger logs goes through a socket to the supervisor, which writes it to the log of the trigger's task; but to
its own log once a message has told that the trigger has finished. In each turn of its loop it reads 4 KiB of log, some
ten lines, and one message, in no certain order: if many waits end at once, or a turn takes long, the last lines of a
wait are read too late. So all that was logged before a message is read first here.

It also reads no log while it sends. A response holds all triggers that are to start, each with its DAG if it starts
without a worker: 130 MB for 3000 waits. The triggers that run already go on logging while their loop receives that.
Once the log's socket is full, they block at the next line, and both processes wait for each other forever. So the log
is read here while a response is sent, too.

A trigger must fire an event, also if its task has ended through the :mod:`~airflow_provider_seeany.triggers.channel`.
Airflow resumes the task that is deferred with the trigger's id. SQLite gives the id of a deleted trigger to the next
one, so that could be the task of another wait by then. So such an event is dropped here.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

ENDED = "the Airflow task no longer waits"
"""What the event of a trigger says if its task has ended through the channel, or before; Airflow logs it."""

_MAX_READS = 1000
"""Maximum number of reads before a message, so that a trigger that logs without end does not block the loop."""


def prepare() -> None:
    """Install it: called in a triggerer's supervisor before it starts."""
    from airflow.jobs import triggerer_job_runner

    runner: Any = triggerer_job_runner
    runner.TriggerRunnerSupervisor = made_from(runner.TriggerRunnerSupervisor)


def made_from(base: Any) -> Any:
    """Return the subclass of Airflow's ``TriggerRunnerSupervisor``."""

    class Supervisor(base):  # type: ignore[misc]
        stdin: Any
        log_reader: LogReader | None = None

        def _register_pipe_readers(self, *args: Any, **kwargs: Any) -> None:
            super()._register_pipe_readers(*args, **kwargs)
            try:
                (connected,) = (each for each, name in self._open_sockets.items() if name == "logs")
                read, on_close = self.selector.get_key(connected).data
                reader = LogReader(connected, read)
                self.selector.modify(connected, selectors.EVENT_READ, (reader.read_some, on_close))
                self.log_reader = reader
            except Exception as error:
                # The internals of this Airflow differ: it reads the log in its own time.
                log.warning("The last lines of a wait may be missing in the log of its task: %r", error)

        def _handle_request(self, *args: Any, **kwargs: Any) -> None:
            if self.log_reader is not None:
                self.log_reader.read_all()
            super()._handle_request(*args, **kwargs)

        def send_msg(self, *args: Any, **kwargs: Any) -> None:
            if self.log_reader is None:
                super().send_msg(*args, **kwargs)
                return
            connected = self.stdin
            self.stdin = Sender(connected, self.log_reader)
            try:
                super().send_msg(*args, **kwargs)
            finally:
                self.stdin = connected

        def on_trigger_event(self, trigger_id: int, event: Any) -> None:
            if event.payload != ENDED:
                super().on_trigger_event(trigger_id=trigger_id, event=event)

    return Supervisor


class LogReader:
    """
    The log of the triggers, as the supervisor reads it.

    :param connected: the socket.
    :param read: Airflow's own reader of a part: blocks if there is nothing to read, and returns ``False`` at the end.
    """

    def __init__(self, connected: socket.socket, read: Callable[[socket.socket], bool]) -> None:
        self.connected = connected
        self._read = read

    def read_some(self, _: socket.socket) -> bool:
        """Read a part, unless all was read since the loop saw that there is something; return ``False`` at the end."""
        return not self._has_unread() or self._read(self.connected)

    def read_all(self) -> None:
        """Read what was logged until now."""
        for _ in range(_MAX_READS):
            if not self._has_unread() or not self._read(self.connected):
                return

    def _has_unread(self) -> bool:
        """Return whether there is something to read, if only the end."""
        try:
            self.connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True


class Sender:
    """The socket to the triggers, as long as a response is sent: reads their log meanwhile."""

    def __init__(self, connected: socket.socket, log_reader: LogReader) -> None:
        self._connected = connected
        self._log_reader = log_reader

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._connected.send(left, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                self._wait()
                self._log_reader.read_all()

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._connected, selectors.EVENT_WRITE)
            selector.register(self._log_reader.connected, selectors.EVENT_READ)
            selector.select()
