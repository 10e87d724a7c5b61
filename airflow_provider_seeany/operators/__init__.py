"""Airflow operators: handing a result on to downstream tasks."""
