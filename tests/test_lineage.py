"""What OpenLineage gets of a wait that has ended, from its own extraction and as it would be sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.openlineage.extractors.base import DefaultExtractor
from openlineage.client.serde import Serde

from airflow_provider_seeany.exceptions import SeeAnyTaskFailed
from airflow_provider_seeany.lineage import MAX_DATASETS, file_dataset
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from tests.hostile import COMPLETED, FAILED, PARTIAL, PARTIAL_URLS, HostileServer, task
from tests.supervisor import Supervisor
from tests.waits import KINDS, context, finished, wait

SIGNED = "https://cdn.seeany.com/video/vid_001/output.mp4?Expires=1&Signature=s3cret"


def told(operator: Any) -> dict[str, Any]:
    """Return the lineage that the listener extracts, as JSON."""
    lineage = DefaultExtractor(operator).extract_on_complete(None)
    assert lineage is not None
    made: dict[str, Any] = json.loads(Serde.to_json(lineage))
    return made


def files(lineage: dict[str, Any]) -> list[tuple[str, str]]:
    assert lineage["inputs"] == []
    return [(each["namespace"], each["name"]) for each in lineage["outputs"]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_task_are_outputs_without_their_signature_and_the_cost_is_a_facet(kind: Any) -> None:
    waiting = wait(kind)
    waiting.resume_execution(*finished({**COMPLETED, "video_url": SIGNED}), context())

    lineage = told(waiting)

    assert files(lineage) == [("https://cdn.seeany.com", "video/vid_001/output.mp4")]
    assert lineage["run_facets"]["seeany"] | {"cost": {"CNY": 0.7}, "files": 1} == lineage["run_facets"]["seeany"]
    assert "s3cret" not in json.dumps(lineage)


def test_all_files_of_an_image_set_are_outputs() -> None:
    waiting = wait(KINDS[0])
    waiting.resume_execution(*finished(PARTIAL), context())

    assert [f"{namespace}/{name}" for namespace, name in files(told(waiting))] == PARTIAL_URLS


@pytest.mark.parametrize("detail", ["full", "table", "totals"])
def test_the_files_of_a_batch_are_outputs_as_far_as_its_result_has_them(supervisor: Supervisor, detail: str) -> None:
    tasks = {
        "full": [COMPLETED, PARTIAL],
        "table": [{"id": "a", "video_url": SIGNED}, {"id": "x", "result_url": PARTIAL_URLS[0]}],
        "totals": [],
    }[detail]
    event = {"type": "batch_result", "total": 2, "completed": 2, "failed": 0, "cost": {"CNY": 1.1}, "failures": []}
    sensor = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=["a", "x"])
    sensor.resume_execution("execute_complete", {"event": {**event, "detail": detail, "tasks": tasks}}, context())

    lineage = told(sensor)

    assert len(files(lineage)) == {"full": 3, "table": 2, "totals": 0}[detail]
    assert lineage["run_facets"]["seeany"]["cost"] == {"CNY": 1.1}


def test_an_event_holds_no_more_files_than_a_server_can_take() -> None:
    urls = [f"https://cdn.seeany.com/{number}.png" for number in range(MAX_DATASETS + 5)]
    waiting = wait(KINDS[0])
    waiting.resume_execution(*finished({**PARTIAL, "images": [{"url": url} for url in urls]}), context())

    lineage = told(waiting)

    assert (len(files(lineage)), lineage["run_facets"]["seeany"]["files"]) == (MAX_DATASETS, MAX_DATASETS + 5)


def test_a_wait_that_failed_or_goes_on_has_no_lineage(hostile: HostileServer, connect: Any) -> None:
    connect(host=hostile.url)
    hostile.script(task())
    going_on, failed = wait(KINDS[0]), wait(KINDS[0])
    with pytest.raises(TaskDeferred):
        going_on.execute(context())
    with pytest.raises(SeeAnyTaskFailed):
        failed.resume_execution(*finished(FAILED), context())

    assert [DefaultExtractor(each).extract_on_complete(None) for each in (going_on, failed)] == [None, None]


@pytest.mark.parametrize(
    ("url", "namespace", "name"),
    [
        ("https://u:p@h:8443/a/b.mp4?x=1#f", "https://h:8443", "a/b.mp4"),
        ("http://[::1]:80/", "http://[::1]:80", "/"),
        ("https://h/任务/%20.mp4", "https://h", "任务/%20.mp4"),
    ],
)
def test_the_name_of_a_file_has_neither_query_nor_password(url: str, namespace: str, name: str) -> None:
    dataset = file_dataset(url)

    assert (dataset.namespace, dataset.name) == (namespace, name)
