"""One field of a payload, in whatever shape a service sends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_seeany.api import fields, quantities

TEXTS: list[tuple[Callable[[Any], str | None], object, str | None]] = [
    (fields.text, "720p", "720p"),
    (fields.text, 720, "720"),
    (fields.text, ["", "720p"], "720p"),
    (fields.text, {"name": "720p"}, "720p"),
    (fields.text, True, None),
    (fields.text, " ", None),
    (quantities.resolution, [1280, 720], "1280x720"),
    (quantities.resolution, {"width": "1280px", "height": 720}, "1280x720"),
    (quantities.resolution, ["720p"], "720p"),
    (fields.url, {"url": "https://h/t"}, "https://h/t"),
    (fields.url, {"href": "https://h/t"}, "https://h/t"),
    (fields.url, ["n/a", "https://h/t"], "https://h/t"),
    (fields.url, [{"url": "https://h/t"}], "https://h/t"),
    (fields.url, "/t.jpg", "/t.jpg"),
    (fields.url, 7, None),
]


@pytest.mark.parametrize(("read", "value", "found"), TEXTS, ids=lambda value: getattr(value, "__name__", repr(value)))
def test_a_text_is_found_inside_a_list_or_an_object(
    read: Callable[[Any], str | None], value: object, found: str | None
) -> None:
    assert read(value) == found


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.lists(st.integers(1900, 10**12), min_size=3, max_size=7)
    | st.integers(10**18, 10**90).map(str)
    | st.floats()
    | st.text()
    | st.from_regex(r"[-+¥$]?[\d.,: ]{1,8}[a-z%]*"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "unit", "cost", "message", "error", "$date"]), inner)
    ),
    max_leaves=6,
)


@given(ANY)
def test_no_value_breaks_the_reading_of_a_field(value: Any) -> None:
    for read in (quantities.number, quantities.percentage, quantities.seconds):
        assert isinstance(read(value), int | float | None)
    for read_text in (fields.text, fields.url, quantities.resolution, fields.identifier):
        assert isinstance(read_text(value), str | None)
    assert isinstance(quantities.timestamp(value), datetime | None)
    assert isinstance(quantities.cost(value)[0], int | float | None)
    assert isinstance(fields.error(value)[1], str | None)
