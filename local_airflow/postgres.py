"""Runs a private, temporary PostgreSQL server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local_airflow.client import wait_until
from local_airflow.processes import helper_process, run_as
from local_airflow.settings import HOST, free_port

# The server refuses to run as root, so root runs it as the package's own user.
_USER = "postgres"
# Debian's folder of the server's programs, which are not in the PATH.
_DEBIAN = Path("/usr/lib/postgresql")

# The data is temporary, so nothing has to survive a power cut.
_OPTIONS: Mapping[str, object] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": 200,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "dynamic_shared_memory_type": "mmap",
}


class PostgresMissingError(RuntimeError):
    """There is no PostgreSQL server on this machine."""


@contextlib.contextmanager
def running_postgres(*, start_timeout: float = 60) -> Iterator[str]:
    """Start an empty server and yield the `database_url` for a LocalAirflow."""
    programs = _programs()
    user = _USER if os.geteuid() == 0 else None
    # Not in a folder of the caller's choice: the server's user must have access.
    folder = Path(tempfile.mkdtemp(prefix="local-postgres-"))
    try:
        password = secrets.token_hex(16)
        password_file = folder / "password"
        password_file.write_text(password, encoding="ascii")
        password_file.chmod(0o600)
        if user is not None:
            for path in (folder, password_file):
                shutil.chown(path, user, user)
        data, port, log_file = folder / "data", free_port(), folder / "server.log"
        access = ("--username", "airflow", "--pwfile", str(password_file), "--auth", "scram-sha-256")
        run_as(
            [
                str(programs / "initdb"),
                "--pgdata",
                str(data),
                *access,
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ],
            environment=_environment(),
            user=user,
        )
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with helper_process(
            [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options],
            log_file=log_file,
            environment=_environment(),
            user=user,
            # Closes open connections, for which SIGTERM would wait.
            stop_signal=signal.SIGINT,
        ) as server:

            def listens() -> bool:
                if server.poll() is not None:
                    raise RuntimeError(f"PostgreSQL did not start: {log_file.read_text(encoding='utf-8')[-2000:]}")
                return _responds(programs / "psql", port, password)

            wait_until(listens, timeout=start_timeout, describe=lambda: "PostgreSQL does not listen")
            yield f"postgresql+psycopg2://airflow:{password}@{HOST}:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Return the folder of the server's programs, the newest version's if there are several."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    if not versions:
        raise PostgresMissingError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    return max(versions, key=lambda programs: float(programs.parent.name))


def _environment() -> dict[str, str]:
    # Without PGHOST and PGDATA of the shell.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _responds(psql: Path, port: int, password: str) -> bool:
    """Return whether the server executes a query: it listens some time before."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        command = [str(psql), "-h", HOST, "-p", str(port), "-U", "airflow", "-c", "SELECT 1", "postgres"]
        environment = {**_environment(), "PGPASSWORD": password}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    return False
