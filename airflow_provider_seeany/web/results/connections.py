"""Which connections exist, as far as the api-server can tell: those in the database and in its environment."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from airflow.models.connection import Connection
from sqlalchemy import exists, select

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_PREFIX = "AIRFLOW_CONN_"
_TYPE = "seeany"


def has_connection(session: Session) -> bool:
    """Return whether there is a connection of type SeeAny."""
    values = (value for name, value in os.environ.items() if name.startswith(_PREFIX))
    if any(value.startswith(f"{_TYPE}:") or f'"{_TYPE}"' in value for value in values):
        return True
    return bool(session.scalar(select(exists().where(Connection.conn_type == _TYPE))))


def existing(session: Session, conn_ids: Collection[str]) -> set[str]:
    """Return which of these exist."""
    found = {conn_id for conn_id in conn_ids if f"{_PREFIX}{conn_id.upper()}" in os.environ}
    return found.union(session.scalars(select(Connection.conn_id).where(Connection.conn_id.in_(conn_ids))))
