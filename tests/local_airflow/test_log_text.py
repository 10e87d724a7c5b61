"""Tests how structured log entries become lines."""

from __future__ import annotations

from local_airflow.log_text import as_text


def test_shows_level_event_attributes_and_logger() -> None:
    entry = {
        "timestamp": "2026-01-02T03:04:05Z",
        "level": "info",
        "event": "status changed",
        "status": "done",
        "logger": "some.logger",
        "dag_id": "left out",
        "lineno": 7,
    }
    assert as_text([entry]) == "[2026-01-02T03:04:05Z] INFO status changed status='done' (some.logger)"


def test_keeps_an_entry_that_is_only_text() -> None:
    assert as_text(["first", {"event": "::group::second"}]) == "first\n::group::second"


def test_shows_exceptions_with_causes_notes_and_frames() -> None:
    inner = {"exc_type": "KeyError", "exc_value": "'k'", "frames": [{"filename": "a.py", "lineno": 1, "name": "f"}]}
    outer = {"exc_type": "ValueError", "exc_value": "bad", "exc_notes": ["a note"], "frames": []}
    group = {"exc_type": "ExceptionGroup", "exc_value": "two", "frames": None, "exceptions": [[inner]]}
    assert as_text([{"level": "error", "event": "failed", "error_detail": [outer, group]}]).splitlines() == [
        "ERROR failed",
        "ValueError: bad",
        "  a note",
        "ExceptionGroup: two",
        "KeyError: 'k'",
        '  File "a.py", line 1, in f',
    ]
