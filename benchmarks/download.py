"""
Measures copying files to S3: ``python -m benchmarks.download`` prints a table.

In one run, each in a process of its own, from a server and to an S3 server on this machine: this provider,
``HttpToS3Operator``, and the loop of ``requests`` and ``ObjectStoragePath`` that one would write. Then what each
of them leaves in the bucket if the connection breaks off once, and if its process is killed and the next run ends well.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.process import resident_mib

FILES = 4
MIB = 60
BREAKS_AT = 20 << 20  # bytes after which a connection breaks off, or stands still until the process is killed
BUCKET = "bucket"
CONNECTION = "aws_of_the_benchmark"
HTTP_CONNECTION = "http_of_the_benchmark"


def _copy_with_this_provider(url: str, names: list[str], folder: str) -> None:
    from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator

    class TaskInstance:
        dag_id, task_id, run_id, map_index = "dag", "task", "run", -1

    results = [
        {"id": name, "object": "video_generation", "status": "completed", "video_url": f"{url}/{name}"}
        for name in names
    ]
    context: Any = {"ti": TaskInstance()}
    SeeAnyDownloadOperator(
        task_id="copy", result=results, path=folder, conn_id=CONNECTION, allow_private_addresses=True
    ).execute(context)


def _copy_with_http_to_s3(url: str, names: list[str], folder: str) -> None:
    from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

    for name in names:
        HttpToS3Operator(
            task_id="copy",
            http_conn_id=HTTP_CONNECTION,
            endpoint=name,
            s3_bucket=BUCKET,
            s3_key=f"{folder.removeprefix(f's3://{BUCKET}/')}/{name}",
            replace=True,
            aws_conn_id=CONNECTION,
        ).execute({})


def _copy_with_a_loop(url: str, names: list[str], folder: str) -> None:
    import requests
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    for name in names:
        target = ObjectStoragePath(f"{folder}/{name}", conn_id=CONNECTION)
        with requests.get(f"{url}/{name}", stream=True, timeout=30) as response, target.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 20):
                file.write(chunk)


CONTESTANTS: dict[str, Callable[[str, list[str], str], None]] = {
    "SeeAnyDownloadOperator": _copy_with_this_provider,
    "HttpToS3Operator": _copy_with_http_to_s3,
    "requests + ObjectStoragePath": _copy_with_a_loop,
}


def _measure_here(contestant: str, url: str, names: list[str], folder: str) -> None:
    """Copy in this process, after a small file that makes it load all it needs; print what that took."""
    copy = CONTESTANTS[contestant]
    copy(url, ["small"], folder)
    idle = peak = resident_mib()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu, error = time.perf_counter(), time.process_time(), ""
    try:
        copy(url, names, folder)
    except Exception as raised:
        error = type(raised).__name__
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ended.set()
    watcher.join()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": peak - idle, "error": error}))


class _Files(BaseHTTPRequestHandler):
    """Serves random bytes, with ranges; ``broken`` breaks off once, ``stuck`` stands still."""

    protocol_version = "HTTP/1.1"
    content = os.urandom(MIB << 20)
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
            self.wfile.write(body[:BREAKS_AT])
            self.close_connection = True
        elif name.startswith("stuck") and self.requests[self.path] == 1:
            self.wfile.write(body[:BREAKS_AT])
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
            "benchmarks.download",
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
            "the whole file" if each["Size"] == MIB << 20 else f"an object of {each['Size'] / 2**20:.0f} MiB"
            for each in listed
            if each["Size"] > 1 << 20
        ]
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
        return ", ".join(found + ["an unfinished upload"] * len(uploads)) or "nothing"

    @property
    def client(self) -> Any:
        """A client of the S3 server."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.s3, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


def main() -> None:
    """Measure all and print a table."""
    names = [f"file{number}" for number in range(FILES)]
    with tempfile.TemporaryDirectory() as home, _servers() as (files, s3):
        bench = _Bench(files, s3, home)
        bench.client.create_bucket(Bucket=BUCKET)
        print(f"{FILES} files of {MIB} MiB from a server to an S3 server on one machine of {os.cpu_count()} cores.\n")
        print("| | seconds | CPU s | memory beyond idle | breaks off once | killed, left behind | after another run |")
        print("|---|---|---|---|---|---|---|")
        for number, contestant in enumerate(CONTESTANTS):
            whole = bench.run(contestant, names, f"{number}/whole")
            broken = bench.run(contestant, [f"broken{number}"], f"{number}/broken")
            bench.run(contestant, [f"stuck{number}"], f"{number}/stuck", kill_when=f"stuck{number}")
            killed = bench.left_in(f"{number}/stuck")
            bench.run(contestant, [f"stuck{number}"], f"{number}/stuck")
            ended = broken["error"] or "succeeds"
            print(
                f"| {contestant} | {whole['seconds']:.1f} | {whole['cpu']:.1f} | {whole['mib']:.0f} MiB "
                f"| {ended}; in the bucket: {bench.left_in(f'{number}/broken')} "
                f"| {killed} | {bench.left_in(f'{number}/stuck')} |",
                flush=True,
            )
    print("\nThe others copy one file after the other, as one does without further code.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _, name, address, where, *wanted = sys.argv
        _measure_here(name, address, wanted, where)
    else:
        main()
