"""What triggers log is read at once, however much it is, and a wait learns that it was."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.supervisor import make_buffered_socket_reader

from airflow_provider_seeany.triggers import supervisor_log
from airflow_provider_seeany.triggers.supervisor_log import LogReader
from tests.hostile import COMPLETED, HostileServer, Responder, reply, task
from tests.recorded_log import RecordedLog
from tests.supervisor import Supervisor
from tests.waits import WORKER_FREE, batch_trigger, starts_triggers, task_trigger

LINE = b'{"event": "%070d"}\n'


class Log:
    """A triggerer's log: what its child writes, and the loop of its supervisor, which reads when a test wants."""

    def __init__(self, written: socket.socket, read: socket.socket) -> None:
        self.written, self._read = written, read
        self.lines: list[bytes] = []
        self.reader = LogReader()
        self._read_all, _ = self.reader.of(make_buffered_socket_reader)(self._append(), on_close=lambda _: None)
        self.during_read: Callable[[], object] = lambda: None

    def _append(self) -> Generator[None, bytes | bytearray, None]:
        while True:
            line = yield
            self.during_read()
            self.lines.append(bytes(line))

    def turn(self) -> None:
        """Read what there is, as the supervisor's loop does in a turn."""
        self._read_all(self._read)

    def waits(self) -> threading.Thread:
        """Begin to wait until all is read."""
        thread = threading.Thread(target=self.reader.wait_until_read, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def log() -> Iterator[Log]:
    written, read = socket.socketpair()
    with written, read:
        yield Log(written, read)


def test_one_turn_reads_the_last_lines_of_many_waits(log: Log) -> None:
    lines = [LINE % number for number in range(100)]
    for line in lines:
        log.written.sendall(line)

    log.turn()

    assert log.lines == lines


def test_nobody_waits_for_what_was_read(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 3600)
    log.written.sendall(LINE % 1)
    log.turn()

    log.reader.wait_until_read()


def test_a_wait_waits_until_its_last_line_is_read(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 3600)
    log.written.sendall(LINE % 1)
    log.turn()
    log.written.sendall(LINE % 2)
    waiting = log.waits()
    waiting.join(0.05)
    assert waiting.is_alive()

    log.turn()

    waiting.join(20)
    assert not waiting.is_alive()
    assert log.lines[-1] == LINE % 2


def test_a_read_that_began_before_the_wait_is_enough_if_it_reads_the_line(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 3600)
    waiting: list[threading.Thread] = []
    log.during_read = lambda: waiting.append(log.waits())
    log.written.sendall(LINE % 1)

    log.turn()

    waiting[0].join(20)
    assert not waiting[0].is_alive()


def test_a_loop_that_is_stuck_delays_one_wait_and_no_other_until_it_reads_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.written.sendall(LINE % 1)
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 0.01)
    log.reader.wait_until_read()
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 3600)

    log.reader.wait_until_read()

    log.turn()
    log.written.sendall(LINE % 2)
    waiting = log.waits()
    waiting.join(0.05)
    assert waiting.is_alive()
    log.turn()
    waiting.join(20)
    assert not waiting.is_alive()


def test_triggers_that_have_gone_are_not_waited_for(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_log, "MAX_SECONDS", 3600)
    log.written.close()
    log.turn()

    log.reader.wait_until_read()


WAITS: dict[str, Callable[[], Any]] = {
    "classic": lambda: task_trigger("x", deadline=time.time() + 20),
    "classic, ends here": lambda: task_trigger("x", deadline=time.time() + 20, end_from_trigger=True),
    "worker-free": lambda: task_trigger("x", deadline=time.time() + 20, **WORKER_FREE),
    "batch": lambda: batch_trigger(["x"], deadline=time.time() + 20),
}
ENDS: dict[str, tuple[Responder, str]] = {
    "completed": (reply(200, {**COMPLETED, "id": "x"}), "completed|1 of 1 done"),
    "failed": (task(status="failed"), "failed"),
}


@starts_triggers
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", WAITS)
async def test_what_a_wait_logs_of_its_end_is_read_before_airflow_learns_of_the_end(
    supervisor: Supervisor,
    hostile: HostileServer,
    connect: Callable[..., None],
    name: str,
    end: str,
) -> None:
    connect(host=hostile.url)
    response, last_words = ENDS[end]
    hostile.script(response)
    read: list[tuple[str | None, str]] = []

    async def log_read() -> None:
        read.append((supervisor.state, log.text))

    supervisor.log_read = log_read  # type: ignore[method-assign]
    waiting = WAITS[name]()
    waiting._log = log = RecordedLog()
    waiting.task_instance = SimpleNamespace(
        dag_id="dag",
        task_id="wait",
        run_id="run",
        map_index=-1,
        id="019a0000-0000-7000-8000-000000000001",
        try_number=1,
    )

    async for _ in waiting.run():
        assert read

    ((state, text),) = read
    assert state == "deferred"
    assert re.search(last_words, text)
