"""
A server for measuring clients: minimal work per response, in a process of its own.

A task's id holds the end of the task in Unix milliseconds, and a number to distinguish tasks with the same end;
``FAR`` is an end beyond any benchmark. An end before ``RELATIVE`` counts from the time that ``/release`` is told; until
then the task runs, without an estimate. Each client gets the shortest response that it accepts::

    /v1/tasks/{id}                                SeeAny, and the http provider's triggers
    /until/{id}                                   404 until the end, for the http provider's sensor
    /api/v2/accounts/{account}/runs/{id}/         dbt Cloud
    …/runs/{id}/artifacts/run_results.json        dbt Cloud: the result, the one of SeeAny's task
    /api/2.2/jobs/runs/get                        Databricks, which sends the id as a body; always running
    /v1/connectors/{id}                           Fivetran; always running
    /count                                        the number of other requests
    /asked                                        since the last release: by id, when it was first asked about
    /noticed                                      by id, how many seconds after its end that was first told
    /release/{ms}                                 sets that time; 0 takes it back, and forgets who asked
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

FAR = 4_102_444_800_000
"""The end of a task that does not end: the year 2100."""
RELATIVE = 10_000_000_000
"""Milliseconds: ends before it are relative."""

_IDS = 100_000


def task_id(number: int, *, ends_ms: int = FAR) -> int:
    """Return the id of a task, valid for every client."""
    return ends_ms * _IDS + number


def ends_at(task_id: int) -> float:
    """Return the end of a task, in Unix seconds."""
    return task_id // _IDS / 1000


@dataclass(frozen=True)
class Stub:
    """The addresses of a running server, and the file with the certificate to trust."""

    http: str
    https: str
    certificate: Path

    def trust(self) -> dict[str, str]:
        """Return the environment that makes OpenSSL (aiohttp) and requests trust the certificate."""
        return {"SSL_CERT_FILE": str(self.certificate), "REQUESTS_CA_BUNDLE": str(self.certificate)}


@contextmanager
def running_stub() -> Iterator[Stub]:
    """Run the server as a process, and trust its certificate in this one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.stub", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                http, https = server.stdout.readline().split()
                stub = Stub(http, https, Path(folder) / "certificate.pem")
                os.environ.update(stub.trust())
                yield stub
            finally:
                server.terminate()


class Connection(asyncio.Protocol):
    """Serves the requests of one connection in order."""

    requests = 0
    released_at: float | None = None
    asked: ClassVar[dict[str, float]] = {}
    noticed: ClassVar[dict[str, float]] = {}

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where responses go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to each request that has come whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            end += 4 + _body_length(head)
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._transport.write(_response(head.split(b" ", 2)[1].decode()))


def _body_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _response(path: str) -> bytes:
    told: dict[str, dict[str, float]] = {
        "/count": {"requests": Connection.requests},
        "/asked": Connection.asked,
        "/noticed": Connection.noticed,
    }
    if path in told:
        return _http(200, {**told[path]})
    if path.startswith("/release/"):
        _release(int(path.rpartition("/")[2]) / 1000)
        return _http(200, {})
    Connection.requests += 1
    path, _, artifact = path.partition("?")[0].partition("/artifacts/")
    last = path.rstrip("/").rpartition("/")[2]
    left = _seconds_left(last)
    if artifact:
        return _http(200, _seeany(last, left))
    if path.startswith("/v1/tasks/"):
        return _http(200, _seeany(last, left))
    if path.startswith("/until/"):
        return _http(404 if left > 0 else 200, {})
    if path.startswith("/api/v2/accounts/"):
        return _http(200, {"data": {"id": int(last), "status": 3 if left > 0 else 10}})
    if path.startswith("/api/2.2/jobs/runs/get"):
        return _http(200, {"state": {"life_cycle_state": "RUNNING", "state_message": ""}})
    if path.startswith("/v1/connectors/"):
        status = {"sync_state": "syncing", "setup_state": "connected", "update_state": "on_schedule"}
        ended = {"succeeded_at": "2026-01-01T00:00:00.000Z", "failed_at": None}
        return _http(200, {"data": {"id": last, "paused": False, "status": status, **ended}})
    return _http(404, {})


def _release(at: float) -> None:
    Connection.released_at = at or None
    if not at:
        Connection.asked.clear()
        Connection.noticed.clear()


def _seconds_left(name: str) -> float:
    if not name.isdigit():
        return float("inf")
    now, end = time.time(), ends_at(int(name))
    if end >= RELATIVE / 1000:
        return end - now
    Connection.asked.setdefault(name, now)
    left = float("inf") if Connection.released_at is None else Connection.released_at + end - now
    if left <= 0:
        Connection.noticed.setdefault(name, -left)
    return left


def _seeany(name: str, left: float) -> dict[str, object]:
    """Return the body of the platform's own example; the estimate of a task that does not end is constant."""
    if left > 0:
        running: dict[str, object] = {"id": name, "object": "video_generation", "status": "processing", "progress": 65}
        if left < float("inf"):
            running["estimated_remaining"] = round(left) if left < 3600 else 42
        return running
    return {
        "id": name,
        "object": "video_generation",
        "status": "completed",
        "completed_at": int(time.time() + left),
        "video_url": "https://cdn.seeany.com/video/vid_001/output.mp4",
        "thumbnail_url": "https://cdn.seeany.com/video/vid_001/thumb.jpg",
        "duration": 5,
        "resolution": "720p",
        "usage": {"cost": 0.7, "cost_unit": "CNY"},
    }


def _http(status: int, body: dict[str, object]) -> bytes:
    encoded = json.dumps(body).encode()
    return (
        b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"X-Request-Id: 5f0c2a1b9d\r\n\r\n%b" % (status, len(encoded), encoded)
    )


def _tls(folder: Path) -> ssl.SSLContext:
    """Create a certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    key_bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(key_bytes)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def _serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    addresses = []
    for scheme, tls in (("http", None), ("https", _tls(folder))):
        server = await loop.create_server(Connection, "127.0.0.1", 0, ssl=tls, backlog=8192)
        addresses.append(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    print(*addresses, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
