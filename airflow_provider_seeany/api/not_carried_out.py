"""
Tells whether a failed request was certainly not carried out, so that sending it again cannot pay twice.

Errors are recognised by their names, so that no HTTP client is loaded that a user does not use.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from traceback import walk_tb
from typing import Any
from unicodedata import normalize

from airflow_provider_seeany.api import fields
from airflow_provider_seeany.api.error_body import BodyError, code_and_message
from airflow_provider_seeany.api.task_id import task_ids_in

_NEVER_SENT = frozenset(
    {
        ("builtins", "ConnectionRefusedError"),
        ("socket", "gaierror"),
        ("requests", "ConnectTimeout"),
        ("urllib3", "NewConnectionError"),
        ("urllib3", "ConnectTimeoutError"),
        ("httpx", "ConnectError"),
        ("httpx", "ConnectTimeout"),
        ("httpx", "PoolTimeout"),
        ("httpx", "ProxyError"),
        ("aiohttp", "ClientConnectorError"),
        ("aiohttp", "ConnectionTimeoutError"),
    }
)
"""Errors of a request that has not left, by package and name: no address, no connection, no certificate to trust."""

_NO_TUNNEL = "Tunnel connection failed"
"""How Python's own client begins the error for a proxy that refuses a tunnel."""

_MAX_TEXT = 2000  # maximum characters of an error that are judged

_REFUSED_REDIRECTS = frozenset({301, 307, 308})
"""These ask for the request itself at another address. After 302 and 303 it may have been carried out."""

_UNCLEAR_REFUSALS = frozenset({408, 409, 425, 499})
"""408 and 499 may be a proxy's word for a slow service, 409 may be about an earlier request."""


_MAY_BE_DONE_EARLIER = re.compile(
    r"duplicat|exists? already|already (?:be(?:en|ing) )?"
    r"(?:exist|creat|submit|accept|receiv|process|queue|start|running|in )"
    r"|重复|已经?(?:被|在)?(?:存在|创建|提交|受理|接收|处理)"
)
"""What an error says that is about an earlier request: that may have created a task."""

_MAY_BE_DONE = re.compile(
    r"time.?out|timed out|超时|internal|server error|系统错误|系统异常|内部错误|服务异常|服务器"
    r"|(?<!un)(?<!not )success|(?<![不未])成功"
)
"""Of the service's own errors only these leave open what it had done by then; "busy" does not."""


def was_never_sent(error: BaseException) -> bool:
    """Tell whether an error of an HTTP client means that the service cannot have got the request, now or earlier."""
    layers = list(_layers(error))
    is_unsent = any(
        isinstance(each, ssl.SSLCertVerificationError)
        or not _NEVER_SENT.isdisjoint(_names(type(each)))
        or (type(each) is OSError and str(each).startswith(_NO_TUNNEL))
        for each in layers
    )
    return is_unsent and all(map(_repeats_nothing, layers))


def were_never_sent(history: Iterable[Any]) -> bool:
    """Tell the same of the attempts that urllib3 made before, as its ``Retry`` and its responses keep them."""
    return all(each.error is not None and was_never_sent(each.error) for each in history)


def is_refused(status: int, headers: Mapping[str, Any], body: object) -> bool:
    """
    Tell whether an HTTP status says that the service did not carry out the request, nor an earlier one.

    :param body: decoded, or its text.
    """
    if _MAY_BE_DONE_EARLIER.search(_normalized(_words(body))):
        return False
    if status == 503:
        # With the header the service itself asks for patience; without, it may be a gateway's word for a broken line.
        return "retry-after" in {str(name).lower() for name in headers}
    return status in _REFUSED_REDIRECTS or (400 <= status < 500 and status not in _UNCLEAR_REFUSALS)


def is_rejected(error: BodyError, payload: Mapping[str, Any]) -> bool:
    """
    Tell whether an error in a body, which came with a success status, says that the request was not carried out.

    It does not if the body has an id, or any data: then the code may be an unknown one of success.
    """
    if task_ids_in(payload) or not fields.is_empty(payload.get("data")):
        return False
    if error.code == str(error.http_status):
        return is_refused(error.http_status or 0, {}, payload)
    text = _normalized(f"{error.code or ''} {error.message or ''}")
    return _MAY_BE_DONE.search(text) is None and _MAY_BE_DONE_EARLIER.search(text) is None


def _words(body: object) -> str:
    """Return what an error says, or else the whole body: that may repeat the request."""
    if isinstance(body, Mapping) and any(found := code_and_message(body)):
        return " ".join(filter(None, found))
    return body if isinstance(body, str) else str(body or "")


def _normalized(text: str) -> str:
    return normalize("NFKC", text[:_MAX_TEXT]).casefold().replace("_", " ")


def _repeats_nothing(error: BaseException) -> bool:
    """
    Tell whether urllib3 had sent nothing before the attempt that ended with this error.

    A session with a ``Retry`` of its own may repeat a POST. Only the ``Retry`` that gives up knows, in the traceback.
    """
    callers: list[Any] = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    retries = [each for each in callers if ("urllib3", "Retry") in _names(type(each))]
    if not retries:
        return ("urllib3", "MaxRetryError") not in _names(type(error))
    return all(were_never_sent(retry.history) for retry in retries)


def _layers(error: BaseException) -> Iterator[BaseException]:
    """
    Yield an error of requests or urllib3, and those that it wraps as its arguments, not as its cause.

    Of a proxy only the innermost tells: urllib3 says that it could not connect also if the connection was closed later.
    """
    wrapped: Any = error
    for _ in range(6):
        if not isinstance(wrapped, BaseException):
            return
        yield wrapped
        names = ("reason", "original_error")
        wrapped = next(filter(None, (getattr(wrapped, name, None) for name in names)), next(iter(wrapped.args), None))


def _names(kind: type) -> set[tuple[str, str]]:
    return {(each.__module__.partition(".")[0], each.__name__) for each in kind.__mro__}
