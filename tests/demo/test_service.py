"""What the demo itself takes from a response of the service."""

from __future__ import annotations

import pytest

from demo.plan import real
from demo.service import open_session, request_task, settings_for
from tests.hostile import HostileServer, reply

RUNNING = {"status": "running", "progress": 7}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"id": "x", **RUNNING}, {"id": "x", **RUNNING}),
        (200, {"code": 0, "data": RUNNING}, {"id": "x", **RUNNING}),
        (200, {"code": 0, "data": {"id": 42, **RUNNING}}, {"id": "x", **RUNNING}),
        (200, {"code": 0, "data": {"cost": 1, "task": RUNNING}}, {"id": "x", "cost": 1, **RUNNING}),
        (200, {"code": 1002, "msg": "任务不存在", "data": None}, {}),
        (200, [RUNNING], {}),
        (200, b"<html>", {}),
        (404, {"id": "x", **RUNNING}, {}),
    ],
)
def test_the_task_is_found_in_the_body_or_in_its_envelope(
    hostile: HostileServer, status: int, body: object, expected: dict[str, object]
) -> None:
    hostile.script(reply(status, body))
    plan = real("sk-demo", "x", hostile.url)
    with open_session(plan) as session:
        assert request_task(session, settings_for(plan, "developer", hostile.url), "x") == expected
