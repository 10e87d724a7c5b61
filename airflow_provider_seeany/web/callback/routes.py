"""
The route at which SeeAny rings: ``POST /seeany/callback/{token}``.

Whoever has the token may ring, and learns no more than whether somebody waits. What the caller sends is never echoed
or logged, and never part of a URL: a SeeAny task is asked for by the id in the wait's own mark.
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

from airflow_provider_seeany.callback.token import verify_token
from airflow_provider_seeany.callback.url import callback_secrets, why_unusable
from airflow_provider_seeany.web.callback.body import MAX_BYTES, seeany_ids
from airflow_provider_seeany.web.callback.handler import CallbackResult, CallbackStatus, handle_callback
from airflow_provider_seeany.web.callback.rate_limit import RateLimit

log = logging.getLogger(__name__)

BODY_TIMEOUT = 10.0
"""Most seconds for a body to arrive."""

_rate = RateLimit()
_told_of_strangers = RateLimit(per_second=1 / 600, burst=1)


def secrets_at_start() -> tuple[str, ...]:
    """
    Return the secrets for as long as this process lives; none, and a line in the log, if they cannot be used.

    An option may be set as a command to run or a secret to look up, which no request should have to wait for.
    """
    try:
        return callback_secrets()
    except Exception as error:
        # The rest of the application works without.
        log.error("Callbacks are off: %s", why_unusable(error))
        return ()


class _Callback:
    """
    Answers each request to the route, whatever its method.

    A function would be given some methods only, and the router tells by a 405 that the route is there for all others.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _response(Request(scope, receive))
        await response(scope, receive, send)


route = Route("/callback/{token}", _Callback())
"""Not by FastAPI, whose routes are there for a list of methods."""


async def _response(request: Request) -> Response:
    secrets: tuple[str, ...] = request.app.state.callback_secrets
    ringer = verify_token(request.path_params["token"], secrets=secrets)
    if ringer is None:
        if secrets and not _told_of_strangers.wait(None):
            # Once in a while, as anybody can bring it about; without it, a secret that differs stays a riddle.
            log.warning("A ring was answered 404: its URL was not given out with this process's callback_secret")
        return _answer(404, {"detail": "Not Found"})
    if request.method != "POST":
        return _answer(405, {"detail": "Method Not Allowed"}, allow="POST")
    # Not by the token: a signature may be written in many ways.
    if wait := _rate.wait(ringer):
        return _answer(429, {"detail": "Too many rings"}, retry_after=wait)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        return _answer(408, {"detail": "The body did not arrive in time"})
    if body is None:
        return _answer(413, {"detail": f"The body has more than {MAX_BYTES} bytes"})
    ids = seeany_ids(body)
    if not ids and ringer.waiting is None:
        return _answer(400, {"detail": "The body is no JSON object with the id of a task"})
    return _told(await handle_callback(ringer, ids))


def _told(received: CallbackResult) -> Response:
    said: dict[str, object] = {"happened": received.happened, "task_instances": received.task_instances}
    if not received.retry_after:
        return _answer(200 if received.happened is CallbackStatus.NOBODY_WAITS else 202, said)
    if not received.task_instances:
        said = {}  # that nobody waits, say, is not known
    if received.is_rate_limited:
        return _answer(429, {"detail": "Too many rings", **said}, retry_after=received.retry_after)
    return _answer(503, {"detail": "Try again", **said}, retry_after=received.retry_after)


async def _body(request: Request) -> bytes | None:
    """Return the body, or ``None`` if it is too large, whatever its headers claim."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _answer(status: int, said: dict[str, object], *, retry_after: float = 0, allow: str = "") -> Response:
    headers = {"Retry-After": str(math.ceil(retry_after))} if retry_after else {}
    headers |= {"Allow": allow} if allow else {}
    return Response(msgspec.json.encode(said), status_code=status, headers=headers, media_type="application/json")
