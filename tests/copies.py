"""Copying rows within a real database: what makes a hundred thousand of them in seconds."""

from __future__ import annotations

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session


def columns(session: Session, table: str, *, without: str) -> str:
    """Return a table's columns, but those that each copied row has of its own."""
    names = [f'"{column["name"]}"' for column in inspect(session.connection()).get_columns(table)]
    return ", ".join(name for name in names if name not in without.split())


def new_uuid(session: Session) -> str:
    """Return the SQL for a new id."""
    return "lower(hex(randomblob(16)))" if session.connection().dialect.name == "sqlite" else "gen_random_uuid()"


def count(session: Session) -> None:
    """Let the database count its rows: it plans the checks of foreign keys by that, too."""
    _maintain(session, "ANALYZE")


def settle(session: Session) -> None:
    """Do what PostgreSQL does by itself some time after very many rows were added."""
    _maintain(session, "VACUUM ANALYZE" if session.connection().dialect.name == "postgresql" else "ANALYZE")


def _maintain(session: Session, command: str) -> None:
    session.commit()
    with session.get_bind().engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(command))
    session.connection().invalidate()
    session.rollback()
