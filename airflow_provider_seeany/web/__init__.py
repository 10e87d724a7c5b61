"""What the provider serves in Airflow's api-server, below ``/seeany``."""
