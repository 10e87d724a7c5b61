"""Runs a program of this folder on a database, and returns what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def run_script(script: str, home: Path, database_url: str, *arguments: str, timeout: float = 300) -> Any:
    """Run a program of this folder; return what it printed as JSON in its last line."""
    home.mkdir(exist_ok=True)
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.scripts.{script}", *arguments],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return json.loads(done.stdout.splitlines()[-1])
