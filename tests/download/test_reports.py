"""What a download tells Airflow's metrics and OpenLineage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.openlineage.extractors.base import DefaultExtractor
from openlineage.client.serde import Serde

from airflow_provider_seeany.download.manifest import Entry
from airflow_provider_seeany.exceptions import SeeAnyDownloadError
from airflow_provider_seeany.lineage import lineage_of_copies
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from tests.download.cdn import Cdn
from tests.download.conftest import video
from tests.statsd import metrics_on, options, receiving

CONTEXT: Any = {"ti": SimpleNamespace(dag_id="dag", task_id="keep", run_id="run", map_index=-1)}


def download(folder: Path, result: object) -> SeeAnyDownloadOperator:
    return SeeAnyDownloadOperator(task_id="keep", result=result, path=f"file://{folder}", allow_private_addresses=True)


def test_the_bytes_that_are_stored_are_counted_also_if_other_files_fail(cdn: Cdn, tmp_path: Path) -> None:
    stored, missing = video(cdn.add("/v.mp4", b"x" * 1000), "a"), video(f"{cdn.url}/no.mp4", "b")

    with receiving() as (statsd, port), metrics_on(**options(port)):
        with pytest.raises(SeeAnyDownloadError):
            download(tmp_path, [stored, missing]).execute(CONTEXT)
        assert statsd.counted("download.bytes") == [",conn_id=seeany_default,mode=download:1000|c"]
        download(tmp_path, stored).execute(CONTEXT)  # is there already
        assert statsd.counted("download.bytes") == []


def test_openlineage_gets_the_source_without_its_signature_and_the_copy_with_its_checksum(
    cdn: Cdn, tmp_path: Path
) -> None:
    operator = download(tmp_path, video(f"{cdn.add('/v.mp4', b'abc')}?Signature=s3cret"))
    operator.execute(CONTEXT)

    lineage = told(operator)

    (source,), (copy,) = lineage["inputs"], lineage["outputs"]
    assert (source["namespace"], source["name"]) == (cdn.url, "v.mp4")
    assert (copy["namespace"], copy["name"]) == ("file", f"{tmp_path}/vid_1/video.mp4")
    assert copy["facets"]["version"]["datasetVersion"] == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    assert copy["outputFacets"]["outputStatistics"]["size"] == 3
    assert "s3cret" not in json.dumps(lineage)


def test_a_copy_in_a_bucket_is_named_by_bucket_and_key() -> None:
    where = {"source": "https://h/v.mp4", "path": "s3://bucket/films/vid_1/video #1?.mp4"}
    entry = Entry(id="vid_1", file="video", size=1, sha256="0", content_type="video/mp4", **where)

    (copy,) = lineage_of_copies([entry]).outputs

    assert (copy.namespace, copy.name) == ("s3://bucket", "films/vid_1/video #1?.mp4")


def test_a_download_that_failed_has_no_lineage(cdn: Cdn, tmp_path: Path) -> None:
    operator = download(tmp_path, video(f"{cdn.url}/no.mp4"))
    with pytest.raises(SeeAnyDownloadError):
        operator.execute(CONTEXT)

    assert DefaultExtractor(operator).extract_on_complete(None) is None


def told(operator: Any) -> dict[str, Any]:
    """Return the lineage that the listener extracts, as JSON."""
    made: dict[str, Any] = json.loads(Serde.to_json(DefaultExtractor(operator).extract_on_complete(None)))
    return made
