"""The ids in the body of a callback."""

from __future__ import annotations

import json

import pytest

from airflow_provider_seeany.web.callback.body import seeany_ids

BODIES: dict[str, tuple[object, list[str]]] = {
    "the payload itself": ({"id": "vid_1", "status": "completed"}, ["vid_1"]),
    "an event about it": ({"event": "task.completed", "id": "evt_1", "data": {"id": "vid_1"}}, ["evt_1", "vid_1"]),
    "other names": ({"task_uuid": "a", "data": {"task_id": "b", "task_uuid": "a"}}, ["a", "b"]),
    "in a task beside the event": ({"event": "task.completed", "task": {"id": "vid_1"}}, ["vid_1"]),
    "the envelope of the other API": ({"code": 0, "msg": "", "data": {"task_uuid": "wtask_1"}}, ["wtask_1"]),
    "a task in that envelope": ({"code": 0, "data": {"id": 7, "task": {"task_uuid": "wtask_1"}}}, ["7", "wtask_1"]),
    "each place": (
        {"id": 1, "task_id": 2, "data": {"id": 3, "task": {"task_id": 4, "id": 1}}, "task": {"task_uuid": 5}},
        ["1", "2", "3", "5", "4"],
    ),
    "no other place": ({"result": {"id": "x"}, "data": {"data": {"id": "y"}, "work_uuid": "z"}, "task": ["w"]}, []),
    "null for parts": ({"code": 0, "data": None, "task": None}, []),
    "a list": ([{"id": "x"}], []),
    "a number": ({"task_id": 42}, ["42"]),
    "a number of 25 digits": ({"id": 2026060300100000000000001}, ["2026060300100000000000001"]),
    "white space around it": ({"id": " x\n", "task_id": "x"}, ["x"]),
    "no text": ({"id": True, "task_id": 1.5, "data": [1]}, []),
    "invalid ones": ({"id": "../x?y", "task_id": "\0", "data": {"id": "x" * 2000}}, ["../x?y"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_id_is_found_in_the_usual_fields(name: str) -> None:
    body, ids = BODIES[name]

    assert seeany_ids(json.dumps(body).encode()) == ids


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"id": "x"}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"code": 0, "data": {"task": {"task_uuid": "x"}}}',
        b"\xff\xfe" + '{"id": "x"}'.encode("utf-16-le"),
        rb'{"id": "x", "prompt": "a cat \ud83d"}',
        b'{"id": "x", "prompt": "\xca\xd3\xc6\xb5"}',
        b'{"id": "x", "cost": NaN, "big": 1e999}',
        b'{"id": "x", "prompt": "a\nb\0"}\0',
        b'{"id": "x", "deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
    ids=range(8),
)
def test_no_invalid_byte_hides_the_id(body: bytes) -> None:
    assert seeany_ids(body) == ["x"]
