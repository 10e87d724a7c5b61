"""Converts the structured task log of the REST API into the text of the UI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SHOWN_SEPARATELY = frozenset({"timestamp", "level", "logger", "event", "error_detail"})
# The task instance and the source line, which 3.3 adds to every line.
_OMITTED = frozenset({"dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id", "filename", "lineno", "loc"})


def as_text(entries: Iterable[str | Mapping[str, Any]]) -> str:
    """Return all entries of a log as lines."""
    return "\n".join(line for entry in entries for line in _lines(entry))


def _lines(entry: str | Mapping[str, Any]) -> Iterable[str]:
    if isinstance(entry, str):
        yield entry
        return
    words = []
    if timestamp := entry.get("timestamp"):
        words.append(f"[{timestamp}]")
    if level := entry.get("level"):
        words.append(str(level).upper())
    words.append(str(entry.get("event", "")))
    hidden = _SHOWN_SEPARATELY | _OMITTED
    words += [f"{name}={value!r}" for name, value in entry.items() if name not in hidden]
    if logger := entry.get("logger"):
        words.append(f"({logger})")
    yield " ".join(words)
    yield from _traceback(entry.get("error_detail") or [])


def _traceback(errors: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for error in errors:
        yield f"{error.get('exc_type')}: {error.get('exc_value')}"
        for note in error.get("exc_notes") or []:
            yield f"  {note}"
        for frame in error.get("frames") or []:
            yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
        for group in error.get("exceptions") or []:
            yield from _traceback(group)
