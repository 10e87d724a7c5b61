"""The simulator's command line: `python -m airflow_provider_seeany.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from aiohttp import web

from .scenario import DEFAULT_IMAGES, DEFAULT_SECONDS, Scenario, UnknownTaskError
from .server import create_app, serve
from .tasks import BUSY_RESPONSES, DEFAULT_CREATED

PROG = "python -m airflow_provider_seeany.simulator"

DESCRIPTION = """\
A simulator of the SeeAny API, for writing and testing DAGs without a key or a budget. It speaks both
dialects of the API, and serves the result files named in the responses.

  v1         GET  /v1/tasks/{id}, as the platform documents it
  developer  GET  /api/developer/task/status?task_uuid={id}, as public clients of the service use it
             GET  /api/developer/balance
             POST /api/ai/smarttask, and batchsmarttask and grouptask in the same way
"""

EPILOG = f"""\
the id of a task says what the task does, in both dialects
  <what>[-<seconds>s][-<images>x][-<label>]      words are joined by - or _

  video     completes with an MP4 and its thumbnail
  images    completes with a set of pictures (<images> of them, {DEFAULT_IMAGES} by default)
  partial   ends as partial_failed, with half of such a set
  fails     fails with content_policy_violation
  never     gets slower and slower and never ends, and its estimate stops falling
  queued    is "queued", a status word the platform does not document, for the first half of its
            seconds, then continues as video does
  silent    completes as video does, but without estimated_remaining; in developer, which never
            has that, without progress
  busy      the system is busy for its first {BUSY_RESPONSES} requests; otherwise as video

  <seconds> is how long it takes, e.g. 20s or 0.5s ({DEFAULT_SECONDS:g}s by default; for never, its pace).
  <label> is anything, e.g. shoes, and only makes it a separate task.
  A task starts with its first request. Nothing has to be created. Any other id is not found.

  video-20s   video-20s-shoes   images-15s-4x-bag   partial-10s-4x   fails-10s   never   queued-30s

a task that is created has an id that says nothing, is known to developer alone, and starts at once
  Its prompt says what it does, by <what>-<seconds>s[-<images>x] anywhere in it, else --created.
  imgNum is its number of images. wait_time, the estimate, is up to 30 % off.
  callback_url, a name that is invented, is called in place of --callback-url.

any key that starts with sk- is accepted, except those starting with
  sk-bad             HTTP 401
  sk-bad-envelope    in developer HTTP 200 with an error in the envelope

try it
  curl -H 'Authorization: Bearer sk-demo' http://127.0.0.1:8765/v1/tasks/video-20s
  curl -H 'Authorization: Bearer sk-demo' \\
      'http://127.0.0.1:8765/api/developer/task/status?task_uuid=images-15s-4x'
  curl -H 'Authorization: Bearer sk-demo' http://127.0.0.1:8765/api/ai/smarttask \\
      --json '{{"aiType": "smartImg", "prompt": "a red shoe, partial-15s-4x"}}'

the Airflow connections for it
  export AIRFLOW_CONN_SEEANY_DEFAULT='{{"conn_type": "seeany", "host": "http://127.0.0.1:8765", \
"password": "sk-demo"}}'
  export AIRFLOW_CONN_SEEANY_DEVELOPER='{{"conn_type": "seeany", "host": "http://127.0.0.1:8765", \
"password": "sk-demo", "extra": {{"api": "developer"}}}}'

what it was asked for, as JSON
  curl http://127.0.0.1:8765/simulator/requests      requests per task
  curl http://127.0.0.1:8765/simulator/created       the tasks that were created

In v1 the platform documents the bodies of processing, completed (video) and failed. Invented are:
the progress, the estimates and the times; the price of a picture; the body of an image set and of
partial_failed; the HTTP errors and their bodies.
In developer public clients show the envelope, the status words, the fields of images and the
response to a creation. Invented are: a video among the assets, which no client showed; the codes
and texts of errors, and whether they come with HTTP 200; the body without User-Agent; the balance.
In both the body of a callback is invented, and that it is repeated. It comes in the dialect in
which its task was first requested, or created. Every video is the same file, and costs the same.
"""


def main(argv: list[str] | None = None) -> None:
    """Serve a simulator until interrupted or terminated."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8765, help="port to listen on, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--callback-url", metavar="URL", help="post to this URL when a task has ended")
    parser.add_argument(
        "--created",
        metavar="ID",
        type=_scenario,
        default=DEFAULT_CREATED,
        help="what a created task does if its prompt does not say (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    # Requests are logged to stderr; stdout has only the start line, for a parent process to read.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app = create_app(callback_url=arguments.callback_url, created=arguments.created)
        asyncio.run(_serve_until_signal(app, arguments.host, arguments.port))
    except OSError as error:
        sys.exit(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror or error}")


async def _serve_until_signal(app: web.Application, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve(app, host, port) as url:
        print(f"SeeAny simulator on {url}", flush=True)
        await stopped.wait()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _scenario(text: str) -> str:
    try:
        return Scenario.of(text).task_id
    except UnknownTaskError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
