"""A CDN, folders to copy to, and an operator that copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_seeany.download.store import Store, make_store
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from tests.download.cdn import Cdn
from tests.hostile import in_background
from tests.s3 import BUCKET, running_s3, s3_client, s3_connection

Copy = Callable[..., Any]


class Bucket:
    """A bucket of a real S3 server on this machine, and the Airflow connection to it."""

    conn_id = "aws_of_tests"
    name = BUCKET

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self.url = f"s3://{self.name}/{url}"
        self._prefix = url

    def store(self) -> Store:
        return make_store(self.url, conn_id=self.conn_id, max_file_size=1 << 30)

    def content(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self.name, Key=f"{self._prefix}/{key}")["Body"].read()
        return body

    def unfinished(self) -> list[str]:
        """Return the keys of uploads that were begun and neither completed nor aborted."""
        found = self._client.list_multipart_uploads(Bucket=self.name, Prefix=f"{self._prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", [])]


class _TaskInstance:
    dag_id, task_id, run_id, map_index = "dag", "keep", "run/1", -1


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    """A server whose files the test makes."""
    server = Cdn()
    with in_background(server.serve):
        yield server


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A real S3 server, for all tests."""
    with running_s3() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    """A folder of a bucket of the test's own."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{Bucket.conn_id.upper()}", json.dumps(s3_connection(s3_url)))
    return Bucket(s3_client(s3_url), tmp_path.name)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Run the operator, into a folder unless ``path`` says otherwise; private addresses are allowed."""

    def run(result: object = None, **parameters: Any) -> Any:
        parameters = {"path": f"file://{tmp_path}", "allow_private_addresses": True, **parameters}
        return SeeAnyDownloadOperator(task_id="keep", result=result, **parameters).execute({"ti": _TaskInstance()})

    return run


def video(url: str, seeany_task_id: str = "vid_1", **more: object) -> dict[str, Any]:
    """Return the result of a task that made a video."""
    return {"id": seeany_task_id, "object": "video_generation", "status": "completed", "video_url": url, **more}
