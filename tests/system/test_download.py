"""Downloads by real workers to a real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from urllib.request import urlopen

import pytest

from tests.s3 import BUCKET, s3_client
from tests.system.conftest import FinishedRun

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]

FILES = {
    "video-0s-in-s3-a": ["video.mp4"],
    "images-0s-2x-in-s3-b": ["image-001.jpg", "image-002.jpg"],
    "video-0s-in-s3-c": ["video.mp4"],
}


@pytest.mark.parametrize("seeany_task_id", FILES)
def test_a_mapped_download_stores_in_s3_what_the_url_serves_and_returns_where_it_is(
    run_dag: Callable[[str], FinishedRun], s3_url: str, seeany_task_id: str
) -> None:
    run = run_dag("copies_in_s3")
    map_index, files = list(FILES).index(seeany_task_id), FILES[seeany_task_id]

    assert run.task("keep", map_index).state == "success"
    listed = run.xcoms("keep", map_index)["return_value"]
    assert isinstance(listed, list)
    folder = f"copies_in_s3/{seeany_task_id}"
    assert [entry["path"] for entry in listed] == [f"s3://{BUCKET}/{folder}/{name}" for name in files]
    for entry in listed:
        key = entry["path"].removeprefix(f"s3://{BUCKET}/")
        stored = s3_client(s3_url).get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with urlopen(entry["source"], timeout=10) as response:
            assert stored == response.read()
        assert (entry["size"], entry["sha256"]) == (len(stored), sha256(stored).hexdigest())
    found = s3_client(s3_url).list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/")["Contents"]
    assert {each["Key"].removeprefix(f"{folder}/") for each in found} == {*files, "seeany.json"}
