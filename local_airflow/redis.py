"""Runs a private Redis server on 127.0.0.1 that keeps nothing on disk."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local_airflow.client import wait_until
from local_airflow.processes import helper_process
from local_airflow.settings import HOST, free_port


class RedisMissingError(RuntimeError):
    """There is no Redis server on this machine."""


class Redis:
    """A server that can be killed and started again at the same address, then empty."""

    def __init__(self, program: str, folder: Path) -> None:
        self._password, self._port = secrets.token_hex(16), free_port()
        self._log_file, config = folder / "server.log", folder / "redis.conf"
        config.touch(0o600)
        config.write_text(
            f'bind {HOST}\nport {self._port}\nrequirepass {self._password}\nsave ""\nlogfile {self._log_file}\n',
            encoding="ascii",
        )
        self._command = (program, str(config))
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The address, as Celery takes it."""
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    def start(self, *, timeout: float = 60) -> None:
        """Start the server and wait until it responds."""
        self._server = self._stack.enter_context(helper_process(self._command, log_file=self._log_file))

        def responds() -> bool:
            if self._server.poll() is not None:
                raise RuntimeError(f"Redis did not start: {self._log_file.read_text(encoding='utf-8')[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), timeout=1) as client:
                client.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                return client.makefile("rb").read(len("+OK\r\n+PONG\r\n")).endswith(b"+PONG\r\n")
            return False

        wait_until(responds, timeout=timeout, describe=lambda: "Redis does not respond")

    def kill(self) -> None:
        """Kill the server; what it held is lost."""
        self._server.kill()
        self.stop()

    def stop(self) -> None:
        """Stop the server, if it runs."""
        self._stack.close()


@contextlib.contextmanager
def running_redis() -> Iterator[Redis]:
    """Start an empty server; its `url` is the broker of a LocalAirflow with Celery workers."""
    program = shutil.which("redis-server")
    if program is None:
        raise RedisMissingError("Redis is not installed; on Debian: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="local-redis-") as folder:
        redis = Redis(program, Path(folder))
        try:
            redis.start()
            yield redis
        finally:
            redis.stop()
