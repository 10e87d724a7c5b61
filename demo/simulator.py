"""Runs the simulator as a process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from local_airflow.processes import helper_process


@contextlib.contextmanager
def running_simulator(log_file: Path, *, callback_url: str | None = None) -> Iterator[str]:
    """Start a simulator on a free port and yield its URL; it calls `callback_url` when a task has ended."""
    command = [sys.executable, "-m", "airflow_provider_seeany.simulator", "--port", "0"]
    if callback_url is not None:
        command += ["--callback-url", callback_url]
    log_file.unlink(missing_ok=True)
    with helper_process(command, log_file=log_file) as process:
        assert process.stdout is not None
        # It prints one line once it listens; an empty one means that it ended.
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator did not start: {log_file.read_text(encoding='utf-8').strip()[-2000:]}")
        yield line.split()[-1]
