"""A log for the tests of the API layer."""

from __future__ import annotations

import pytest

from tests.recorded_log import RecordedLog


@pytest.fixture
def log() -> RecordedLog:
    """The log of the wait."""
    return RecordedLog()
