"""
Copying files to S3: ``python -m benchmarks.download``.

In one run, each in a process of its own, from a server and to an S3 server on this machine: this provider,
``HttpToS3Operator``, and the loop of ``requests`` and ``ObjectStoragePath`` that one would write. Then what each
of them leaves in the bucket if the connection breaks off once, and if its process is killed and the next run ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

from benchmarks.copying import BUCKET, CONNECTION, CONTESTANTS, HTTP_CONNECTION, OURS
from benchmarks.spread import Spread, verdict

FILES = 4
MIB = 60  # size of each
ROUNDS = 3
MAX_MIB = 64  # that the four files may take at once


class _Files(BaseHTTPRequestHandler):
    """Serves random bytes, with ranges; after a third of a file ``broken`` breaks off once, ``stuck`` stands still."""

    protocol_version = "HTTP/1.1"
    content = b""
    requests: dict[str, int] = {}  # noqa: RUF012  one server, one table

    def do_GET(self) -> None:
        """Send a file, or the rest of it."""
        name = self.path.strip("/")
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body = memoryview(b"small" if name == "small" else self.content)[begin:]
        self.requests[self.path] = self.requests.get(self.path, 0) + 1
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "video/mp4")
        self.send_header("ETag", '"one"')
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{begin + len(body)}")
        self.end_headers()
        if name.startswith("broken") and self.requests[self.path] == 1:
            self.wfile.write(body[: len(body) // 3])
            self.close_connection = True
        elif name.startswith("stuck") and self.requests[self.path] == 1:
            self.wfile.write(body[: len(body) // 3])
            time.sleep(60)
        else:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    """Run the server of files here, and an S3 server as a process of its own; return their URLs."""
    files = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    files.daemon_threads = True
    threading.Thread(target=files.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    moto = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield f"http://127.0.0.1:{files.server_address[1]}", f"http://127.0.0.1:{port}"
    finally:
        moto.kill()
        moto.wait()
        files.shutdown()


@dataclass(frozen=True)
class _Bench:
    """Runs contestants against two servers."""

    files: str
    s3: str
    home: str

    def run(self, contestant: str, names: list[str], folder: str, *, kill_when: str = "") -> dict[str, Any]:
        """Copy files in a process of its own; kill it when the folder has something, or the file has been requested."""
        extra = {"endpoint_url": self.s3, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        env = {
            **os.environ,
            "AIRFLOW_HOME": self.home,
            f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(aws),
            f"AIRFLOW_CONN_{HTTP_CONNECTION.upper()}": json.dumps({"conn_type": "http", "host": self.files}),
        }
        command = [
            sys.executable,
            "-m",
            "benchmarks.copying",
            contestant,
            self.files,
            f"s3://{BUCKET}/{folder}",
            *names,
        ]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if kill_when:
            while f"/{kill_when}" not in _Files.requests and process.poll() is None:
                time.sleep(0.05)
            time.sleep(5)  # for all that the server sends to arrive in the bucket
            process.send_signal(signal.SIGKILL)
        output, errors = process.communicate()
        if not kill_when and process.returncode:
            raise RuntimeError(errors)
        return {} if kill_when else dict(json.loads(output.splitlines()[-1]))

    def left_in(self, folder: str) -> str:
        """Describe what is in a folder of the bucket, apart from what belongs to the small file."""
        prefix = f"{folder}/"
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        found = [
            "the whole file" if each["Size"] == len(_Files.content) else f"an object of {each['Size'] / 2**20:.0f} MiB"
            for each in listed
            if each["Size"] > 1000
        ]
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
        return ", ".join(found + ["an unfinished upload"] * len(uploads)) or "nothing"

    def clear(self, folder: str) -> None:
        """Delete what is in a folder of the bucket."""
        for each in self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/").get("Contents", []):
            self.client.delete_object(Bucket=BUCKET, Key=each["Key"])

    @property
    def client(self) -> Any:
        """A client of the S3 server."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.s3, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


Figures = Mapping[str, Sequence[dict[str, Any]]]


def _measured(bench: _Bench, rounds: int) -> Figures:
    """Let each copy all files in each round."""
    names = [f"file{number}" for number in range(FILES)]
    figures: dict[str, list[dict[str, Any]]] = {contestant: [] for contestant in CONTESTANTS}
    for _ in range(rounds):
        for contestant, seen in figures.items():
            seen.append(bench.run(contestant, names, "whole"))
            bench.clear("whole")
    return figures


def costs(figures: Figures) -> Iterator[str]:
    """Yield the table of what copying took, and whether the promise about memory was kept."""
    yield "| | seconds | times ours | CPU s | memory beyond idle: MiB |"
    yield "|---|---|---|---|---|"
    seconds = {name: [each["seconds"] for each in seen] for name, seen in figures.items()}
    for name, seen in figures.items():
        ratio = Spread.of_ratios(seconds[name], seconds[OURS]).shown("×", digits=1)
        cpu = Spread.of([each["cpu"] for each in seen]).shown(digits=1)
        mib = Spread.of([each["mib"] for each in seen]).shown(digits=0)
        yield f"| {name} | {Spread.of(seconds[name]).shown(digits=1)} | {ratio} | {cpu} | {mib} |"
    most = max(each["mib"] for each in figures[OURS])
    promise = f"at most {MAX_MIB} MiB for {FILES} files at once"
    yield "\nThe others copy one file after the other, as one does without further code.\n"
    yield verdict(promise, f"{most:.0f} MiB", met=most <= MAX_MIB)


def _failures(bench: _Bench) -> Iterator[str]:
    yield "| | the connection breaks off once | in the bucket | after a kill in the middle | after another run |"
    yield "|---|---|---|---|---|"
    for number, contestant in enumerate(CONTESTANTS):
        # A file of each one's own, as it fails at its first request only.
        broken, stuck = f"broken{number}", f"stuck{number}"
        ended = bench.run(contestant, [broken], broken)["error"] or "succeeds"
        bench.run(contestant, [stuck], stuck, kill_when=stuck)
        killed = bench.left_in(stuck)
        bench.run(contestant, [stuck], stuck)
        yield f"| {contestant} | {ended} | {bench.left_in(broken)} | {killed} | {bench.left_in(stuck)} |"


def main() -> None:
    """Measure all and print two tables."""
    parser = argparse.ArgumentParser(description="Measure copying files to S3.")
    parser.add_argument("--mib", type=int, default=MIB, help="size of a file")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if find_spec("airflow.providers.amazon") is None:
        print("Not measured: apache-airflow-providers-amazon is not installed.")
        return
    _Files.content = os.urandom(options.mib << 20)
    with tempfile.TemporaryDirectory() as home, _servers() as (files, s3):
        bench = _Bench(files, s3, home)
        bench.client.create_bucket(Bucket=BUCKET)
        print(f"{FILES} files of {options.mib} MiB, {options.rounds} rounds; median (minimum–maximum).\n")
        for line in costs(_measured(bench, options.rounds)):
            print(line, flush=True)
        print(f"\nWhat is left behind of one file of {options.mib} MiB:\n")
        for line in _failures(bench):
            print(line, flush=True)


if __name__ == "__main__":
    main()
