"""Judges an HTTP response: a task, decoded JSON, or the error that it means. Both transports end here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.error_body import BodyError, find_error, scalar_text
from airflow_provider_seeany.api.errors import ApiError, InvalidResponseError, TransientError, error_type
from airflow_provider_seeany.api.not_carried_out import is_refused, is_rejected, was_never_sent
from airflow_provider_seeany.api.response import Response, decoded, decompressed
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize

MAX_BYTES_SHOWN = 200  # maximum characters of an invalid body that an error shows

_REQUEST_ID_HEADERS = ("X-Request-Id", "Request-Id", "X-Trace-Id", "X-Correlation-Id")


def parse_task(response: Response, seeany_task_id: str, dialect: Dialect) -> SeeAnyTask:
    """Read the response to the request for one task; raise ``ApiError`` if it does not describe this task."""
    payload, changes = _payload(response, dialect)
    try:
        task = SeeAnyTask.from_payload(dialect.task_payload(payload, seeany_task_id))
    except ValueError as error:
        raise _invalid(response, str(error)) from None
    # Case counts: where ids are case-sensitive, the other case is somebody else's task.
    if task.id != seeany_task_id:
        raise _invalid(response, f"it describes another task, {task.id!r}")
    return msgspec.structs.replace(task, unparsed=(*task.unparsed, *changes)) if changes else task


def parse_json(response: Response, dialect: Dialect) -> Any:
    """Read the response to any GET; raise ``ApiError`` if it is an error, whatever its status, or not JSON."""
    return _payload(response, dialect)[0]


def unreachable(error: BaseException, secret: Secret) -> TransientError:
    """Return the error for a request without any response: timeouts, resets, DNS, TLS."""
    detail = sanitize(str(error), secret=secret) or "no details"
    return TransientError(
        f"SeeAny could not be reached: {type(error).__name__}: {detail}", was_not_carried_out=was_never_sent(error)
    )


def _payload(response: Response, dialect: Dialect) -> tuple[Any, list[str]]:
    """Return the decoded body, and what had to be changed in it for Airflow to take it."""
    # The status first: an unreadable body makes a 401 or a 500 no less of one.
    if not 200 <= response.status < 300:
        raise _http_error(response, dialect)
    try:
        response = decompressed(response)
    except ValueError as error:
        raise _invalid(response, str(error), show_body=False) from None
    try:
        payload, changes = decoded(response)
    except (ValueError, RecursionError) as error:
        if not response.body.strip():
            raise _invalid(response, "the body is empty") from None
        what = "the body is HTML" if _is_html(response) else "the body is not JSON"
        raise _invalid(response, f"{what} ({error})") from None
    if isinstance(payload, dict) and (found := dialect.error_in(payload)) is not None:
        raise _body_error(response, payload, found)
    return payload, changes


def _http_error(response: Response, dialect: Dialect) -> ApiError:
    try:
        response = decompressed(response)
    except ValueError:
        response = msgspec.structs.replace(response, body=b"")
    payload = None
    with suppress(ValueError, RecursionError):
        payload, _ = decoded(response)
    code, message = (find_error(payload) if isinstance(payload, dict) else None) or (None, None)
    retry_after = read_retry_after(response.headers)
    if 300 <= response.status < 400:
        # Following it could carry the key to another host.
        text = f"SeeAny redirected to {_redirect_host(response)} and was not followed"
    else:
        detail = message or _body_excerpt(response)
        text = f"SeeAny returned HTTP {response.status}" + (f": {_detail(response, code, detail)}" if detail else "")
    status = dialect.http_status(response.status, payload) if isinstance(payload, dict) else response.status
    return error_type(status, retry_after=retry_after)(
        text,
        http_status=status,
        code=code and _clean(response, code),
        message=message and _clean(response, message),
        request_id=_request_id(response, payload),
        retry_after=retry_after,
        is_web_page=_is_html(response),
        was_not_carried_out=is_refused(
            response.status, response.headers, response.body.decode("utf-8", "replace") if payload is None else payload
        ),
    )


def _body_error(response: Response, payload: Any, found: BodyError) -> ApiError:
    """Return the error for one that came with a success status."""
    code, message, status = found.code, found.message, found.http_status
    retry_after = read_retry_after(response.headers)
    kind = InvalidResponseError if status is None else error_type(status, retry_after=retry_after)
    return kind(
        f"SeeAny returned an error: {_detail(response, code, message or 'without a message')}",
        http_status=status or response.status,
        code=code and _clean(response, code),
        message=message and _clean(response, message),
        request_id=_request_id(response, payload),
        retry_after=retry_after,
        was_not_carried_out=is_rejected(found, payload),
    )


def _invalid(response: Response, reason: str, *, show_body: bool = True) -> InvalidResponseError:
    excerpt = _body_excerpt(response, even_html=True) if show_body else ""
    return InvalidResponseError(
        f"SeeAny's response (HTTP {response.status}) is invalid: {_clean(response, reason)}"
        + (f"; it begins: {excerpt}" if excerpt else ""),
        http_status=response.status,
        request_id=_request_id(response, None),
    )


def _detail(response: Response, code: str | None, message: str) -> str:
    return _clean(response, f"{message} ({code})" if code else message)


def _clean(response: Response, text: str) -> str:
    return sanitize(text, secret=response.secret)


def _body_excerpt(response: Response, *, even_html: bool = False) -> str:
    if _is_html(response) and not even_html:
        return "an HTML page, not a response of the API"
    return sanitize(response.body.decode("utf-8", "replace"), secret=response.secret, limit=MAX_BYTES_SHOWN)


def _is_html(response: Response) -> bool:
    first = response.body.lstrip()[:1]
    return first == b"<" or ("html" in response.headers.get("Content-Type", "").lower() and first not in (b"{", b"["))


def _request_id(response: Response, payload: Any) -> str | None:
    found = next((value for name in _REQUEST_ID_HEADERS if (value := response.headers.get(name))), None)
    if found is None and isinstance(payload, dict):
        found = scalar_text(payload.get("request_id"))
    return sanitize(found, secret=response.secret, limit=128) or None if found else None


def _redirect_host(response: Response) -> str:
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return (_clean(response, host) if host else "") or "another address"


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After``, seconds or an HTTP date; ignore anything else."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value.partition(",")[0])  # a repeated header arrives as "1, 1"
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
