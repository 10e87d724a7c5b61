"""Reads an Airflow that changes meanwhile, played by a server of canned responses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local_airflow.client import AirflowClient, ApiError
from local_airflow.values import DagRun

RUN = DagRun("dag", "run", "running", None, None, None, {})
VALUES = {"kept": (200, {"value": 1}), "deleted": (404, {"detail": "not found"}), "broken": (503, {})}


class _Airflow(BaseHTTPRequestHandler):
    listed: tuple[str, ...] = ()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/auth/token":
            status, body = 200, {"access_token": "token"}
        elif path.endswith("/xcomEntries"):
            status, body = 200, {"xcom_entries": [{"key": key} for key in self.listed], "total_entries": 0}
        else:
            status, body = VALUES[path.rpartition("/")[2]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def client() -> Iterator[AirflowClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = AirflowClient(f"http://127.0.0.1:{server.server_port}")
        yield client
        client.close()
        server.shutdown()


def test_an_xcom_that_is_deleted_after_it_was_listed_is_left_out(
    client: AirflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Airflow, "listed", ("kept", "deleted"))

    assert client.xcoms(RUN, "task") == {"kept": 1}


def test_any_other_error_while_xcoms_are_read_is_raised(client: AirflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Airflow, "listed", ("kept", "broken"))

    with pytest.raises(ApiError):
        client.xcoms(RUN, "task")
