"""The sensor as a DAG has it."""
