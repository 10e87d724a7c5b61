"""Waits on a real Airflow while everything around them fails: `python -m chaos` tells whether one was lost."""

from __future__ import annotations
