"""The ways to copy files to S3 that ``benchmarks.download`` compares, each of them run in a process of its own."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.process import resident_mib

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


OURS = "SeeAnyDownloadOperator"
CONTESTANTS: dict[str, Callable[[str, list[str], str], None]] = {
    OURS: _copy_with_this_provider,
    "HttpToS3Operator": _copy_with_http_to_s3,
    "requests + ObjectStoragePath": _copy_with_a_loop,
}


def measure(contestant: str, url: str, names: list[str], folder: str) -> None:
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


if __name__ == "__main__":
    _, name, address, where, *wanted = sys.argv
    measure(name, address, wanted, where)
