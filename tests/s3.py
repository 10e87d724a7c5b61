"""A real S3 server on this machine, with a bucket, and how Airflow and a test reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "bucket"
_REGION = "us-east-1"
_KEY = "made-up"


@contextmanager
def running_s3() -> Iterator[str]:
    """Run a server; yield its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    s3_client(url).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


def s3_client(url: str) -> Any:
    """Return a client of the server."""
    import boto3

    return boto3.client("s3", endpoint_url=url, region_name=_REGION, aws_access_key_id=_KEY, aws_secret_access_key=_KEY)


def s3_connection(url: str) -> dict[str, Any]:
    """Return the fields of an Airflow connection to the server."""
    extra = {"endpoint_url": url, "region_name": _REGION}
    return {"conn_type": "aws", "login": _KEY, "password": _KEY, "extra": extra}
