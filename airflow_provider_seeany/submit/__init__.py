"""Creates a SeeAny task once, however often Airflow runs the task that creates it."""
