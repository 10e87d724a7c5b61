"""The ids of tasks, one or a list: what is accepted, and what the errors say."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.task_id import MAX_TASK_ID, BadTaskId, checked_task_id, checked_task_ids
from airflow_provider_seeany.api.text import decode_disguised

IDS = ["b", "a", "c"]


@pytest.mark.parametrize(
    "given",
    [IDS, tuple(IDS), '["b", "a", "c"]', "['b', 'a', 'c']", "('b', 'a', 'c')", " ['b', 'a', 'c', 'b'] ", [*IDS, "a"]],
    ids=str,
)
def test_ids_are_read_from_a_list_or_the_text_of_one_each_once_and_in_order(given: object) -> None:
    assert checked_task_ids(given) == IDS


@pytest.mark.parametrize("given", [[1, " 2"], "[1, 2]", ["1 ", 1, "\n2", "1"], "['1', 2, '2 ']"], ids=str)
def test_ids_that_only_differ_in_type_or_white_space_are_one(given: object) -> None:
    assert checked_task_ids(given) == ["1", "2"]


@pytest.mark.parametrize("given", [[], "[]", ()])
def test_no_ids_are_a_list_too(given: object) -> None:
    assert checked_task_ids(given) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["a", None], "seeany_task_ids[1] is None"),
        (["a", "b", ""], "seeany_task_ids[2] is ''"),
        (["a", {"id": "b"}], "seeany_task_ids[1] must be a string, got dict"),
        ([7.5], "seeany_task_ids[0] must be a string, got float"),
        (["{{ x }}"], "seeany_task_ids[0] is still a template"),
        ('["a", ".."]', "seeany_task_ids[1] is '..'"),
    ],
)
def test_what_cannot_be_an_id_is_reported_by_its_index(given: object, text: str) -> None:
    with pytest.raises(BadTaskId) as raised:
        checked_task_ids(given)

    assert text in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [None, 5, "vid_1", "", "None", '{"a": 1}', {"a"}, b"[]", "{{ ids }}", "[" * 5000, "__import__('os')", "\ud800"],
)
def test_what_is_no_list_is_reported(given: object) -> None:
    with pytest.raises(BadTaskId, match="seeany_task_ids"):
        checked_task_ids(given)


@pytest.mark.parametrize("given", ["{{ ids }}", "{% for id in ids %}", "[{{ ids }}]"])
def test_a_template_that_was_never_rendered_is_reported_as_one(given: str) -> None:
    with pytest.raises(BadTaskId, match="never rendered"):
        checked_task_ids(given)


def test_a_template_of_several_lines_may_be_indented() -> None:
    assert checked_task_ids("\n    ['b', 'a', 'c']\n") == IDS


def test_more_than_ten_thousand_are_too_many() -> None:
    ids = [f"v{number}" for number in range(10_001)]
    assert len(checked_task_ids(ids[:-1])) == 10_000

    with pytest.raises(BadTaskId, match="10001"):
        checked_task_ids(ids)


NO_IDS = {
    "empty": "",
    "None": None,
    "None as text": "None",
    "a template": "{{ ti.xcom_pull(task_ids='submit') }}",
    "half a template": "vid-{% if x %}",
    "blank": " \n",
    "a dot": ".",
    "two dots": "..",
    "too long": "x" * (MAX_TASK_ID + 1),
    "2 000 characters": "长" * 2000,
    "a whole payload": {"id": "vid"},
    "a list": ["vid"],
    "a broken number": 7.5,
    "a yes": True,
    "bytes": b"vid",
    "a lone surrogate": "vid\ud800",
    "a NUL, which PostgreSQL cannot store": "vid\x00",
}


@pytest.mark.parametrize("value", NO_IDS.values(), ids=NO_IDS)
def test_what_cannot_be_a_task_id_is_refused_with_a_hint_at_the_upstream_xcom(value: object) -> None:
    with pytest.raises(BadTaskId, match=r"XCom of the upstream task") as refusal:
        checked_task_id(value)

    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("value", [20260603001, "20260603001", " 20260603001\n", "\u300020260603001\t"])
def test_an_integer_is_the_id_that_it_spells_and_white_space_is_no_part_of_one(value: object) -> None:
    assert checked_task_id(value) == "20260603001"


@pytest.mark.parametrize("value", [7.0, True, ["vid"], ("vid",), {"id": "vid"}])
def test_what_native_rendering_may_have_changed_names_the_option(value: object) -> None:
    with pytest.raises(BadTaskId, match="render_template_as_native_obj"):
        checked_task_id(value)


def test_a_whole_response_in_place_of_an_id_says_how_to_pass_the_id() -> None:
    with pytest.raises(BadTaskId, match=r"got dict.*xcom_pull\('submit'\)\['id'\]"):
        checked_task_id({"id": "vid"})


@pytest.mark.parametrize(
    "value",
    [
        "{{ x }} sk-marked-0123456789abcdef",
        "sk-marked-0123456789abcdef\0",
        "{% s\u200bk-marked-0123456789abcdef %}",
        f"{{{{ {'x' * 70} sk-marked-0123456789abcdef",
    ],
)
def test_a_key_in_place_of_a_task_id_is_not_shown(value: str) -> None:
    with pytest.raises(BadTaskId) as refusal:
        checked_task_id(value)

    assert "marked" not in decode_disguised(str(refusal.value))
    assert "sk-" not in decode_disguised(str(refusal.value))
