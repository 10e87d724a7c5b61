"""Airflow hook: the connection, authenticated GET calls, and reading a task."""
