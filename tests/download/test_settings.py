"""The promises about the parameters of a download."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_seeany.download.settings import DownloadSettings, format_bytes, to_bytes
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (5, 5),
        ("5", 5),
        ("5b", 5),
        ("1kB", 1000),
        ("500MB", 500_000_000),
        ("2GiB", 2 << 30),
        ("1.5 kib", 1536),
        ("1T", 10**12),
    ],
)
def test_a_size_is_a_number_or_a_text(given: object, size: int) -> None:
    assert to_bytes(given, name="max_file_size") == size


@pytest.mark.parametrize(
    "bad",
    [
        {"max_file_size": 0},
        {"max_file_size": True},
        {"max_file_size": "2 parsecs"},
        {"max_file_size": None},
        {"min_bytes_per_second": 0},
        {"min_bytes_per_second": "fast"},
        {"max_active_files": 0},
        {"max_active_files": 1000},
        {"files": ()},
        {"files": "movie"},
        {"files": ["video", "sound"]},
        {"result": None},
        {"seeany_task_ids": ["a"]},
    ],
)
def test_a_bad_parameter_is_refused_where_the_dag_is_parsed(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SeeAnyDownloadOperator(task_id="keep", path="s3://bucket/", **{"result": {"id": "a"}, **bad})


def test_one_kind_of_file_may_be_given_alone() -> None:
    operator = SeeAnyDownloadOperator(task_id="keep", path="s3://bucket/", result={"id": "a"}, files="video")

    assert DownloadSettings.of(operator).files == ("video",)


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")])
def test_a_size_is_written_for_a_person(size: int, text: str) -> None:
    assert format_bytes(size) == text
