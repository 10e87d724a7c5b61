"""A secrets backend that hangs until an event is set."""

from __future__ import annotations

import threading

from airflow.secrets import BaseSecretsBackend


class HangingSecrets(BaseSecretsBackend):
    """Has no connection."""

    may_respond = threading.Event()

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        """Wait, and find nothing."""
        type(self).may_respond.wait()
