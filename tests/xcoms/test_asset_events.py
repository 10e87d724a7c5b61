"""The extra of an asset event: what it has, and that it stays small."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.xcoms.asset_events import MAX_EXTRA_BYTES, download_extra, task_extra
from tests.hostile import COMPLETED

URL = "https://cdn.seeany.com/"


def images(number: int) -> dict[str, Any]:
    return {
        **COMPLETED,
        "video_url": None,
        "object": "image_set",
        "image_urls": [f"{URL}{n}.png" for n in range(number)],
    }


LARGE = {
    "many files": images(5000),
    "a long URL": {**COMPLETED, "video_url": f"{URL}v.mp4?signature={'x' * 20_000}"},
    "Chinese": {**COMPLETED, "usage": {"cost": 0.7, "cost_unit": "元" * 5000}},
}


@pytest.mark.parametrize("payload", LARGE.values(), ids=LARGE)
def test_an_extra_is_never_larger_than_airflow_should_keep_and_always_names_the_task(payload: dict[str, Any]) -> None:
    extra = task_extra(SeeAnyTask.from_payload(payload))

    assert len(json.dumps(extra)) <= MAX_EXTRA_BYTES
    assert (extra["seeany_task_id"], extra["cost"]) == (COMPLETED["id"], 0.7)


def test_of_very_many_files_the_first_are_told_and_how_many_are_left_out() -> None:
    extra = task_extra(SeeAnyTask.from_payload(images(5000)))

    assert extra["result_urls"][:2] == [f"{URL}0.png", f"{URL}1.png"]
    assert 100 < len(extra["result_urls"]) == 5000 - extra["left_out"]


COPY = {"id": "x", "file": "video", "path": "s3://studio/x/video.mp4", "size": 3, "sha256": "ab" * 32}
FETCHED = {**COPY, "source": f"{URL}v.mp4", "content_type": "video/mp4"}


def test_copies_are_told_with_path_and_checksum() -> None:
    assert download_extra([FETCHED], path="s3://studio/") == {
        "path": "s3://studio/",
        "files": 1,
        "bytes": 3,
        "copies": [COPY],
    }


def test_very_many_copies_are_told_by_their_manifest() -> None:
    manifest = {"manifest": "s3://studio/manifest-x.json", "files": 1200, "bytes": 3400000000}

    assert download_extra(manifest, path="s3://studio/") == {"path": "s3://studio/", **manifest}


def test_of_many_copies_the_first_are_told() -> None:
    extra = download_extra([FETCHED] * 140, path="s3://studio/")

    assert (extra["files"], extra["bytes"]) == (140, 420)
    assert 20 < len(extra["copies"]) == 140 - extra["left_out"]
    assert len(json.dumps(extra)) <= MAX_EXTRA_BYTES
