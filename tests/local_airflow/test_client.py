"""The REST client of the local Airflow: what it tries again."""

from __future__ import annotations

import pytest
import requests

from local_airflow.client import AirflowClient, ApiError

# Of a SQLite file that was locked for too long: Airflow 3.3 names the database, 3.1 and 3.2 do not.
LOCKED = ['{"detail": {"reason": "Database error"}}', "Internal Server Error"]


def responding(monkeypatch: pytest.MonkeyPatch, *responses: tuple[int, str]) -> AirflowClient:
    """A client whose requests get these responses, one after the other."""
    rest = iter(responses)

    def respond(*args: object, **options: object) -> requests.Response:
        response = requests.Response()
        response.status_code, text = next(rest)
        response._content = text.encode()
        return response

    client = AirflowClient("http://127.0.0.1:1")
    client._session.headers["Authorization"] = "Bearer token"
    monkeypatch.setattr(requests.Session, "request", respond)
    return client


@pytest.mark.parametrize("text", LOCKED)
def test_a_locked_database_is_asked_again(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    client = responding(monkeypatch, (500, text), (200, '{"dag_id": "videos"}'))

    assert client.request("GET", "/dags/videos") == {"dag_id": "videos"}


@pytest.mark.parametrize("response", [(500, "a bug"), (404, "Internal Server Error")])
def test_any_other_error_is_raised_at_once(monkeypatch: pytest.MonkeyPatch, response: tuple[int, str]) -> None:
    with pytest.raises(ApiError):
        responding(monkeypatch, response).request("GET", "/dags/videos")
