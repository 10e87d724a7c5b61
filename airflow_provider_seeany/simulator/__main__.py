"""The simulator's command line: `python -m airflow_provider_seeany.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from .scenario import DEFAULT_IMAGES, DEFAULT_SECONDS
from .server import create_app, serve

PROG = "python -m airflow_provider_seeany.simulator"

DESCRIPTION = """\
A simulator of the SeeAny API, for writing and testing DAGs without a key or a budget. It serves
GET /v1/tasks/{id} as the platform documents it, and the result files named in the responses.
"""

EPILOG = f"""\
the id of a task says what the task does
  <what>[-<seconds>s][-<images>x][-<label>]      words are joined by - or _

  video     completes with an MP4 and its thumbnail
  images    completes with a set of pictures (<images> of them, {DEFAULT_IMAGES} by default)
  fails     fails with content_policy_violation
  never     gets slower and slower and never ends, and its estimate stops falling
  queued    is "queued", a status word the platform does not document, for the first half of its
            seconds, then continues as video does
  silent    completes as video does, but without estimated_remaining

  <seconds> is how long it takes, e.g. 20s or 0.5s ({DEFAULT_SECONDS:g}s by default; for never, its pace).
  <label> is anything, e.g. shoes, and only makes it a separate task.
  A task starts with its first request. Nothing has to be created. Any other id gets 404.

  video-20s   video-20s-shoes   images-15s-4x-bag   fails-10s   never   queued-30s   silent-10s

any key that starts with sk- is accepted, except those starting with sk-bad (401)

try it
  curl -H 'Authorization: Bearer sk-demo' http://127.0.0.1:8765/v1/tasks/video-20s

the Airflow connection for it
  export AIRFLOW_CONN_SEEANY_DEFAULT='{{"conn_type": "seeany", "host": "http://127.0.0.1:8765", \
"password": "sk-demo"}}'

requests per task, as JSON
  curl http://127.0.0.1:8765/simulator/requests

The platform documents the bodies of processing, completed (video) and failed. Invented are: the
progress, the estimates and the times; the price of a picture; the body of an image set; the HTTP
errors and their bodies; the body of a callback, and that it is repeated. Every video is the same
file, and costs the same.
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
    arguments = parser.parse_args(argv)
    # Requests are logged to stderr; stdout has only the start line, for a parent process to read.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        asyncio.run(_serve_until_signal(arguments.host, arguments.port, arguments.callback_url))
    except OSError as error:
        sys.exit(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror or error}")


async def _serve_until_signal(host: str, port: int, callback_url: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve(create_app(callback_url=callback_url), host, port) as url:
        print(f"SeeAny simulator on {url}", flush=True)
        await stopped.wait()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    main()
