"""Airflow's tables, as the routes of the UI have them."""

from __future__ import annotations

from tests.web.conftest import database, session

__all__ = ["database", "session"]
