"""`python -m demo`: runs the provider in a real Airflow, shows it and checks the result."""

from __future__ import annotations
