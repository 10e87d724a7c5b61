"""Finds what to download: the tasks in what a DAG passes on, and the files of a task."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from airflow_provider_seeany.api.result_urls import web_url
from airflow_provider_seeany.api.returned import is_batch_result
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.task_id import BadTaskId, checked_task_id, checked_task_ids
from airflow_provider_seeany.api.text import truncate
from airflow_provider_seeany.exceptions import SeeAnyConfigError, SeeAnyTaskIdError

_MAX_SEGMENT = 120  # maximum characters that are kept of a long name; file systems take 255 bytes
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}")
_HINT = "Give it the output of a SeeAny sensor or operator: result=wait.output"


class Source(NamedTuple):
    """A SeeAny task whose files are wanted: its id and, if it came along, its response."""

    seeany_task_id: str
    task: SeeAnyTask | None = None

    @property
    def folder(self) -> str:
        """The name of the folder for its files: the id, escaped to be one segment of a path."""
        return path_segment(self.seeany_task_id)


class ResultFile(NamedTuple):
    """A file of a result: its name without extension, its URL, and whether its name is only its place in the result."""

    name: str
    url: str
    is_numbered: bool = False

    @property
    def extension(self) -> str:
        """The extension in the URL's path, in lower case, or nothing."""
        segment = urlsplit(self.url).path.rpartition("/")[2]
        dot = segment.rfind(".")
        extension = segment[dot:] if dot > 0 else ""
        return extension.lower() if _EXTENSION.fullmatch(extension) else ""


def path_segment(*names: str) -> str:
    """Return names escaped to be one segment of a path, and short enough to be one; other names give another one."""
    # Escaped names have no comma.
    escaped = ",".join(quote(name, safe="") for name in names)
    if len(escaped) <= _MAX_SEGMENT:
        return escaped
    return f"{escaped[:_MAX_SEGMENT]}-{sha256(escaped.encode()).hexdigest()[:16]}"


def sources(*, result: object, seeany_task_ids: object) -> list[Source]:
    """
    Return the tasks in the result of a wait, in a list of such results, or by their ids; each once.

    :raises SeeAnyConfigError: if the result is none.
    :raises SeeAnyTaskIdError: if something is no id.
    """
    try:
        if seeany_task_ids is not None:
            found: Iterable[Source] = map(Source, checked_task_ids(seeany_task_ids))
        else:
            found = _in_result(_decoded(result))
        # A response is worth more than the id alone.
        by_id: dict[str, Source] = {}
        for source in found:
            if source.seeany_task_id not in by_id or source.task is not None:
                by_id[source.seeany_task_id] = source
        return list(by_id.values())
    except BadTaskId as error:
        raise SeeAnyTaskIdError(str(error)) from None


def _decoded(result: object) -> object:
    """Decode the text to which a template renders a result."""
    if not isinstance(result, str):
        return result
    text = result.strip()
    if not text.startswith(("{", "[")) or text.startswith(("{{", "{%")):
        raise SeeAnyConfigError(f"result is {truncate(text)!r}, which is no result of a SeeAny task. {_HINT}.")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise SeeAnyConfigError(f"result is {truncate(text)!r}, neither JSON nor a Python literal. {_HINT}.") from None


def _in_result(result: object) -> Iterator[Source]:
    match result:
        case Mapping():
            yield from _in_batch(result) if is_batch_result(result) else [_in_payload(result)]
        case str() | int() if not isinstance(result, bool):
            yield Source(checked_task_id(result))
        case None:
            raise SeeAnyConfigError(f"result is None: the task that should have delivered it pushed none. {_HINT}.")
        case Iterable() if not isinstance(result, bytes | bytearray):
            # A mapped wait that was skipped pushed nothing.
            for item in result:
                if item is not None:
                    yield from _in_result(item)
        case _:
            raise SeeAnyConfigError(f"result is a {type(result).__name__}, not a result of a SeeAny task. {_HINT}.")


def _in_payload(payload: Mapping[str, Any]) -> Source:
    try:
        task = SeeAnyTask.from_payload(payload)
    except ValueError as error:
        raise SeeAnyConfigError(f"result is not the result of a SeeAny task: {error}. {_HINT}.") from None
    # Of an unfinished task the API may know more by now.
    return Source(checked_task_id(task.id), task if task.is_completed else None)


def _in_batch(result: Mapping[str, Any]) -> Iterator[Source]:
    tasks, ids = result["tasks"] or [], result.get("completed_ids") or []
    if result["detail"] == "full":
        yield from map(_in_payload, tasks)
    elif tasks or ids:
        # A row of the table has one URL of each task at most.
        yield from (Source(checked_task_id(row["id"])) for row in tasks)
        yield from map(Source, map(checked_task_id, ids))
    elif result.get("completed"):
        raise SeeAnyConfigError(
            "result is that of a batch too large to list the ids of its completed tasks. "
            "Give the operator the ids themselves: seeany_task_ids=…"
        )


def files_of(task: SeeAnyTask, kinds: Iterable[str]) -> list[ResultFile]:
    """Return the files of a completed task, of the given kinds. Only http(s) URLs count."""
    video, thumbnail = web_url(task.video_url), web_url(task.thumbnail_url)
    files = {"video": [ResultFile("video", video)] if video else []}
    files["thumbnail"] = [ResultFile("thumbnail", thumbnail)] if thumbnail else []
    others = [url for url in task.result_urls if url not in (video, thumbnail)]
    files["images"] = [
        ResultFile(f"image-{number:03}", url, is_numbered=True) for number, url in enumerate(others, start=1)
    ]
    return [file for kind in dict.fromkeys(kinds) for file in files[kind]]
