"""Programs that a test runs in a process of their own, as Airflow reads its database's address when it is imported."""
