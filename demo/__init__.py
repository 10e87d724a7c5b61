"""`python -m demo`: the provider at work in a real Airflow, watched, and checked at the end."""

from __future__ import annotations
