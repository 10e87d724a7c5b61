"""Links on the task instance page of the Airflow UI."""
