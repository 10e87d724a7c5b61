"""Airflow triggers: waiting in the triggerer."""
