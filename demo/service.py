"""Requests to the service without Airflow: what waits are compared with, and what a user with a key wants to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from airflow_provider_seeany.api.dialects import find_dialect
from airflow_provider_seeany.api.request import ApiSettings, base_url, checked_api_key
from demo.plan import Plan

_TIMEOUT = 20
_SHOWN = 300  # characters of a body that is no JSON


@dataclass(frozen=True)
class Answer:
    """The response of the service to one GET."""

    url: str
    http_status: int | None = None
    """None without a response; the problem then says why."""
    content_type: str = ""
    body: Any = None
    """The decoded JSON, or None."""
    problem: str = ""

    @property
    def task(self) -> Mapping[str, Any]:
        """The object that describes a task: the body, or what is in its envelope; empty if there is none."""
        body = _object(self.body)
        data = _object(body.get("data"))
        around = {name: value for name, value in data.items() if name != "task"}
        places = (body, data, {**around, **_object(data.get("task"))})
        return next((each for each in places if "status" in each), {})


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def settings_for(plan: Plan, api: str, address: str | None) -> ApiSettings:
    """Return the provider's settings for one dialect of the API at an address."""
    dialect = find_dialect(api)
    return ApiSettings(
        dialect=dialect, base_url=base_url(address, dialect=dialect), api_key=checked_api_key(plan.api_key)
    )


@contextmanager
def open_session(plan: Plan) -> Iterator[requests.Session]:
    """Provide a session that knows the proxies of the environment only if the service is a real one."""
    with requests.Session() as session:
        session.trust_env = plan.is_real  # no proxy for 127.0.0.1
        session.auth = lambda request: request  # or a ~/.netrc would replace the key
        yield session


def request(session: requests.Session, settings: ApiSettings, url: str) -> Answer:
    """Make one GET with the key."""
    try:
        # Redirects are not followed: the key is only for this address.
        response = session.get(url, headers=settings.headers, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return Answer(url, problem=f"{type(error).__name__}: {error}")
    head = url, response.status_code, response.headers.get("Content-Type", "")
    if response.is_redirect:
        return Answer(*head, problem=f"it redirects to {response.headers['Location']}, which is not followed")
    try:
        return Answer(*head, response.json())
    except ValueError:
        return Answer(*head, problem=f"the body is no JSON: {response.text[:_SHOWN]!r}")


def request_task(session: requests.Session, settings: ApiSettings, seeany_id: str) -> Mapping[str, Any]:
    """Return the payload of a task as a wait has to deliver it; empty if there is none."""
    answer = request(session, settings, settings.task_url(seeany_id))
    if answer.http_status != 200 or not answer.task:
        return {}
    # The task in an envelope need not repeat its id under that name.
    return answer.task if answer.task is answer.body else {**answer.task, "id": seeany_id}


def read_task(settings: ApiSettings, seeany_id: str) -> str:
    """Say what the provider's own client makes of a task; an `ApiError` if it makes nothing of it."""
    from airflow_provider_seeany.api.blocking import BlockingClient

    client = BlockingClient(settings)
    try:
        task = client.get_task(seeany_id)
    finally:
        client.close()
    state = "completed" if task.is_completed else "failed" if task.is_failed else "still running"
    files = len(task.result_urls)
    return f"a task, {state}" + (f", {files} result {'file' if files == 1 else 'files'}" if files else "")
