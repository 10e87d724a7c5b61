"""The environment of a private Airflow: nothing inherited, one port, 127.0.0.1 only."""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"

# Only these are inherited: an AIRFLOW__*, AIRFLOW_CONN_* or AIRFLOW_VAR_* variable of the shell would change what is
# tested, and a secret in it could end up in a task's log.
_INHERITED = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONPATH",
        "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE", "TEMP", "TERM", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Keys:
    """The random secrets of one home."""

    fernet_key: str
    secret_key: str
    jwt_secret: str

    @classmethod
    def of_home(cls, home: Path) -> Self:
        """Read the keys of a home, or create them: a second start must decrypt the connections of the first."""
        file = home / "keys.json"
        if file.exists():
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        keys = cls(
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            secret_key=secrets.token_hex(32),
            # HS512, with which Airflow signs, needs 64 bytes.
            jwt_secret=secrets.token_hex(64),
        )
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(keys.__dict__, stream)
        return keys


@dataclass(frozen=True)
class Settings:
    """The settings of one private Airflow."""

    home: Path
    dags_folder: Path
    port: int
    keys: Keys
    base_url_path: str = ""
    database_url: str | None = None
    parallelism: int = 8

    @property
    def url(self) -> str:
        """The address of the api-server, without a trailing slash."""
        return f"http://{HOST}:{self.port}{self.base_url_path}"

    @property
    def sqlite_file(self) -> Path | None:
        """The database file in the home; None with another database."""
        return None if self.database_url else self.home / "airflow.db"

    def environment(self, mark: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of the Airflow processes; `extra` overrides everything."""
        inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
        # So that a bash task runs the same `airflow` and `python` as Airflow itself.
        own_programs = str(Path(sys.executable).parent)
        inherited["PATH"] = os.pathsep.join([own_programs, inherited.get("PATH", os.defpath)])
        return {**inherited, **self._process_variables(), **self._airflow_variables(), **mark, **extra}

    def of_api_server(self) -> dict[str, str]:
        """Return the additional environment of the api-server."""
        if self.database_url is not None:
            return {}
        # Airflow writes its audit log in the event loop. If a request of the same server holds the lock on the SQLite
        # file then, it cannot continue and release it: everything stops until this timeout, and the write fails.
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._sqlite_url(timeout=3)}

    def _sqlite_url(self, *, timeout: int) -> str:
        return f"sqlite:///{self.sqlite_file}?timeout={timeout}"

    def _process_variables(self) -> dict[str, str]:
        return {
            # A component's log file is read while it runs.
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            # No proxy for 127.0.0.1.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            # macOS kills forked children of a process that has used its network frameworks.
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }

    def _airflow_variables(self) -> dict[str, str]:
        bundle = {
            "name": "dags-folder",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(self.dags_folder), "refresh_interval": 2},
        }
        options: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self.dags_folder,
                "executor": "LocalExecutor",
                # LocalExecutor forks all of them at its start; the default is 32.
                "parallelism": self.parallelism,
                "load_examples": False,
                "dags_are_paused_at_creation": False,
                "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
                "simple_auth_manager_all_admins": True,
                "execution_api_server_url": f"{self.url}/execution/",
                "fernet_key": self.keys.fernet_key,
                # A changed file must reach the database at its next parse, not half a minute later.
                "min_serialized_dag_update_interval": 1,
            },
            "database": {
                # Four processes write to one SQLite file: wait for the lock longer than the default 5 s.
                "sql_alchemy_conn": self.database_url or self._sqlite_url(timeout=30),
            },
            "api": {
                "host": HOST,
                "port": self.port,
                "base_url": self.url,
                "workers": 1,
                # Also the time that a stop waits for the open connection of a browser tab.
                "worker_timeout": 5,
                "secret_key": self.keys.secret_key,
            },
            "api_auth": {"jwt_secret": self.keys.jwt_secret},
            "logging": {
                "base_log_folder": self.home / "logs",
                "dag_processor_child_process_log_directory": self.home / "logs" / "dag_processor",
                "colored_console_log": False,
                # Unused, see `instance.py`; the default ports may belong to another Airflow.
                "worker_log_server_port": self.port + 1,
                "trigger_log_server_port": self.port + 2,
            },
            "scheduler": {
                # How long the loop sleeps when it found nothing to do: a step of a run waits for it, and each loop
                # costs 20 ms of a core.
                "scheduler_idle_sleep_time": 0.5,
                "job_heartbeat_sec": 2,
                "enable_health_check": False,
            },
            "triggerer": {
                # The triggers of a killed triggerer move once its heartbeat is this old (default 30).
                "job_heartbeat_sec": 2,
                "triggerer_health_check_threshold": 12,
            },
            "dag_processor": {
                "dag_bundle_config_list": json.dumps([bundle]),
                # Check for changed files often, which is cheap; parse unchanged ones rarely.
                "refresh_interval": 2,
                "bundle_refresh_check_interval": 1,
                "min_file_process_interval": 300,
                "parsing_processes": 2,
            },
            "usage_data_collection": {"enabled": False},
        }
        variables = {
            f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
            for section, values in options.items()
            for option, value in values.items()
        }
        return {"AIRFLOW_HOME": str(self.home), **variables}


def free_port(attempts: int = 50) -> int:
    """Return a free port of 127.0.0.1, with the next two also free."""
    chooser = random.SystemRandom()
    for _ in range(attempts):
        # Below the range of ports for outgoing connections: no client of this machine can get the same one before the
        # server binds it.
        port = chooser.randrange(20_000, 30_000, 10)
        if all(_is_free(port + offset) for offset in range(3)):
            return port
    raise OSError(f"no free port found on {HOST} in {attempts} attempts")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
