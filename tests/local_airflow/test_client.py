"""Reads an Airflow that changes meanwhile or is busy, played by a server of canned responses."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local_airflow.client import AirflowClient, ApiError
from local_airflow.values import DagRun

RUN = DagRun("dag", "run", "running", None, None, None, {})
NOT_FOUND, UNAVAILABLE, BUG = (404, '{"detail": "not found"}'), (503, "{}"), (500, "a bug")
# Of a SQLite file that was locked for too long: Airflow 3.3 names the database, 3.1 and 3.2 do not.
LOCKED = ['{"detail": {"reason": "Database error"}}', "Internal Server Error"]


class Airflow(ThreadingHTTPServer):
    """Responds by the last part of the path, each time with the next response for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.responses = {"token": deque([(200, '{"access_token": "token"}')])}

    def script(self, name: str, *responses: tuple[int, str]) -> None:
        self.responses[name] = deque(responses)

    def has_xcoms(self, **values: tuple[int, str]) -> None:
        """List these XComs of any task instance, and respond so when their values are read."""
        listed = {"xcom_entries": [{"key": key} for key in values], "total_entries": len(values)}
        self.script("xcomEntries", (200, json.dumps(listed)))
        for key, response in values.items():
            self.script(key, response)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Airflow)
        status, body = self.server.responses[self.path.partition("?")[0].rpartition("/")[2]].popleft()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    with Airflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(airflow: Airflow) -> Iterator[AirflowClient]:
    client = AirflowClient(f"http://127.0.0.1:{airflow.server_port}")
    yield client
    client.close()


def test_an_xcom_that_is_deleted_after_it_was_listed_is_left_out(airflow: Airflow, client: AirflowClient) -> None:
    airflow.has_xcoms(kept=(200, '{"value": 1}'), deleted=NOT_FOUND)

    assert client.xcoms(RUN, "task") == {"kept": 1}


def test_any_other_error_while_xcoms_are_read_is_raised(airflow: Airflow, client: AirflowClient) -> None:
    airflow.has_xcoms(kept=(200, '{"value": 1}'), broken=UNAVAILABLE)

    with pytest.raises(ApiError):
        client.xcoms(RUN, "task")


@pytest.mark.parametrize("text", LOCKED)
def test_a_locked_database_is_asked_again(airflow: Airflow, client: AirflowClient, text: str) -> None:
    airflow.script("videos", (500, text), (200, '{"dag_id": "videos"}'))

    assert client.request("GET", "/dags/videos") == {"dag_id": "videos"}


@pytest.mark.parametrize("response", [BUG, (404, "Internal Server Error")])
def test_any_other_error_is_raised_at_once(airflow: Airflow, client: AirflowClient, response: tuple[int, str]) -> None:
    airflow.script("videos", response, (200, "{}"))

    with pytest.raises(ApiError):
        client.request("GET", "/dags/videos")
