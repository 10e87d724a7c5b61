"""
The route that SeeAny calls back: ``POST /seeany/callback/{token}``.

Whoever has the token may call it, and learns no more than whether a wait is registered, and what has become of a task
if the token names an asset. What the caller sends is never echoed or logged. A SeeAny task is polled by the id in the
wait's registration; only for an asset by one that the caller sent.
"""

from __future__ import annotations

import asyncio
import logging
import math

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_seeany import metrics
from airflow_provider_seeany.callback.token import TokenClaims, verify_token
from airflow_provider_seeany.callback.url import callback_secrets, why_unusable
from airflow_provider_seeany.web.callback.body import MAX_BYTES, seeany_ids
from airflow_provider_seeany.web.callback.handler import AssetStatus, CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit

log = logging.getLogger(__name__)

BODY_TIMEOUT = 10.0
"""Maximum seconds for a body to arrive."""

_callbacks = RateLimit()
_warnings = RateLimit(per_second=1 / 600, burst=1)


def secrets_at_start() -> tuple[str, ...]:
    """
    Return the secrets that this process uses while it runs; none, and a line in the log, if they cannot be used.

    An option can be set as a command or a secret to look up, for which no request should wait.
    """
    try:
        return callback_secrets()
    except Exception as error:
        # The rest of the application works without.
        log.error("Callbacks are off: %s", why_unusable(error))
        return ()


class _Callback:
    """
    The endpoint, for any method.

    The router would serve a function for some methods only, and reveal the route by a 405 for all others.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await metrics.prepare()
        request = Request(scope, receive)
        secrets: tuple[str, ...] = request.app.state.callback_secrets
        claims = verify_token(request.path_params["token"], secrets=secrets)
        outcome = _unsigned(is_on=bool(secrets)) if claims is None else await _outcome(request, claims)
        metrics.callback_received(_result_tag(outcome), conn_id=claims.seeany_conn_id if claims else None)
        response = outcome if isinstance(outcome, Response) else _result_response(outcome)
        await response(scope, receive, send)


route = Route("/callback/{token}", _Callback())
"""Not FastAPI's, which is for a list of methods."""


def _unsigned(*, is_on: bool) -> Response:
    if is_on and not _warnings.acquire(None):
        # Rarely, as anyone can cause it; without it, a secret that differs is hard to find.
        log.warning("A callback got a 404: its URL was not signed with this process's callback_secret")
    return _json(404, {"detail": "Not Found"})


async def _outcome(request: Request, claims: TokenClaims) -> Response | CallbackResult:
    """Return what the callback achieved, or the response that rejects it."""
    if request.method != "POST":
        return _json(405, {"detail": "Method Not Allowed"}, allow="POST")
    # Not by the token: a signature can be written in many ways.
    if retry_after := _callbacks.acquire(claims):
        return _json(429, {"detail": "Too many callbacks"}, retry_after=retry_after)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        return _json(408, {"detail": "The body did not arrive in time"})
    if body is None:
        return _json(413, {"detail": f"The body has more than {MAX_BYTES} bytes"})
    ids = seeany_ids(body)
    if not ids and claims.task_instance is None:
        return _json(400, {"detail": "The body is not a JSON object with the id of a task"})
    return await handle_callback(claims, ids)


def _result_tag(outcome: Response | CallbackResult) -> str:
    """Return what became of a callback, as metrics name it."""
    if isinstance(outcome, Response):
        return "rate_limited" if outcome.status_code == 429 else "rejected"
    if outcome.retry_after:
        return "rate_limited" if outcome.is_rate_limited else "error"
    is_of_asset = outcome.status is CallbackStatus.NO_WAIT and outcome.asset is not None
    return f"asset_{outcome.asset}" if is_of_asset else outcome.status


def _result_response(result: CallbackResult) -> Response:
    fields: dict[str, object] = {"status": result.status, "task_instances": result.task_instances}
    if result.asset:
        fields["asset"] = result.asset
    if not result.retry_after:
        return _json(_status_code(result), fields)
    if not result.task_instances:
        # After an error, the status is not known.
        fields = {name: value for name, value in fields.items() if value is AssetStatus.EVENT}
    if result.is_rate_limited:
        return _json(429, {"detail": "Too many callbacks", **fields}, retry_after=result.retry_after)
    return _json(503, {"detail": "Try again", **fields}, retry_after=result.retry_after)


def _status_code(result: CallbackResult) -> int:
    if result.asset is AssetStatus.NO_ASSET:
        return 409
    is_done = result.status is not CallbackStatus.NO_WAIT or result.asset in (
        AssetStatus.EVENT,
        AssetStatus.STILL_RUNNING,
    )
    return 202 if is_done else 200


async def _body(request: Request) -> bytes | None:
    """Return the body; ``None`` if it is too large, whatever its headers claim."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _json(status: int, payload: dict[str, object], *, retry_after: float = 0, allow: str = "") -> Response:
    headers = {"Retry-After": str(math.ceil(retry_after))} if retry_after else {}
    headers |= {"Allow": allow} if allow else {}
    return Response(msgspec.json.encode(payload), status_code=status, headers=headers, media_type="application/json")
