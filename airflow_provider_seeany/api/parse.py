"""Judges an HTTP response: a task, decoded JSON, or the error that it means. Both transports end here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from airflow_provider_seeany.api.errors import ApiError, Kind, Trouble
from airflow_provider_seeany.api.response import Response, decoded, decompressed
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

MAX_BYTES_SHOWN = 200
"""How much of an unusable answer an error shows."""


_REQUEST_ID_HEADERS = ("X-Request-Id", "Request-Id", "X-Trace-Id", "X-Correlation-Id")


def parse_task(response: Response, seeany_task_id: str) -> SeeAnyTask:
    """
    Read the answer to a question about one task.

    :raises ApiError: if the response is no answer about this task.
    """
    payload, changes = _read(response)
    if not isinstance(payload, dict):
        _unusable(response, f"expected a JSON object, got {type(payload).__name__}")
    try:
        task = SeeAnyTask.from_payload(payload)
    except ValueError as error:
        _unusable(response, str(error))
    # Case counts: where ids are letters of either case, the other one names somebody else's task.
    if task.id != seeany_task_id:
        _unusable(response, f"this is the answer about another task, {task.id!r}")
    return msgspec.structs.replace(task, unclear=(*task.unclear, *changes)) if changes else task


def parse_json(response: Response) -> Any:
    """
    Read the answer to any GET.

    :raises ApiError: if the status says that this is no success, if the body is no JSON, or if it is an error
        that came with a success status.
    """
    return _read(response)[0]


def _read(response: Response) -> tuple[Any, list[str]]:
    """Return what :func:`parse_json` does, and what had to be changed in it for Airflow to take it, for a person."""
    # The status first: a body that cannot be read makes a refusal or an outage no less of one.
    if not 200 <= response.status < 300:
        raise ApiError(_refusal(response))
    try:
        response = decompressed(response)
    except ValueError as error:
        _unusable(response, str(error), shown="")
    try:
        payload, changes = decoded(response)
    except (ValueError, RecursionError) as error:
        if not response.body.strip():
            _unusable(response, "the body is empty")
        what = "the body is HTML" if _is_html(response) else "the body is no JSON that can be handed on"
        _unusable(response, f"{what} ({error})")
    if isinstance(payload, dict) and _is_about_request(payload) and (envelope := _error_envelope(payload)):
        raise ApiError(_enveloped(response, *envelope))
    return payload, changes


def unreachable(error: BaseException, secret: Secret) -> ApiError:
    """Return the error for a request that brought no response at all: time-outs, resets, DNS, TLS."""
    detail = sanitize(str(error), secret=secret) or "no details"
    return ApiError(Trouble(kind=Kind.TRANSIENT, text=f"SeeAny could not be reached: {type(error).__name__}: {detail}"))


def kind_of_status(status: int, *, retry_after: float | None) -> Kind:
    """Classify an HTTP status that is no success."""
    if status == 429 or (status == 503 and retry_after is not None):
        return Kind.THROTTLED
    # 1xx announces an answer that then did not come.
    if status in (408, 425) or status >= 500 or status < 200:
        return Kind.TRANSIENT
    return Kind.PERMANENT


def _refusal(response: Response) -> Trouble:
    try:
        response = decompressed(response)
    except ValueError:
        response = msgspec.structs.replace(response, body=b"")
    payload = _lenient_json(response)
    code, message = (_error_envelope(payload) if isinstance(payload, dict) else None) or (None, None)
    retry_after = _retry_after(response.headers)
    if 300 <= response.status < 400:
        # Following it could carry the key to another host.
        text = f"SeeAny redirected to {_redirect_host(response)} and was not followed"
        kind = Kind.PERMANENT
    else:
        said = message or _first_bytes(response)
        text = f"SeeAny answered HTTP {response.status}" + (f": {_said(response, code, said)}" if said else "")
        kind = kind_of_status(response.status, retry_after=retry_after)
    return Trouble(
        kind=kind,
        text=text,
        http_status=response.status,
        code=code and _clean(response, code),
        message=message and _clean(response, message),
        request_id=_request_id(response, payload),
        retry_after=retry_after,
        is_web_page=_is_html(response),
    )


def _enveloped(response: Response, code: str | None, message: str | None) -> Trouble:
    """
    Judge an error that came with a success status.

    A code that is an HTTP status counts as one. What any other code means is not documented: it may say that the
    service is busy as well as that the key is wrong, so it is believed when it is said several times.
    """
    status = int(code) if code and code.isascii() and code.isdigit() and len(code) == 3 else None
    retry_after = _retry_after(response.headers)
    kind = Kind.INVALID_RESPONSE
    if status is not None and 400 <= status < 600:
        kind = kind_of_status(status, retry_after=retry_after)
    else:
        status = None
    return Trouble(
        kind=kind,
        text=f"SeeAny answered with an error: {_said(response, code, message or 'without a message')}",
        http_status=status or response.status,
        code=code and _clean(response, code),
        message=message and _clean(response, message),
        request_id=_request_id(response, _lenient_json(response)),
        retry_after=retry_after,
    )


def _is_about_request(payload: dict[str, Any]) -> bool:
    """
    Tell whether an error in this answer is one of the request, even if it has a ``status`` of its own.

    That is so if nothing in it is about a task but an id that is echoed, and its code is an HTTP status. What says in
    the words for a task that one has failed may have such a code, too.
    """
    if "status" not in payload:
        return True
    code = _text(payload.get("code"))
    if code is None or re.fullmatch("[45][0-9]{2}", code) is None:
        return False
    task = SeeAnyTask(id="", status=_text(payload["status"]) or "", payload=payload)
    if task.tells_of_a_task:
        return False
    if task.is_failed:
        return task.status.strip().lower() == "error" and not isinstance(payload.get("error"), dict)
    return task.is_completed or not task.has_known_status


def _error_envelope(payload: dict[str, Any]) -> tuple[str | None, str | None] | None:
    """Return code and message of an error body in any of the usual shapes, or ``None`` if it is none."""
    error = payload.get("error")
    if isinstance(error, dict):
        return _text(error.get("code")), _text(error.get("message") or error.get("msg"))
    message = next((text for key in _MESSAGE_KEYS if (text := _text(payload.get(key)))), None)
    code = _text(payload.get("code"))
    if isinstance(error, str) and error:
        return code, message or error
    if code is not None and code not in ("0", "200"):
        return code, message
    return (None, message) if message and code is None else None


_MESSAGE_KEYS = ("message", "msg", "detail", "error_message")


def _text(value: object) -> str | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        return str(value)
    return None


def _said(response: Response, code: str | None, message: str) -> str:
    return _clean(response, f"{message} ({code})" if code else message)


def _clean(response: Response, text: str) -> str:
    return sanitize(text, secret=response.secret)


def _unusable(response: Response, why: str, *, shown: str | None = None) -> NoReturn:
    if shown is None:
        shown = _first_bytes(response, even_html=True)
    raise ApiError(
        Trouble(
            kind=Kind.INVALID_RESPONSE,
            text=f"SeeAny's answer (HTTP {response.status}) cannot be used: {_clean(response, why)}"
            + (f"; it begins: {shown}" if shown else ""),
            http_status=response.status,
            request_id=_request_id(response, None),
        )
    )


def _first_bytes(response: Response, *, even_html: bool = False) -> str:
    if _is_html(response) and not even_html:
        return "an HTML page, not an answer of the API"
    return sanitize(response.body.decode("utf-8", "replace"), secret=response.secret, limit=MAX_BYTES_SHOWN)


def _is_html(response: Response) -> bool:
    begins = response.body.lstrip()[:1]
    return begins == b"<" or ("html" in response.headers.get("Content-Type", "").lower() and begins not in (b"{", b"["))


def _lenient_json(response: Response) -> Any:
    try:
        return decoded(response)[0]
    except (ValueError, RecursionError):
        return None


def _request_id(response: Response, payload: Any) -> str | None:
    found = next((value for name in _REQUEST_ID_HEADERS if (value := response.headers.get(name))), None)
    if found is None and isinstance(payload, dict):
        found = _text(payload.get("request_id"))
    return sanitize(found, secret=response.secret, limit=128) or None if found else None


def _redirect_host(response: Response) -> str:
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return (_clean(response, host) if host else "") or "another address"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date; anything else is as if it were not there."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value.partition(",")[0])  # a header that came twice arrives as "1, 1"
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
