"""What a request that creates a task returns."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.created import CreatedTask, read_created
from airflow_provider_seeany.api.task_id import BadTaskId

RETURNED: dict[str, tuple[object, CreatedTask]] = {
    "the id": (" vid_1\n", CreatedTask("vid_1")),
    "the id as a number": (20260603, CreatedTask("20260603")),
    "a task": ({"id": "vid_1", "status": "queued"}, CreatedTask("vid_1")),
    "the envelope": ({"code": 0, "data": {"task_uuid": "w", "wait_time": 40}}, CreatedTask("w", 40)),
    "a number of the database beside it": ({"id": 7, "task_uuid": "w"}, CreatedTask("w")),
    "a task inside": ({"id": "req_1", "data": {"task": {"task_uuid": "w"}, "wait_time": "40 s"}}, CreatedTask("w", 40)),
    "an id of the request around it": ({"id": "req_1", "data": {"id": "vid_1"}}, CreatedTask("vid_1")),
    "a number in it": ({"data": {"task_id": 42}, "wait_time": 1.5}, CreatedTask("42", 1.5)),
    "the text of a response": ('{"code": 0, "data": {"task_uuid": "w"}}', CreatedTask("w")),
    "an odd wait_time": ({"id": "x", "wait_time": "soon"}, CreatedTask("x")),
    "no wait at all": ({"id": "x", "wait_time": 0}, CreatedTask("x", 0)),
    "a negative one": ({"id": "x", "wait_time": -3}, CreatedTask("x")),
}


@pytest.mark.parametrize("name", RETURNED)
def test_the_id_and_the_estimate_are_found(name: str) -> None:
    returned, created = RETURNED[name]

    assert read_created(returned) == created


@pytest.mark.parametrize("text", ["<html>no</html>", '["vid_1"]', '"vid_1"', "no credit", "{{ id }}"])
def test_a_text_that_no_service_has_for_an_id_is_none(text: str) -> None:
    """Else it would be kept, and the id of what may have been paid for would be lost without a word."""
    with pytest.raises(BadTaskId):
        read_created(text)


@pytest.mark.parametrize(
    "returned", [None, "", "None", True, 1.5, [], ["vid_1"], {}, {"data": None}, {"id": None}, {"id": {}}, "{", b"x"]
)
def test_anything_else_is_no_id(returned: object) -> None:
    with pytest.raises(BadTaskId):
        read_created(returned)
