"""The simulated API as an aiohttp application, and a way to serve it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler, Middleware

from . import developer, v1
from .callback import CallbackSender
from .dialect import Body, Dialect, Refusal
from .scenario import Processing, Queued, Scenario, UnknownTaskError
from .tasks import DEFAULT_CREATED, Tasks

logger = logging.getLogger(__name__)

_FILES = Path(__file__).with_name("files")
_IMAGES_ON_DISK = 4


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One request for the state of a task, and the HTTP status of its response."""

    task_id: str
    at: float
    http_status: int


CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("CLOCK")
TASKS: web.AppKey[Tasks] = web.AppKey("TASKS")
REQUESTS: web.AppKey[list[TaskRequest]] = web.AppKey("REQUESTS")
CALLBACKS: web.AppKey[CallbackSender] = web.AppKey("CALLBACKS")
CALLBACK_URL: web.AppKey[str | None] = web.AppKey("CALLBACK_URL")


def create_app(
    clock: Callable[[], float] = time.time,
    *,
    faults: Sequence[Middleware] = (),
    callback_url: str | None = None,
    created: str = DEFAULT_CREATED,
) -> web.Application:
    """Create a simulated SeeAny without any started task; `clock` returns the Unix time.

    `faults` may respond instead of the API, or not at all; before or after the API did what was asked, which matters
    for what creates a task. When a task ends, the simulator calls `callback_url`, or the URL that the task was created
    with. `created` is the scenario of a created task whose prompt has none.
    """
    # A request passes these from left to right. The faults come after _record, so that they are recorded too.
    app = web.Application(middlewares=[_errors_as_json, _record, *faults, _require_user_agent_and_key])
    app[CLOCK] = clock
    app[TASKS] = Tasks(clock, default=created)
    app[REQUESTS] = []
    app[CALLBACKS] = CallbackSender()
    app[CALLBACK_URL] = callback_url
    app.on_shutdown.append(_close_callbacks)
    app.on_response_prepare.append(_name_response)
    app.router.add_get("/v1/tasks/{task_id}", _get_task)
    app.router.add_get("/api/developer/task/status", _get_task)
    app.router.add_get("/api/developer/balance", _get_balance)
    app.router.add_post("/api/ai/{kind:smarttask|batchsmarttask|grouptask}", _create_task)
    app.router.add_get("/files/{task_id}/{name:output[.]mp4|thumb[.]jpg}", _send_file)
    app.router.add_get("/files/{task_id}/image-{number:[1-9][0-9]?}.jpg", _send_image)
    app.router.add_get("/simulator/requests", _count_requests)
    app.router.add_get("/simulator/starts", _list_starts)
    app.router.add_get("/simulator/created", _list_created)
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
    dialect, tasks = _dialect(request), request.app[TASKS]
    try:
        scenario = tasks.find(_task_id(request), is_created_known=dialect is developer)
    except UnknownTaskError as error:
        return _refused(dialect, Refusal.UNKNOWN_TASK, str(error))
    _start(request, scenario)
    if tasks.is_busy(scenario):
        return _refused(dialect, Refusal.BUSY)
    return _json(dialect.response(_state(request, scenario, tasks.age(scenario))))


async def _create_task(request: web.Request) -> web.Response:
    try:
        order = developer.Order.of(await request.read())
    except ValueError as error:
        return _json(developer.error(developer.BAD_CREATION, str(error)))
    scenario = request.app[TASKS].create(request.path, order.prompt, order.images)
    _start(request, scenario, order.callback_url)
    return _json(developer.created(scenario.task_id, scenario.wait_time(order.prompt)))


async def _get_balance(request: web.Request) -> web.Response:
    return _json(developer.balance())


def _start(request: web.Request, scenario: Scenario, callback_url: str | None = None) -> None:
    """Start a task, if it has not started, and call back when it ends in the dialect of the request."""
    is_new = request.app[TASKS].start(scenario)
    url = callback_url or request.app[CALLBACK_URL]
    if is_new and url and not isinstance(scenario.at(scenario.seconds), Queued | Processing):
        body = _dialect(request).callback(_state(request, scenario, scenario.seconds))
        request.app[CALLBACKS].send_after(scenario.seconds, url, scenario.task_id, body)


def _state(request: web.Request, scenario: Scenario, age: float) -> Body:
    return _dialect(request).task(
        scenario,
        scenario.at(age),
        started_at=request.app[TASKS].started[scenario.task_id],
        files_url=f"{request.scheme}://{request.host}/files",
    )


def _dialect(request: web.Request) -> Dialect:
    return developer if request.path.startswith("/api/") else v1


def _task_id(request: web.Request) -> str:
    return request.match_info.get("task_id") or request.query.get("task_uuid", "")


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
    return _json(request.app[TASKS].started)


async def _list_created(request: web.Request) -> web.Response:
    return _json([asdict(each) for each in request.app[TASKS].created])


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _json(_dialect(request).error(error.status, error.reason), error.status)
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response


@web.middleware
async def _record(request: web.Request, handler: Handler) -> web.StreamResponse:
    at = request.app[CLOCK]()
    response = await handler(request)
    if request.match_info.handler is _get_task:
        request.app[REQUESTS].append(TaskRequest(_task_id(request), at, response.status))
    return response


@web.middleware
async def _require_user_agent_and_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(("/v1/", "/api/")):
        return await handler(request)
    dialect = _dialect(request)
    if not request.headers.get(hdrs.USER_AGENT):
        return _refused(dialect, Refusal.USER_AGENT)
    scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and key.startswith("sk-bad-envelope"):
        return _refused(dialect, Refusal.KEY_IN_ENVELOPE)
    if scheme.lower() != "bearer" or not key.startswith("sk-") or key.startswith("sk-bad"):
        return _refused(dialect, Refusal.KEY)
    return await handler(request)


async def _name_response(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = f"req_{uuid.uuid4().hex}"


def _refused(dialect: Dialect, refusal: Refusal, detail: str = "") -> web.Response:
    status, body = dialect.refusal(refusal, detail)
    return _json(body, status)


def _json(body: object, status: int = 200) -> web.Response:
    # Chinese stays readable in the output of curl.
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")
