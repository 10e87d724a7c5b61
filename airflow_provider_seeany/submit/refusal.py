"""Tells from the exception of a ``create`` callable whether no task was created. In doubt one may have been."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError as UrllibError

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_seeany.api import lenient_json
from airflow_provider_seeany.api.not_carried_out import is_refused, was_never_sent, were_never_sent
from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyConfigError,
    SeeAnyConnectionNotFound,
    SeeAnyError,
    SeeAnyNotCreated,
)

_HTTP_HOOK = re.compile(r"[0-9]{3}:")
"""How the text of what Airflow's HttpHook raises begins."""


def is_refusal(error: BaseException) -> bool:
    """Tell whether the exception means that no task was created."""
    if isinstance(error, SeeAnyApiError):
        return error.was_not_carried_out
    if isinstance(error, SeeAnyError):
        return isinstance(error, SeeAnyConfigError | SeeAnyConnectionNotFound | SeeAnyNotCreated)
    # The author's word that nothing was created; Airflow retries neither.
    if isinstance(error, AirflowFailException | AirflowSkipException):
        return True
    if isinstance(error, AirflowException) and _HTTP_HOOK.match(str(error)) and error.__context__ is not None:
        error = error.__context__
    response = _attribute(error, "response")
    if _method(error, response) in ("GET", "HEAD"):
        # A look at something else, perhaps at the task that was just created.
        return False
    return was_never_sent(error) or _is_refused_response(error, response)


def _method(error: BaseException, response: Any) -> str:
    request = _attribute(response, "request") or _attribute(error, "request") or _attribute(error, "request_info")
    return str(_attribute(request, "method") or "POST").upper()


def _is_refused_response(error: BaseException, response: Any) -> bool:
    """Judge the HTTP status in an exception of requests, httpx, aiohttp or urllib, or of a client made with them."""
    places = ((response, "status_code"), (error, "status_code"), (error, "status"), (error, "code"))
    status = next((found for place in places if isinstance(found := _attribute(*place), int)), None)
    if status is None:
        return False
    retries = _attribute(_attribute(response, "raw"), "retries")
    if not were_never_sent(_attribute(retries, "history") or ()):
        return False
    headers = _attribute(error if response is None else response, "headers")
    return is_refused(status, headers if isinstance(headers, Mapping) else {}, _body(error, response))


def _body(error: BaseException, response: Any) -> object:
    """Return the decoded body or its text, as far as the exception has it; else the exception's own text."""
    text = _attribute(response, "text")
    if isinstance(error, UrllibError):
        with suppress(Exception):
            text = error.read().decode("utf-8", "replace")
    if not isinstance(text, str) or not text:
        return str(error)
    try:
        return lenient_json.decode(text.encode())
    except (ValueError, RecursionError):
        return text


def _attribute(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # httpx raises for a request that is not known
        return None
