"""The UI in a real browser on a real Airflow."""
