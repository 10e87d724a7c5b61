"""Requests one task of the live service in each dialect of the API, and shows what came back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests

from airflow_provider_seeany.api.errors import ApiError
from airflow_provider_seeany.api.request import ApiSettings
from airflow_provider_seeany.api.text import sanitize
from demo.plan import Plan
from demo.screen import Screen
from demo.service import Answer, open_session, read_task, request, settings_for

_MAX_FIELDS = 60
_MAX_DEPTH = 6


def find_api(plan: Plan, screen: Screen) -> str | None:
    """Show how each dialect of the plan responds; return the first in which the task was read, if any."""
    found: list[str] = []
    seeany_id = plan.singles[0]
    with open_session(plan) as session:
        for api in plan.candidates:
            settings = settings_for(plan, api, plan.base_url)
            screen.say(f"\n{api}:")
            try:
                _show(screen, settings, _response_lines(request(session, settings, settings.task_url(seeany_id))))
                outcome = read_task(settings, seeany_id)
                found.append(api)
            except ApiError as error:
                outcome = f"no task: {error}"
            _show(screen, settings, [f"the provider reads: {outcome}"])
            if api == "developer":
                _show(screen, settings, _balance_lines(session, settings))
    if found:
        screen.say(f"\nThe task was read with {' and with '.join(found)}; the DAG below uses {found[0]}\n")
    return found[0] if found else None


def field_names(value: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the names of all fields in a decoded body, such as `data.assets[].work_uuid`, and none of their values."""
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner
            yield from field_names(item, inner, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from field_names(item, f"{path}[]", depth + 1)


def _response_lines(answer: Answer) -> Iterator[str]:
    yield f"GET {answer.url}"
    status = "no response" if answer.http_status is None else f"HTTP {answer.http_status} {answer.content_type}"
    yield f"{status}; {answer.problem}" if answer.problem else status
    if not isinstance(answer.body, dict):
        return
    if "code" in answer.body:
        yield f"code {answer.body['code']!r}, msg {answer.body.get('msg')!r}"
    if isinstance(error := answer.body.get("error"), dict):
        yield f"error {error.get('code')!r}, {error.get('message')!r}"
    if "status" in answer.task:
        yield f"status {answer.task['status']!r}"
    names = [*dict.fromkeys(field_names(answer.body))]
    more = f" and {len(names) - _MAX_FIELDS} more" if len(names) > _MAX_FIELDS else ""
    yield f"fields: {', '.join(names[:_MAX_FIELDS])}{more}"


def _balance_lines(session: requests.Session, settings: ApiSettings) -> Iterator[str]:
    """Tell whether the key belongs to this dialect, whatever the id. The amount is nobody's business."""
    yield from _response_lines(request(session, settings, settings.url("api/developer/balance")))


def _show(screen: Screen, settings: ApiSettings, lines: list[str] | Iterator[str]) -> None:
    for line in lines:
        # The service may quote the key, and whatever it likes.
        screen.say(f"  {sanitize(line, secret=settings.api_key, limit=1500)}")
