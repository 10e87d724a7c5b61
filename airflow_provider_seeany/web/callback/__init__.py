"""The callback route: receives SeeAny's callbacks and resumes waits; see :mod:`airflow_provider_seeany.callback`."""
