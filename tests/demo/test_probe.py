"""What a user with a key sees of the real service, here of the simulator."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from demo.plan import Plan, real
from demo.probe import field_names, find_api
from demo.screen import Screen
from tests.hostile import HostileServer, reply

KEY = "sk-0123456789-never-shown"


def probe(plan: Plan) -> tuple[str | None, str]:
    written = io.StringIO()
    api = find_api(plan, Screen(Console(file=written, width=500, highlight=False)))
    text = "\n".join(line.rstrip() for line in written.getvalue().splitlines())
    assert plan.api_key not in text
    return api, text


def test_each_dialect_that_knows_the_task_is_shown_with_its_fields_and_without_their_values(
    simulator_url: str,
) -> None:
    api, text = probe(real(KEY, "images-0s-1x-probe", simulator_url))

    assert api == "v1"
    assert (
        text
        == f"""
v1:
  GET {simulator_url}/v1/tasks/images-0s-1x-probe
  HTTP 200 application/json; charset=utf-8
  status 'completed'
  fields: id, object, status, completed_at, images, images[].url, usage, usage.cost, usage.cost_unit
  the provider reads: a task, completed, 1 result file

developer:
  GET {simulator_url}/api/developer/task/status?task_uuid=images-0s-1x-probe
  HTTP 200 application/json; charset=utf-8
  code 0, msg 'success'
  status 'succeeded'
  fields: code, msg, data, data.task_uuid, data.status, data.progress, data.assets, data.assets[].work_uuid, \
data.assets[].images, data.assets[].images[].url, data.assets[].images[].width, data.assets[].images[].height, \
data.error_message
  the provider reads: a task, completed, 1 result file
  GET {simulator_url}/api/developer/balance
  HTTP 200 application/json; charset=utf-8
  code 0, msg 'success'
  fields: code, msg, data, data.balance, data.currency

The task was read with v1 and with developer; the DAG below uses v1
"""
    )


@pytest.mark.parametrize(
    ("key", "task_id", "lines"),
    [
        (KEY, "wtask_unknown", ["HTTP 404", "error 'task_not_found'", "code 1002, msg '任务不存在'"]),
        ("sk-bad-0123456789", "video", ["HTTP 401", "error 'invalid_api_key'", "code 401, msg 'API Key 无效'"]),
        ("sk-bad-envelope-0123456789", "video", ["code 1001, msg 'API Key 无效'"]),
    ],
)
def test_a_task_that_no_dialect_gives_is_shown_with_the_errors(
    simulator_url: str, key: str, task_id: str, lines: list[str]
) -> None:
    api, text = probe(real(key, task_id, simulator_url))

    assert api is None
    assert text.count("the provider reads: no task: ") == 2
    for line in lines:
        assert line in text


def test_only_the_dialect_that_was_named_is_requested(simulator_url: str) -> None:
    api, text = probe(replace(real(KEY, "video-0s-probe", simulator_url), candidates=("developer",)))

    assert api == "developer"
    assert "/v1/" not in text


def test_a_service_that_does_not_respond_is_said_to() -> None:
    api, text = probe(real(KEY, "video", "http://127.0.0.1:9"))

    assert api is None
    assert text.count("no response; ConnectionError") == 3


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (302, b"", "it redirects to "),
        (200, f"<html>{KEY}</html>", "no JSON: '<html>***</html>'"),
        (200, {"code": KEY, "msg": [KEY], "data": {KEY: {"status": KEY}}}, "code '***', msg ['***']"),
        (500, {"error": {"code": KEY, "message": f"wrong: {KEY}"}}, "error '***', 'wrong: ***'"),
        (200, {"data": [[{KEY: [None]}]] * 1000}, "fields: data, data[][].***"),
        (200, [KEY], "no task: "),
    ],
)
def test_whatever_a_service_sends_the_key_does_not_show_and_goes_nowhere_else(
    hostile: HostileServer, other_host: HostileServer, status: int, body: object, shown: str
) -> None:
    hostile.script(reply(status, body, ("Location", f"{other_host.url}/?key={KEY}")))

    api, text = probe(real(KEY, "task-1", hostile.url))

    assert api is None
    assert shown in text
    assert text.count("the provider reads: no task: ") == 2
    assert other_host.requests == []
    assert {each.line.split()[0] for each in hostile.requests} == {"GET"}


def test_a_field_within_lists_and_objects_has_one_name() -> None:
    body = {"a": [{"b": 1}, {"b": [{"c": None}]}, []], "d": {"e": {}}}
    assert [*dict.fromkeys(field_names(body))] == ["a", "a[].b", "a[].b[].c", "d", "d.e"]
