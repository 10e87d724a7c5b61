"""Apache Airflow provider for the SeeAny video and image-set generation platform."""

from __future__ import annotations

__version__ = "1.0.0"

DEFAULT_CONN_ID = "seeany_default"
"""The Airflow connection that is used where none is named."""
