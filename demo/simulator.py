"""Runs the simulator as a process for as long as a `with` statement lasts."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from local_airflow.guardian import MARK
from local_airflow.processes import Guardian

_SECONDS_TO_STOP = 5


@contextlib.contextmanager
def running_simulator(log_file: Path) -> Iterator[str]:
    """Start a simulator on a free port and give its address."""
    mark = f"{secrets.token_hex(16)}-simulator"
    with contextlib.ExitStack() as stack:
        guardian = Guardian()
        stack.callback(guardian.dismiss)
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow_provider_seeany.simulator", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, MARK: mark},
                text=True,
                # A Ctrl-C in the terminal must reach only this process, which stops Airflow first.
                start_new_session=True,
            )
        stack.callback(_stop, process, guardian)
        guardian.watch(process.pid, mark)
        assert process.stdout is not None
        # It says one line, once it listens; an empty one means that it ended.
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator did not start: {log_file.read_text(encoding='utf-8').strip()[-2000:]}")
        yield line.split()[-1]


def _stop(process: subprocess.Popen[str], guardian: Guardian) -> None:
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_STOP)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        guardian.forget(process.pid)
