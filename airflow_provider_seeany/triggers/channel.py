"""
A channel from the triggers to a thread of the triggerer's supervisor, which ends Airflow tasks as successes.

Triggers cannot use Airflow's database. With Airflow's own means, a trigger that ends a task sends its result in several
messages, or in an event of which Airflow stores each XCom in a transaction of its own: a triggerer that is killed in
between leaves a part of it. The supervisor handles one message per turn of its loop, and in each turn it looks for
triggers to start and to end, which takes longer than the message: the ends of many waits queue. Here an end is one
message and one transaction, past that loop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import UUID

import msgspec

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("!I")
_CLOSED = "the supervisor has closed the channel"
_STUCK = "the supervisor has not responded in time"

MAX_SECONDS = 60.0
"""
Maximum seconds to wait for a response: for all ends that come at once, but well below the time between a wait's
deadline and the deferral's timeout.
"""


class Success(msgspec.Struct, frozen=True, array_like=True):
    """
    The success of the Airflow task that a trigger waits for.

    :param task_instance_id: the id of this try.
    :param xcoms: by key, as the database stores them.
    """

    task_instance_id: UUID
    trigger_id: int | None
    xcoms: dict[str, Any]


class _Request(msgspec.Struct, array_like=True):
    id: int
    success: Success


class _Response(msgspec.Struct, array_like=True):
    id: int
    has_ended: bool = False
    error: str | None = None


class ChannelError(Exception):
    """Raised if a task was not ended, or it is not known whether it was."""


class TriggerChannel:
    """The end of the triggers, which share one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = count()
        self._pending: dict[int, asyncio.Future[_Response]] = {}
        self._is_stuck = False
        """Whether the thread took too long, and has not responded since."""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def over(cls, connected: socket.socket) -> TriggerChannel:
        """Return a channel over a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=connected))

    async def succeed(self, success: Success) -> bool:
        """
        End a task; return ``False`` if it is no longer deferred with this trigger.

        :raises ChannelError: if the supervisor could not do it, or no longer responds.
        """
        if self._reading.done():
            raise ChannelError(_CLOSED)
        if self._is_stuck:
            raise ChannelError(_STUCK)
        request = _Request(next(self._ids), success)
        frame = _frame(request)
        future: asyncio.Future[_Response] = asyncio.get_running_loop().create_future()
        self._pending[request.id] = future
        try:
            self._writer.write(frame)
            async with asyncio.timeout(MAX_SECONDS):
                response = await future
        except TimeoutError:
            self._is_stuck = True
            raise ChannelError(_STUCK) from None
        finally:
            del self._pending[request.id]
        if response.error is not None:
            raise ChannelError(response.error)
        return response.has_ended

    async def _read(self) -> None:
        decoder = msgspec.msgpack.Decoder(_Response)
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                response = decoder.decode(await self._reader.readexactly(length))
                self._is_stuck = False
                future = self._pending.get(response.id)
                if future is not None and not future.done():
                    future.set_result(response)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(ChannelError(_CLOSED))


def serve(connected: socket.socket, succeed: Callable[[Success], bool]) -> None:
    """Do what triggers request over a connected socket, one after the other, until it is closed."""
    decoder, received = msgspec.msgpack.Decoder(_Request), connected.makefile("rb")
    try:
        while len(head := received.read(_LENGTH.size)) == _LENGTH.size:
            request = decoder.decode(received.read(*_LENGTH.unpack(head)))
            try:
                response = _Response(request.id, succeed(request.success))
            except Exception as error:
                log.exception("A SeeAny wait could not be ended")
                response = _Response(request.id, error=f"{type(error).__name__}: {error}")
            connected.sendall(_frame(response))
    except OSError as error:
        log.info("The triggers have gone: %r", error)
    finally:
        # Closed for the triggers, too, even if another process has inherited this end.
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


def _frame(message: _Request | _Response) -> bytes:
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body
