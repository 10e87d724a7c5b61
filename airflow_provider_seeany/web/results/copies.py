"""Where the download operator has stored the files of results: found in the runs that the results are from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select, tuple_

from airflow_provider_seeany.download.source import path_segment
from airflow_provider_seeany.web.results.views import Download, Result
from airflow_provider_seeany.xcoms.record import Progress
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from airflow_provider_seeany.xcoms.task_instance import KEY_COLUMNS
from airflow_provider_seeany.xcoms.untrusted import convert

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_DOWNLOADS = 200  # maximum number of downloads that are read for a list
MAX_COPIES = 5  # maximum number of copies of a result that are shown in a list


def with_copies(session: Session, results: list[Result]) -> list[Result]:
    """Return the results with the paths of their copies: those in a folder of the SeeAny task's name."""
    if not any(result.video_url or result.first_result for result in results):
        return results
    instance = [getattr(TaskInstance, column) for column in KEY_COLUMNS]
    downloads = session.execute(
        select(*instance)
        .where(
            TaskInstance.dag_id.in_({result.dag_id for result in results}),
            TaskInstance.run_id.in_({result.run_id for result in results}),
            TaskInstance.operator == "SeeAnyDownloadOperator",
        )
        .limit(MAX_DOWNLOADS)
    ).all()
    if not downloads:
        return results
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value).where(
        tuple_(*(getattr(XComModel, column) for column in KEY_COLUMNS)).in_([tuple(row) for row in downloads]),
        # Not by its index: every wait has an XCom under this key.
        XComModel.key.concat("") == PROGRESS_KEY,
    )
    paths: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in session.execute(query):
        progress = convert(row.value, Progress)
        if progress is not None and progress.copies is not None:
            paths[row.dag_id, row.run_id] += Download.of(progress.copies).paths
    return [replace(result, copy_paths=_of(result, paths[result.dag_id, result.run_id])) for result in results]


def _of(result: Result, paths: list[str]) -> list[str]:
    folder = f"/{path_segment(result.seeany_task_id)}/" if result.seeany_task_id else "\0"
    return [path for path in paths if folder in path][:MAX_COPIES]
