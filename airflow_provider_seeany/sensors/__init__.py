"""Airflow sensors: waiting for a task in a DAG."""
