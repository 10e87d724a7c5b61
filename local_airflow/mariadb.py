"""Runs a private, temporary MariaDB server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local_airflow.client import wait_until
from local_airflow.processes import helper_process, run_as
from local_airflow.settings import HOST, free_port

# The server refuses to run as root, so root runs it as the package's own user.
_USER = "mysql"
# Debian's folder of the server itself, which is not in everybody's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

AIRFLOW_OPTIONS: Mapping[str, str] = {
    # Airflow finds stale assets by a statement that MariaDB does not know, and its scheduler ends. So it never looks.
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": str(10 * 365 * 24 * 3600),
}
"""The environment without which Airflow does not run on MariaDB."""

# The data is temporary, so nothing has to survive a power cut.
_OPTIONS: Mapping[str, object] = {
    "bind-address": HOST,
    "max-connections": 200,
    "innodb-flush-log-at-trx-commit": 0,
    "innodb-doublewrite": 0,
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_unicode_ci",
    # What Airflow's documentation asks for.
    "explicit-defaults-for-timestamp": 1,
}


class MariadbMissingError(RuntimeError):
    """There is no MariaDB server on this machine, or no driver in this environment."""


@contextlib.contextmanager
def running_mariadb(*, start_timeout: float = 60) -> Iterator[str]:
    """Start an empty server and yield the `database_url` for a LocalAirflow, which needs `AIRFLOW_OPTIONS`, too."""
    server, install = (_program(name) for name in ("mariadbd", "mariadb-install-db"))
    user = _USER if os.geteuid() == 0 else None
    # Not in a folder of the caller's choice: the server's user must have access.
    folder = Path(tempfile.mkdtemp(prefix="local-mariadb-"))
    try:
        password = secrets.token_hex(16)
        commands = folder / "commands.sql"
        commands.touch(0o600)
        commands.write_text(
            "CREATE DATABASE airflow;\n"
            f"CREATE USER airflow@'{HOST}' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON airflow.* TO airflow@'{HOST}';\n",
            encoding="ascii",
        )
        if user is not None:
            for path in (folder, commands):
                shutil.chown(path, user, user)
        # Whatever the machine's own server is configured to do is ignored.
        data, port, log_file = f"--datadir={folder / 'data'}", free_port(), folder / "server.log"
        run_as(
            [install, "--no-defaults", data, "--skip-test-db", "--auth-root-authentication-method=socket"],
            environment=_environment(),
            user=user,
        )
        options = {**_OPTIONS, "port": port, "socket": folder / "socket", "init-file": commands}
        with helper_process(
            [server, "--no-defaults", data, *(f"--{name}={value}" for name, value in options.items())],
            log_file=log_file,
            environment=_environment(),
            user=user,
        ) as process:
            url = f"mysql+mysqldb://airflow:{password}@{HOST}:{port}/airflow?charset=utf8mb4"

            def responds() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"MariaDB did not start: {log_file.read_text(encoding='utf-8')[-2000:]}")
                return can_connect(url)

            wait_until(responds, timeout=start_timeout, describe=lambda: "MariaDB does not respond")
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def can_connect(url: str) -> bool:
    """Return whether the server of this URL lets its user in."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    try:
        engine = create_engine(url)
    except ImportError as missing:
        raise MariadbMissingError(
            f"{missing.name} is not installed; `make test-large` does that where libmariadb-dev is"
        ) from None
    try:
        engine.connect().close()
    except OperationalError:
        return False
    finally:
        engine.dispose()
    return True


def _program(name: str) -> str:
    if (found := shutil.which(name, path=_PATH)) is None:
        raise MariadbMissingError(f"{name} is not installed; on Debian: apt-get install mariadb-server")
    return found


def _environment() -> dict[str, str]:
    return {"PATH": _PATH, "LC_ALL": "C"}
