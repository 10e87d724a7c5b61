"""A secrets backend that hangs as long as it is told to."""

from __future__ import annotations

import threading

from airflow.secrets import BaseSecretsBackend


class HangingSecrets(BaseSecretsBackend):
    """Knows no connection, and says so as soon as it may."""

    may_answer = threading.Event()

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        """Wait, and find nothing."""
        type(self).may_answer.wait()
