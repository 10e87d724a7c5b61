"""
Reads what triggers log as fast as they log it, so that the last lines of a wait reach the log of its task.

What a trigger logs goes through a socket to the triggerer's supervisor. That writes it to the log of the trigger's task
until it learns that the trigger has finished, and what it reads later to its own log. In each turn of its loop Airflow
reads 4 KiB, some ten lines: when many waits end at once, their last lines are read too late; and once the socket is
full, no trigger continues.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from threading import Condition

BUFFER_SIZE = 256 * 1024
"""As much as Linux lets a socket hold, unless it is configured otherwise."""

MAX_SECONDS = 10.0
"""Maximum seconds that an end waits for the supervisor's loop to read the log."""

OnClose = Callable[[socket.socket], None]
Reader = tuple[Callable[[socket.socket], bool], OnClose]


class LogReader:
    """The supervisor's reader of what its triggers log, and a thread's view of it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._begun = 0
        """How many reads have begun."""
        self._begun_when_stuck: int | None = None
        """The same when the supervisor's loop was last found to be stuck: until it reads again, nobody waits."""
        self._socket: socket.socket | None = None

    def of(self, make: Callable[..., Reader]) -> Callable[..., Reader]:
        """Return a function to replace Airflow's ``make_buffered_socket_reader``, which it uses."""

        def make_reader(lines: Generator[None, bytes | bytearray, None], on_close: OnClose) -> Reader:
            read, on_close = make(lines, on_close=on_close, buffer_size=BUFFER_SIZE)

            def read_all(connected: socket.socket) -> bool:
                with self._changed:
                    self._socket = connected
                    self._begun += 1
                is_open = read(connected)
                with self._changed:
                    self._changed.notify_all()
                return is_open

            return read_all, on_close

        return make_reader

    def wait_until_read(self) -> None:
        """Return when the supervisor has read all that was logged before, or its loop seems to be stuck."""
        with self._changed:
            before = self._begun
            if before == self._begun_when_stuck:
                return
            # A read that began since then has all of it; one that had begun may have.
            if not self._changed.wait_for(lambda: self._begun > before or self._is_empty(), MAX_SECONDS):
                self._begun_when_stuck = before

    def _is_empty(self) -> bool:
        if self._socket is None:
            return False
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:  # nothing to read, or nobody left to write it
            return True
