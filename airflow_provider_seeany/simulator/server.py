"""The simulated API as an aiohttp application, and a way to serve it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler, Middleware

from .answers import Body, error_body, task_body
from .callback import TokenClaims
from .scenario import Completed, Failed, Scenario, UnknownTaskError

logger = logging.getLogger(__name__)

_FILES = Path(__file__).with_name("files")
_IMAGES_ON_DISK = 4


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One request about a task, and the HTTP status it was answered with."""

    task_id: str
    at: float
    http_status: int


CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("CLOCK")
STARTED: web.AppKey[dict[str, float]] = web.AppKey("STARTED")
REQUESTS: web.AppKey[list[TaskRequest]] = web.AppKey("REQUESTS")
RINGER: web.AppKey[TokenClaims] = web.AppKey("RINGER")


def create_app(
    clock: Callable[[], float] = time.time, *, faults: Sequence[Middleware] = (), callback_url: str | None = None
) -> web.Application:
    """Make a simulated SeeAny in which no task has been asked for yet; `clock` tells it the Unix time.

    `faults` may answer in a task's place, or not answer at all, to try what callers make of it. It rings at
    `callback_url` when a task has ended, its seconds after it was first asked for.
    """
    # A request passes these from left to right. The faults come after the record, so that they are recorded too.
    app = web.Application(middlewares=[_errors_as_json, _record, *faults, _require_user_agent_and_key])
    app[CLOCK] = clock
    app[STARTED] = {}
    app[REQUESTS] = []
    if callback_url is not None:
        app[RINGER] = TokenClaims(callback_url)
        app.on_shutdown.append(_stop_ringing)
    app.on_response_prepare.append(_name_response)
    app.router.add_get("/v1/tasks/{task_id}", _answer_task)
    app.router.add_get("/files/{task_id}/{name:output[.]mp4|thumb[.]jpg}", _send_file)
    app.router.add_get("/files/{task_id}/image-{number:[1-9][0-9]?}.jpg", _send_image)
    app.router.add_get("/simulator/requests", _count_requests)
    app.router.add_get("/simulator/starts", _tell_starts)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve `app` while the context lasts and give its URL; port 0 takes a free one."""
    # Files and answers are short; nobody needs longer than this to get the rest of one at the end.
    runner = web.AppRunner(app, access_log=logger, access_log_class=_AccessLogger, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address, bound_port = runner.addresses[0][:2]
        yield f"http://[{address}]:{bound_port}" if ":" in address else f"http://{address}:{bound_port}"
    finally:
        await runner.cleanup()


class _AccessLogger(AbstractAccessLogger):
    """Writes method, path and status, and nothing in which a key could stand."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        # The raw path keeps its escapes, so that no id can break the line; the query is left out.
        self.logger.info("%s %s %s", request.method, request.rel_url.raw_path, response.status)


async def _answer_task(request: web.Request) -> web.Response:
    task_id = request.match_info["task_id"]
    try:
        scenario = Scenario.of(task_id)
    except UnknownTaskError as error:
        return _refusal(404, "task_not_found", str(error))
    now = request.app[CLOCK]()
    is_new = task_id not in request.app[STARTED]
    started_at = request.app[STARTED].setdefault(task_id, now)
    files_url = f"{request.scheme}://{request.host}/files"
    end = scenario.at(scenario.seconds)
    if is_new and RINGER in request.app and isinstance(end, Completed | Failed):
        answer = task_body(scenario, end, started_at=started_at, files_url=files_url)
        request.app[RINGER].ring_after(scenario.seconds, answer)
    state = scenario.at(now - started_at)
    return _json(task_body(scenario, state, started_at=started_at, files_url=files_url))


async def _stop_ringing(app: web.Application) -> None:
    await app[RINGER].close()


async def _send_file(request: web.Request) -> web.FileResponse:
    # As on a CDN, no key is asked for, and files outlive the server that named them.
    return web.FileResponse(_FILES / request.match_info["name"])


async def _send_image(request: web.Request) -> web.FileResponse:
    # A large set repeats the pictures there are, under URLs of their own.
    number = (int(request.match_info["number"]) - 1) % _IMAGES_ON_DISK + 1
    return web.FileResponse(_FILES / f"image-{number}.jpg")


async def _count_requests(request: web.Request) -> web.Response:
    return _json(Counter(asked.task_id for asked in request.app[REQUESTS]))


async def _tell_starts(request: web.Request) -> web.Response:
    started = request.app[STARTED]
    return _json({**started})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        refusal = _refusal(error.status, error.reason.lower().replace(" ", "_"), error.reason)
        if hdrs.ALLOW in error.headers:
            refusal.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return refusal


@web.middleware
async def _record(request: web.Request, handler: Handler) -> web.StreamResponse:
    at = request.app[CLOCK]()
    response = await handler(request)
    if request.match_info.handler is _answer_task:
        asked = TaskRequest(request.match_info["task_id"], at, response.status)
        request.app[REQUESTS].append(asked)
    return response


@web.middleware
async def _require_user_agent_and_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith("/v1/"):
        return await handler(request)
    if not request.headers.get(hdrs.USER_AGENT):
        return _refusal(403, "user_agent_required", "the request has no User-Agent header")
    scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("sk-") or key.startswith("sk-bad"):
        return _refusal(401, "invalid_api_key", "the request has no valid key: Authorization: Bearer sk-…")
    return await handler(request)


async def _name_response(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = f"req_{uuid.uuid4().hex}"


def _refusal(status: int, code: str, message: str) -> web.Response:
    return _json(error_body(code, message), status)


def _json(body: Body, status: int = 200) -> web.Response:
    # Chinese stays readable to a person who asks with curl.
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")
