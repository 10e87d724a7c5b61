"""
Whatever a side field of a response holds, and whatever bytes are inside its texts, state and video survive.

Triggers, workers, hook, batch and callback parse responses by one function, ``parse_task``, after either transport; it
is tried ten thousand times. Each transport is tried over a socket, and each mode once with a payload whose side fields
are all invalid.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import XCom
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api.asynchronous import shared_client
from airflow_provider_seeany.api.blocking import BlockingClient
from airflow_provider_seeany.api.collector import task_row
from airflow_provider_seeany.api.dialects import DIALECTS
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.outcome import Finished, decode_outcome
from airflow_provider_seeany.api.parse import parse_task
from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.snapshot import Snapshot
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.web.callback.handler import _poll
from airflow_provider_seeany.xcoms.record import Record
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from tests.conftest import KEY, settings_for
from tests.fuzz import examples
from tests.fuzz.responses import VALUES
from tests.hostile import COMPLETED, FAILED, IMAGES, PROCESSING, VIDEO, HostileServer, reply
from tests.waits import batch_trigger, context, task_trigger, wait

URL = str(COMPLETED["video_url"])
DECISIVE = {"id", "status", "video_url"}
SIDE_FIELDS = sorted(
    {*SeeAnyTask.__struct_fields__, "seed", "prompt", "data", "message", "code"} - DECISIVE - {"payload"}
)

PAYLOADS: list[dict[str, Any]] = [
    COMPLETED,
    {**COMPLETED, "status": "Succeeded ", "prompt": "a cat", "seed": 7},
    FAILED,
    {**FAILED, "status": "EXPIRED", "video_url": URL},
    PROCESSING,
    {**PROCESSING, "status": "queued", "video_url": URL},
    IMAGES,
]
PLACEHOLDER = "put some bytes here"

# Any byte but the one that ends a text: with that it would be another JSON, or none.
INSIDE_A_TEXT = st.binary(min_size=1, max_size=12).map(lambda some: some.replace(b'"', b""))
# What ends in the byte of a backslash is text in one of the encodings that have such characters, or else an escape.
AT_THE_END_OF_A_TEXT = st.one_of(
    st.text(st.sampled_from("乗誠許功蓋表視頻a1"), min_size=1, max_size=6).map(
        lambda some: some.encode("big5hkscs", "ignore") or b"?"
    ),
    st.text(st.sampled_from("乗誠视频許功a1"), min_size=1, max_size=6).map(lambda some: some.encode("gb18030")),
    st.text(st.sampled_from("表十ソ能動a1"), min_size=1, max_size=6).map(lambda some: some.encode("shift_jis")),
    INSIDE_A_TEXT.filter(lambda some: not some.endswith(b"\\")),
)
HALVES = st.sampled_from(
    [rb"\ud83d", rb"\udc31", rb"\x", rb"\u12", rb"\u0000", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"\0"]
)
NO_NUMBERS = st.sampled_from([b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"[" * 900 + b"]" * 900])


@st.composite
def odd_payloads(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """Return a valid payload, and the bytes of the same with side fields that hold anything."""
    valid = draw(st.sampled_from(PAYLOADS))
    odd = {**valid, **draw(st.dictionaries(st.sampled_from(SIDE_FIELDS), VALUES, max_size=3))}
    replaced = draw(st.sampled_from(SIDE_FIELDS))
    kind = draw(st.sampled_from(["value", "bytes", "bytes deeper down", "bytes at the end", "no number"]))
    if kind != "value":
        odd[replaced] = [{"message": f"a {PLACEHOLDER} b"}] if kind == "bytes deeper down" else f"a {PLACEHOLDER} b"
    body = json.dumps(odd, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if kind == "no number":
        body = body.replace(f'"a {PLACEHOLDER} b"'.encode(), draw(NO_NUMBERS))
    elif kind == "bytes at the end":
        body = body.replace(f"a {PLACEHOLDER} b".encode(), draw(AT_THE_END_OF_A_TEXT))
    else:
        body = body.replace(PLACEHOLDER.encode(), draw(INSIDE_A_TEXT | HALVES))
    if draw(st.integers(0, 9)) == 0:
        body = b"\xef\xbb\xbf" + body
    return valid, body


def in_dialect(body: bytes, dialect: Dialect) -> bytes:
    """Return the bytes of a task as a dialect sends them."""
    if dialect.name == "v1":
        return body
    rest = body.removeprefix(codecs.BOM_UTF8)
    return body[: len(body) - len(rest)] + b'{"code": 0, "msg": "success", "data": ' + rest + b"}"


def assert_survived(task: object, valid: dict[str, Any]) -> None:
    """See that the state and the video are those of the valid payload, and that all of it can be handed on."""
    assert isinstance(task, SeeAnyTask), task
    right = SeeAnyTask.from_payload(valid)
    assert (task.id, task.status, task.state) == (VIDEO, right.status, right.state)
    if "video_url" in valid:
        assert task.video_url == URL
        assert task.state != "completed" or task.result_fields()["video_url"] == URL
    msgspec.msgpack.encode(dict(task.payload))
    for sent in (task.result_fields(), task.as_json(), msgspec.to_builtins(Snapshot.of(task, 1.0)), task_row(task)):
        msgspec.msgpack.encode(sent)
    for value in (task.as_json(), task.result_fields()):
        XCom.serialize_value(value)
        # As PostgreSQL takes it: no NUL, no half of a pair, no NaN.
        assert "\\u0000" not in json.dumps(value, allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()
    json.dumps(Record.of_task(task, conn_id="c").xcoms(TaskInstanceKey("d", "r", "t")))
    assert SeeAnyTask.from_payload(json.loads(json.dumps(task.as_json()))).state == task.state


@examples(10_000)
@given(odd_payloads())
def test_state_and_video_survive_whatever_a_side_field_holds(odd: tuple[dict[str, Any], bytes]) -> None:
    valid, body = odd

    for dialect in DIALECTS.values():
        response = Response(status=200, headers={}, body=in_dialect(body, dialect), secret=Secret(KEY))
        assert_survived(parse_task(response, VIDEO, dialect), valid)


@pytest.mark.parametrize("way", ["blocking", "asynchronous"])
def test_state_and_video_survive_the_way_through_a_socket(hostile: HostileServer, dialect: Dialect, way: str) -> None:
    with asyncio.Runner() as runner:
        client, close = _client(hostile, dialect, way, runner)

        @examples(1_500)
        @given(odd_payloads())
        def survives(odd: tuple[dict[str, Any], bytes]) -> None:
            valid, body = odd
            hostile.script(reply(200, in_dialect(body, dialect)))
            assert_survived(client(), valid)

        try:
            survives()
        finally:
            close()


def _client(
    hostile: HostileServer, dialect: Dialect, way: str, runner: asyncio.Runner
) -> tuple[Callable[[], Any], Callable[[], None]]:
    settings = settings_for(hostile, dialect)
    if way == "blocking":
        blocking = BlockingClient(settings)
        return lambda: blocking.get_task(VIDEO), blocking.close
    lent = shared_client(settings)
    client = runner.run(lent.__aenter__())
    return lambda: runner.run(client.get_task(VIDEO)), lambda: runner.run(lent.__aexit__(None, None, None)) and None


ODDEST = (
    json.dumps(
        {
            **COMPLETED,
            "status": "COMPLETED ",
            "usage": {"cost": "¥0.70"},
            "completed_at": 1748908920000,
            "error": False,
            "thumbnail_url": [],
            "duration": {"value": "5 s"},
            "resolution": True,
            "__type": "dict",
            "prompt": PLACEHOLDER,
        }
    )
    .encode()
    .replace(PLACEHOLDER.encode(), b"\xca\xd3 \\ud83d \x00")
    .replace(b"{", b'{"score": NaN, ', 1)
)


def assert_delivered(payload: dict[str, Any]) -> None:
    """See that the payload arrived with all that could be parsed of it."""
    assert (payload["video_url"], payload["completed_at"]) == (URL, "2025-06-03T00:02:00Z")
    assert payload["usage"] == {"cost": "¥0.70"}
    assert payload["resolution"] is True


async def _event_of(trigger: Any) -> Any:
    (event,) = [event async for event in trigger.run()]
    return json.loads(json.dumps(event.payload))


@pytest.fixture
def _odd_service(hostile: HostileServer, connect: Callable[..., None], dialect: Dialect) -> None:
    connect(host=hostile.url, extra={"api": dialect.name})
    hostile.script(reply(200, in_dialect(ODDEST, dialect)))


@pytest.mark.usefixtures("_odd_service")
def test_a_poking_sensor_delivers_it() -> None:
    ctx = context()

    assert_delivered(wait(SeeAnyTaskSensor, VIDEO, deferrable=False).execute(ctx))

    assert ctx["ti"].pushed["cost"] == 0.7


@pytest.mark.usefixtures("_odd_service")
async def test_a_trigger_and_the_worker_after_it_deliver_it() -> None:
    event = await _event_of(task_trigger(VIDEO))

    assert isinstance(decode_outcome(event), Finished)
    assert_delivered(wait(SeeAnyTaskSensor, VIDEO).execute_complete(context(), event))


@pytest.mark.usefixtures("_odd_service")
def test_the_hook_delivers_it() -> None:
    hook = SeeAnyHook()

    assert_delivered(hook.get_task(VIDEO).as_json())
    assert_delivered(hook.wait_for_task(VIDEO).as_json())
    assert_delivered(asyncio.run(hook.aget_task(VIDEO)).as_json())


@pytest.mark.usefixtures("_odd_service")
async def test_a_batch_delivers_it_and_counts_its_cost() -> None:
    event = await _event_of(batch_trigger([VIDEO]))

    result = SeeAnyTaskBatchSensor(task_id="wait", seeany_task_ids=[VIDEO]).execute_complete(context(), event)

    assert (result["completed"], result["failed"], result["cost"]) == (1, 0, {"CNY": 0.7})
    assert_delivered(result["tasks"][0])


@pytest.mark.usefixtures("_odd_service")
async def test_a_callback_delivers_it() -> None:
    outcome = await _poll("seeany_default", VIDEO, is_certain=True)

    assert outcome is not None
    assert_delivered(SeeAnyTask.from_payload(outcome.payload).as_json())
