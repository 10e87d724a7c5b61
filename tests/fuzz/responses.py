"""Responses that no service should send, made up by hypothesis."""

from __future__ import annotations

import gzip
import json
from typing import Any

from hypothesis import strategies as st

from airflow_provider_seeany.api.response import Response
from airflow_provider_seeany.api.secret import Secret
from airflow_provider_seeany.api.task import SeeAnyTask
from tests.conftest import KEY
from tests.hostile import COMPLETED, FAILED, IMAGES, PROCESSING, VIDEO, in_envelope

SURROGATES = st.text(st.characters(categories=["Cs", "Cc", "Cf", "Ll"]), max_size=5)
LARGE = st.integers(10**10, 10**80)
NUMBERS = st.integers() | st.floats() | LARGE | st.just(10**400)
WRITTEN = st.tuples(LARGE, st.sampled_from(["", "%", " CNY", " ms", "e30", ".5"])).map(lambda two: f"{two[0]}{two[1]}")
PARTS = st.lists(st.integers(1900, 2200) | LARGE, min_size=3, max_size=7)
URLS = st.sampled_from(["javascript:alert(1)", "file:///etc/passwd", "/a.mp4", "//h/a", "https://h/a", "http://[", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | SURROGATES | URLS | st.just(KEY) | WRITTEN | PARTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *SeeAnyTask.__struct_fields__,
        *("code", "msg", "message", "detail", "urls", "thumb_url", "__type", "request_id"),
        *("data", "task", "task_uuid", "assets", "error_message"),
    ]
)
CODES = st.sampled_from([0, "0", 200, 1, 401, "404", 10001, None])
MESSAGES = st.sampled_from(["success", "", "任务不存在", "API Key 无效", "系统繁忙", KEY])


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """Return a real payload with some of its fields made up, in an envelope or without."""
    payload = dict(draw(st.sampled_from([PROCESSING, COMPLETED, FAILED, IMAGES, {}])))
    payload |= draw(st.dictionaries(NAMES, VALUES, max_size=4))
    if draw(st.booleans()):
        return in_envelope(payload) | {"code": draw(CODES | VALUES), "msg": draw(MESSAGES | VALUES)}
    return payload


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return the bytes of a body: JSON as it is, broken, doubled, nested, packed; or anything."""
    value = draw(objects() | VALUES)
    text = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    match draw(
        st.sampled_from(["whole", "whole", "whole", "truncated", "changed", "twice", "nested", "packed", "any"])
    ):
        case "truncated":
            return text[: draw(st.integers(0, len(text)))]
        case "changed":
            index = draw(st.integers(0, max(len(text) - 1, 0)))
            return text[:index] + draw(st.binary(max_size=3)) + text[index + 1 :]
        case "twice":
            return text[:-1] + b"," + text[1:] if text.startswith(b"{") else text * 2
        case "nested":
            depth = draw(st.integers(1, 3000))
            return b'{"id":"%s","status":"completed","x":%s%s%s}' % (VIDEO.encode(), b"[" * depth, text, b"]" * depth)
        case "packed":
            return gzip.compress(text)
        case "any":
            return draw(st.binary(max_size=100))
    return text


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": st.sampled_from(["0", "-1", "1e400", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "1, 1"])
        | st.text(max_size=10),
        "Content-Type": st.sampled_from(["text/html", "application/json"]) | st.text(max_size=10),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "identity", "x"]),
        "Location": st.sampled_from(["https://elsewhere/", "http://[", f"https://h/?{KEY}"]) | st.text(max_size=10),
        "X-Request-Id": st.text(max_size=300) | st.just(KEY),
    },
)
STATUSES = st.sampled_from([200, 200, 200, 200, 201, 204]) | st.integers(100, 999)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Return any response at all."""
    return Response(status=draw(STATUSES), headers=draw(HEADERS), body=draw(bodies()), secret=Secret(KEY))
