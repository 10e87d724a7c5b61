"""A CDN, folders to copy to, and an operator that copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from tests.download.cdn import Cdn
from tests.hostile import in_background

Copy = Callable[..., Any]


class _TaskInstance:
    dag_id, task_id, run_id, map_index = "dag", "keep", "run/1", -1


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    """A server whose files the test makes."""
    server = Cdn()
    with in_background(server.serve):
        yield server


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Run the operator, into a folder unless ``path`` says otherwise; private addresses are allowed."""

    def run(result: object = None, **parameters: Any) -> Any:
        parameters = {"path": f"file://{tmp_path}", "allow_private_addresses": True, **parameters}
        return SeeAnyDownloadOperator(task_id="keep", result=result, **parameters).execute({"ti": _TaskInstance()})

    return run


def video(url: str, seeany_task_id: str = "vid_1", **more: object) -> dict[str, Any]:
    """Return the result of a task that made a video."""
    return {"id": seeany_task_id, "object": "video_generation", "status": "completed", "video_url": url, **more}
