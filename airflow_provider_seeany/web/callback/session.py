"""The sessions in which a callback uses Airflow's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.utils.session import create_session
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

STATEMENT_TIMEOUT = 10
"""Maximum seconds for one SQL statement on PostgreSQL, so that no thread waits for a locked row forever."""


@contextmanager
def open_session() -> Iterator[Session]:
    """Open a session whose statements time out: on PostgreSQL here, on SQLite after 5 s anyway."""
    # MySQL has no limit for one transaction, and one for a connection would stay in Airflow's pool. So its own limits
    # apply, above all `innodb_lock_wait_timeout` for a locked row, 50 s by default.
    with create_session(scoped=False) as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}s'"))
        yield session


def changed_rows(session: Session, statement: Any) -> int:
    """Execute a statement and return the number of rows that it changed."""
    result: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(result.rowcount)
