"""A server that creates SeeAny tasks and counts them, for workers that die."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class CountingServer(ThreadingHTTPServer):
    """Creates tasks, by their label; kills the worker, refuses or breaks off where the label says so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.created: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: CountingServer

    def do_POST(self) -> None:
        """Create a task."""
        label = self.path.removeprefix("/")
        task_id = label.rpartition("/")[2]
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked[label] += 1
        is_first = self.server.asked[label] == 1
        if task_id == "refused_first" and is_first:
            self.send_error(429)
            return
        self.server.created[label] += 1
        if task_id == "during_the_call" and is_first:
            os.kill(payload["pid"], signal.SIGKILL)
            return
        seeany_task_id = f"video-0s-{task_id}-{self.server.created[label]}"
        body = json.dumps({"code": 0, "msg": "", "data": {"task_uuid": seeany_task_id, "wait_time": 40}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def counting() -> Iterator[CountingServer]:
    """Run a server."""
    with CountingServer() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
