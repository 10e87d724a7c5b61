"""The ids of tasks, one or a list: what is accepted, and what the errors say."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_ids

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
