"""The operators as a DAG has them."""
