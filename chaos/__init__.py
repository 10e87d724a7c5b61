"""Waits on a real Airflow while everything around them fails: `python -m chaos` reports whether one was lost."""

from __future__ import annotations
