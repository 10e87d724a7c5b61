"""What the UI shows of waits: the records that tasks keep of themselves, and the questions to Airflow's database."""
