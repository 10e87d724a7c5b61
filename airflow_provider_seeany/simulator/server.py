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

from .bodies import Body, error_body, task_body
from .callback import CallbackSender
from .scenario import Completed, Failed, Scenario, UnknownTaskError

logger = logging.getLogger(__name__)

_FILES = Path(__file__).with_name("files")
_IMAGES_ON_DISK = 4


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One request for a task, and the HTTP status of its response."""

    task_id: str
    at: float
    http_status: int


CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("CLOCK")
STARTED: web.AppKey[dict[str, float]] = web.AppKey("STARTED")
REQUESTS: web.AppKey[list[TaskRequest]] = web.AppKey("REQUESTS")
CALLBACKS: web.AppKey[CallbackSender] = web.AppKey("CALLBACKS")


def create_app(
    clock: Callable[[], float] = time.time, *, faults: Sequence[Middleware] = (), callback_url: str | None = None
) -> web.Application:
    """Create a simulated SeeAny without any started task; `clock` returns the Unix time.

    `faults` may respond instead of the API, or not at all. When a task ends, the simulator calls `callback_url`.
    """
    # A request passes these from left to right. The faults come after _record, so that they are recorded too.
    app = web.Application(middlewares=[_errors_as_json, _record, *faults, _require_user_agent_and_key])
    app[CLOCK] = clock
    app[STARTED] = {}
    app[REQUESTS] = []
    if callback_url is not None:
        app[CALLBACKS] = CallbackSender(callback_url)
        app.on_shutdown.append(_close_callbacks)
    app.on_response_prepare.append(_name_response)
    app.router.add_get("/v1/tasks/{task_id}", _get_task)
    app.router.add_get("/files/{task_id}/{name:output[.]mp4|thumb[.]jpg}", _send_file)
    app.router.add_get("/files/{task_id}/image-{number:[1-9][0-9]?}.jpg", _send_image)
    app.router.add_get("/simulator/requests", _count_requests)
    app.router.add_get("/simulator/starts", _list_starts)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve `app` while the context lasts and yield its URL; port 0 takes a free one."""
    # Files and responses are short: nothing takes longer to finish at the end.
    runner = web.AppRunner(app, access_log=logger, access_log_class=_AccessLogger, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address, bound_port = runner.addresses[0][:2]
        yield f"http://[{address}]:{bound_port}" if ":" in address else f"http://{address}:{bound_port}"
    finally:
        await runner.cleanup()


class _AccessLogger(AbstractAccessLogger):
    """Logs method, path and status, and nothing that could contain a key."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        # The raw path stays escaped, so that no id can break the line; the query is left out.
        self.logger.info("%s %s %s", request.method, request.rel_url.raw_path, response.status)


async def _get_task(request: web.Request) -> web.Response:
    task_id = request.match_info["task_id"]
    try:
        scenario = Scenario.of(task_id)
    except UnknownTaskError as error:
        return _error(404, "task_not_found", str(error))
    now = request.app[CLOCK]()
    is_new = task_id not in request.app[STARTED]
    started_at = request.app[STARTED].setdefault(task_id, now)
    files_url = f"{request.scheme}://{request.host}/files"
    end = scenario.at(scenario.seconds)
    if is_new and CALLBACKS in request.app and isinstance(end, Completed | Failed):
        ended = task_body(scenario, end, started_at=started_at, files_url=files_url)
        request.app[CALLBACKS].send_after(scenario.seconds, ended)
    state = scenario.at(now - started_at)
    return _json(task_body(scenario, state, started_at=started_at, files_url=files_url))


async def _close_callbacks(app: web.Application) -> None:
    await app[CALLBACKS].close()


async def _send_file(request: web.Request) -> web.FileResponse:
    # As on a CDN: without a key, and files outlive the server that named them.
    return web.FileResponse(_FILES / request.match_info["name"])


async def _send_image(request: web.Request) -> web.FileResponse:
    # A large set repeats the pictures, under different URLs.
    number = (int(request.match_info["number"]) - 1) % _IMAGES_ON_DISK + 1
    return web.FileResponse(_FILES / f"image-{number}.jpg")


async def _count_requests(request: web.Request) -> web.Response:
    return _json(Counter(each.task_id for each in request.app[REQUESTS]))


async def _list_starts(request: web.Request) -> web.Response:
    started = request.app[STARTED]
    return _json({**started})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _error(error.status, error.reason.lower().replace(" ", "_"), error.reason)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response


@web.middleware
async def _record(request: web.Request, handler: Handler) -> web.StreamResponse:
    at = request.app[CLOCK]()
    response = await handler(request)
    if request.match_info.handler is _get_task:
        request.app[REQUESTS].append(TaskRequest(request.match_info["task_id"], at, response.status))
    return response


@web.middleware
async def _require_user_agent_and_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith("/v1/"):
        return await handler(request)
    if not request.headers.get(hdrs.USER_AGENT):
        return _error(403, "user_agent_required", "the request has no User-Agent header")
    scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("sk-") or key.startswith("sk-bad"):
        return _error(401, "invalid_api_key", "the request has no valid key: Authorization: Bearer sk-…")
    return await handler(request)


async def _name_response(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = f"req_{uuid.uuid4().hex}"


def _error(status: int, code: str, message: str) -> web.Response:
    return _json(error_body(code, message), status)


def _json(body: Body, status: int = 200) -> web.Response:
    # Chinese stays readable in the output of curl.
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")
