"""Makes the database of a private Airflow: migrated, or copied from one that was."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from local_airflow.processes import run_to_end
from local_airflow.settings import Settings


def make_database(
    settings: Settings, *, env: Mapping[str, str], template: Path | None = None, timeout: float = 180
) -> None:
    """Make the database of these settings, or bring an existing one up to date.

    `template` names a file (the Airflow version is added to it) that keeps an empty SQLite database: the first call
    writes it, parallel and later ones copy it.
    """
    database = settings.sqlite_file
    if template is None or database is None or database.exists():
        _migrate(settings, env, timeout)
        return
    template = template.with_name(f"{template.name}-{version('apache-airflow-core')}")
    template.parent.mkdir(parents=True, exist_ok=True)
    with locked(template.with_name(f"{template.name}.lock")):
        if template.exists():
            shutil.copyfile(template, database)
            return
        _migrate(settings, env, timeout)
        # A copy made beside it and moved: a killed start leaves no half file.
        unfinished = template.with_name(f"{template.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(unfinished)) as target,
        ):
            source.backup(target)
        unfinished.replace(template)


def _migrate(settings: Settings, env: Mapping[str, str], timeout: float) -> None:
    run_to_end(
        ("db", "migrate"),
        environment=settings.environment({}, env),
        log_file=settings.home / "logs" / "db-migrate.log",
        timeout=timeout,
    )


@contextlib.contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that the system drops however this process ends; without `wait` raise if another one has it."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
