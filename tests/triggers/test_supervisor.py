"""
The triggerer's supervisor.

What triggers logged is read before it handles a message, which may be that they have finished, and it leaves alone what
has ended past it.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from airflow.jobs import triggerer_job_runner
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.sdk.execution_time.supervisor import make_buffered_socket_reader
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_seeany.triggers import supervisor as supervisor_module
from airflow_provider_seeany.triggers.supervisor import ENDED

LINE = b'{"event": "%070d"}\n'
FINISHED = b"finished"


class Base:
    """As Airflow's supervisor reads: a part of the log and a message in each turn of its loop, in any order."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._open_sockets: dict[socket.socket, str] = {}
        self.read: list[bytes] = []
        self.events: list[tuple[int, TriggerEvent]] = []
        self.stdin: Any = None

    def _register_pipe_readers(self, requests: socket.socket, logs: socket.socket) -> None:
        self._open_sockets |= {requests: "requests", logs: "logs"}
        reader = make_buffered_socket_reader(self._lines(), on_close=lambda _: None)
        self.selector.register(logs, selectors.EVENT_READ, reader)

    def _lines(self) -> Generator[None, bytes | bytearray, None]:
        while True:
            self.read.append(bytes((yield)))

    def _handle_request(self, message: bytes) -> None:
        self.read.append(message)

    def send_msg(self, message: bytes) -> None:
        self.stdin.sendall(message)

    def on_trigger_event(self, trigger_id: int, event: TriggerEvent) -> None:
        self.events.append((trigger_id, event))


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """What triggers log to, and where the supervisor reads it."""
    written, read = socket.socketpair()
    with written, read:
        yield written, read


@pytest.fixture
def supervisor(sockets: tuple[socket.socket, socket.socket]) -> Any:
    made = supervisor_module.made_from(Base)()
    made._register_pipe_readers(requests=sockets[0], logs=sockets[1])
    return made


def turn(supervisor: Any, ready: list[tuple[selectors.SelectorKey, int]] | None = None) -> None:
    """
    Read what is ready, as the loop does; fail if that blocks.

    :param ready: what the loop has found to be ready, if it has looked before.
    """

    def read() -> None:
        for key, _ in supervisor.selector.select(0) if ready is None else ready:
            has_more.append(key.data[0](key.fileobj))

    has_more: list[bool] = []
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for another line"
    assert has_more == [True]


@pytest.mark.parametrize("count", [0, 1, 1000], ids=["none", "one", "more than Airflow reads in a turn"])
def test_all_that_was_logged_before_a_message_is_read_before_it(
    supervisor: Any, sockets: tuple[socket.socket, socket.socket], count: int
) -> None:
    lines = [LINE % number for number in range(count)]
    sockets[0].setblocking(False)
    with suppress(BlockingIOError):  # the socket is full
        sent = 0
        for line in lines:
            sockets[0].sendall(line)
            sent += 1

    supervisor._handle_request(FINISHED)

    assert supervisor.read == [*lines[:sent], FINISHED]


def test_the_loop_goes_on_if_a_message_had_the_log_read_that_it_was_about_to_read(
    supervisor: Any, sockets: tuple[socket.socket, socket.socket]
) -> None:
    sockets[0].sendall(LINE % 1)
    ready = supervisor.selector.select(0)
    supervisor._handle_request(FINISHED)

    turn(supervisor, ready)

    sockets[0].sendall(LINE % 2)
    turn(supervisor)
    assert supervisor.read == [LINE % 1, FINISHED, LINE % 2]


def test_the_end_of_the_log_is_the_loop_s_to_notice(
    supervisor: Any, sockets: tuple[socket.socket, socket.socket]
) -> None:
    sockets[0].sendall(LINE % 1)
    sockets[0].close()
    supervisor._handle_request(FINISHED)
    assert supervisor.read == [LINE % 1, FINISHED]

    ((key, _),) = supervisor.selector.select(0)
    assert not key.data[0](key.fileobj)


def test_where_the_log_is_not_found_airflow_reads_it_in_its_own_time(
    sockets: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    class Different(Base):
        def _register_pipe_readers(self, requests: socket.socket, logs: socket.socket) -> None:
            super()._register_pipe_readers(requests, logs)
            self._open_sockets.clear()

    different = supervisor_module.made_from(Different)()
    different._register_pipe_readers(*sockets)
    different._handle_request(FINISHED)

    assert different.read == [FINISHED]
    assert "may be missing" in caplog.text
    sockets[0].sendall(LINE % 1)
    turn(different)
    assert different.read == [FINISHED, LINE % 1]


# 3000 waits without a worker start in one response of 130 MB, and those that run already log meanwhile.
def test_triggers_that_log_more_than_fits_before_they_read_a_response_do_not_block_it(
    supervisor: Any, sockets: tuple[socket.socket, socket.socket]
) -> None:
    lines, message = [LINE % number for number in range(20_000)], b"x" * 5_000_000
    sent, received = socket.socketpair()
    got = bytearray()

    def trigger() -> None:
        for line in lines:
            sockets[0].sendall(line)
        while len(got) < len(message):
            got.extend(received.recv(1 << 20))

    with sent, received:
        supervisor.stdin = sent
        triggers = threading.Thread(target=trigger, daemon=True)
        sending = threading.Thread(target=supervisor.send_msg, args=(message,), daemon=True)
        for thread in (triggers, sending):
            thread.start()
        for thread in (triggers, sending):
            thread.join(20)
            assert not thread.is_alive(), "both wait for each other"

    assert got == message
    assert supervisor.stdin is sent
    supervisor._handle_request(FINISHED)
    assert supervisor.read == [*lines, FINISHED]


# On SQLite another wait may have the id by then.
def test_the_event_of_a_task_that_has_ended_changes_no_task(supervisor: Any) -> None:
    events = [TriggerEvent({"type": "finished"}), TriggerEvent(ENDED), TaskSuccessEvent(), TriggerEvent(None)]

    for trigger_id, event in enumerate(events):
        supervisor.on_trigger_event(trigger_id=trigger_id, event=event)

    assert supervisor.events == [(0, events[0]), (2, events[2]), (3, events[3])]


def test_airflow_s_triggerer_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    airflow_s = triggerer_job_runner.TriggerRunnerSupervisor
    monkeypatch.setattr(triggerer_job_runner, "TriggerRunnerSupervisor", airflow_s)

    supervisor_module.prepare()

    used = triggerer_job_runner.TriggerRunnerSupervisor
    assert issubclass(used, airflow_s)
    # Before Airflow 3.3 no trigger ends a task.
    for method in ("_register_pipe_readers", "_handle_request", "send_msg", *["on_trigger_event"] * AIRFLOW_V_3_3_PLUS):
        assert getattr(used, method) is not getattr(airflow_s, method)
