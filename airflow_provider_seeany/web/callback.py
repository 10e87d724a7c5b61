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
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from airflow_provider_seeany.callback.answering import AskedTooOften, Happened, SeeAnyDidNotAnswer, answer_ring
from airflow_provider_seeany.callback.body import MOST_BYTES, seeany_ids
from airflow_provider_seeany.callback.rate import RateLimit
from airflow_provider_seeany.callback.token import Ringer, read
from airflow_provider_seeany.callback.url import callback_secret, why_unusable

log = logging.getLogger(__name__)

router = APIRouter()

RETRY_AFTER = 10
"""Seconds after which a ring that met trouble should be repeated."""

PATIENCE_WITH_BODY = 10.0
"""Most seconds for a body to arrive."""

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_rate = RateLimit()
_told_of_strangers = RateLimit(per_second=1 / 600, burst=1)


def secret_at_start() -> str | None:
    """
    Return the secret for as long as this process lives; ``None``, and a line in the log, if it cannot be used.

    An option may be set as a command to run or a secret to look up, which no request should have to wait for.
    """
    try:
        return callback_secret()
    except Exception as error:
        # The rest of the application works without.
        log.error("Callbacks are off: %s", why_unusable(error))
        return None


# All methods, so that nothing tells whether the route is there while no secret is set.
@router.api_route("/callback/{token}", methods=_METHODS)
async def ring(token: str, request: Request) -> Response:
    """Look now: answer a ring."""
    secret: str | None = request.app.state.callback_secret
    ringer = read(token, secret=secret) if secret else None
    if ringer is None:
        if secret and not _told_of_strangers.wait(None):
            # Once in a while, as anybody can bring it about; without it, a secret that differs stays a riddle.
            log.warning("A ring was answered 404: its URL was not given out with this process's callback_secret")
        return _answer(404, {"detail": "Not Found"})
    if request.method != "POST":
        return _answer(405, {"detail": "Method Not Allowed"}, allow="POST")
    # Not by the token: a signature may be written in many ways.
    if wait := _rate.wait(ringer):
        return _answer(429, {"detail": "Too many rings"}, retry_after=math.ceil(wait))
    try:
        async with asyncio.timeout(PATIENCE_WITH_BODY):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        return _answer(408, {"detail": "The body did not arrive in time"})
    if body is None:
        return _answer(413, {"detail": f"The body has more than {MOST_BYTES} bytes"})
    ids = seeany_ids(body)
    if not ids and ringer.waiting is None:
        return _answer(400, {"detail": "The body is no JSON object with the id of a task"})
    return await _rung(ringer, ids)


async def _rung(ringer: Ringer, ids: list[str]) -> Response:
    try:
        rung = await answer_ring(ringer, ids)
    except AskedTooOften as error:
        return _answer(429, {"detail": "Too many rings"}, retry_after=math.ceil(error.wait))
    except SeeAnyDidNotAnswer as error:
        log.warning("SeeAny rang, but could not be asked through connection %r: %s", ringer.seeany_conn_id, error)
    except SQLAlchemyError as error:
        log.error("SeeAny rang, but Airflow's database could not be used: %s", type(error).__name__)
    else:
        return _answer(200 if rung.happened is Happened.NOBODY_WAITS else 202, msgspec.to_builtins(rung))
    return _answer(503, {"detail": "Try again"}, retry_after=RETRY_AFTER)


async def _body(request: Request) -> bytes | None:
    """Return the body, or ``None`` if it is too large, whatever its headers claim."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _answer(status: int, said: dict[str, object], *, retry_after: int | None = None, allow: str = "") -> Response:
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    headers |= {"Allow": allow} if allow else {}
    return Response(msgspec.json.encode(said), status_code=status, headers=headers, media_type="application/json")
